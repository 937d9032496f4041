"""Appending to an open folder: the shortest way from what a caller gives to events on disk.

Owns what a caller's event may be. Loads nothing that only readers need, because commands that append are run often
and one by one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from hcom_replica.api.control import wake
from hcom_replica.api.opening import Parts
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


def append_drafts(parts: Parts, drafts: Sequence[Draft], imported: ImportMark | None = None) -> list[EventId]:
    """Append events in one transaction, which is on disk when this returns, and tell a running daemon.

    Raises:
        LimitError: one is over a limit; nothing was appended.
        StoreError: nothing was appended.
    """
    ids = parts.log.append(drafts, wall_ms(), imported=imported)
    wake(parts.folder)
    return ids
