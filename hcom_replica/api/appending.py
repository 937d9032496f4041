"""Appending to an open folder: the shortest way from what a caller gives to events on disk.

Owns what a caller's event may be. Loads nothing that only readers need, because commands that append are run often
and one by one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from hcom_replica.api.body import from_object
from hcom_replica.api.control import wake
from hcom_replica.api.opening import Parts
from hcom_replica.api.times import read_iso
from hcom_replica.errors import UsageError
from hcom_replica.ids import EventId
from hcom_replica.store.cursors import ImportMark
from hcom_replica.wire.event import Draft, is_system


def wall_ms() -> int:
    """UTC wall clock, milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def draft(kind: str, body: bytes, agent: str | None = None, time_us: int | None = None) -> Draft:
    """Make an event to be appended.

    Args:
        kind: what it is; not the system's own.
        body: JSON text, compacted.
        agent: who did it.
        time_us: the time to claim, microseconds since 1970; None claims none.

    Raises:
        UsageError: the kind is the system's own.
    """
    if is_system(kind):
        raise UsageError(f"kind {kind!r} begins with _, which marks system events", hint="choose another kind")
    return Draft(kind, agent, time_us, body)


class Item(NamedTuple):
    """One event for `append_many`: the arguments of `append`."""

    kind: str
    data: Any = None
    agent: str | None = None
    time: str | int | None = None


def draft_of(item: Item | tuple[Any, ...] | dict[str, Any]) -> Draft:
    """Make an event to be appended of an `Item`, a tuple in its order, or a dict of its fields.

    Raises:
        UsageError: it is none of these, or what is in it is not usable.
    """
    try:
        given = Item(**item) if isinstance(item, dict) else Item(*item)
    except TypeError:
        raise UsageError(f"not an event: {item!r}", hint="give (kind, data, agent, time), or a dict of these") from None
    return draft(given.kind, from_object(given.data), given.agent, claimed(given.time))


def claimed(time: str | int | None) -> int | None:
    """The time to claim, in microseconds since 1970, that is given so or as ISO 8601; None claims none.

    Raises:
        UsageError: the text is no time.
    """
    return read_iso(time) if isinstance(time, str) else time


def append_drafts(parts: Parts, drafts: Sequence[Draft], imported: ImportMark | None = None) -> list[EventId]:
    """Append events in one transaction, which is on disk when this returns, and tell a running daemon.

    Raises:
        LimitError: one is over a limit; nothing was appended.
        StoreError: nothing was appended.
    """
    ids = parts.log.append(drafts, wall_ms(), imported=imported)
    wake(parts.folder)
    return ids
