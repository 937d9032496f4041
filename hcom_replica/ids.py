"""Identifiers and small shared value types: what everything above agrees on.

Owns no behaviour beyond text forms. `OriginId` is 8 bytes; its text form is 16 lower-case hex digits.
An event's id is `<origin hex>:<seq>`; its order key is `hlc || origin`, 16 bytes, big-endian.
"""

from __future__ import annotations

import re
from functools import partial
from itertools import repeat
from typing import Final, NamedTuple, NewType

from hcom_replica.errors import UsageError

OriginId = NewType("OriginId", bytes)
"""Short origin id: the first 8 bytes of the 32-byte origin hash (protocol-v1 section 2)."""

ORIGIN_BYTES: Final = 8

_EVENT_ID = re.compile(r"([0-9a-f]{16}):([1-9][0-9]{0,18})")
_NAME = re.compile(r"[A-Z0-9](?:[A-Z0-9-]{0,14}[A-Z0-9])")


class EventId(NamedTuple):
    """(origin, seq): names one event for ever. seq counts from 1."""

    origin: OriginId
    seq: int

    def __str__(self) -> str:
        return f"{self.origin.hex()}:{self.seq}"


_event_id: Final = partial(tuple.__new__, EventId)  # as EventId() does, in a third of the time


def event_ids(origin: OriginId, first: int, last: int) -> list[EventId]:
    """The ids of consecutive events."""
    return list(map(_event_id, zip(repeat(origin), range(first, last + 1), strict=False)))


def parse_event_id(text: str) -> EventId:
    """Read `<origin hex>:<seq>`.

    Raises:
        UsageError: the text is not an event id.
    """
    match = _EVENT_ID.fullmatch(text)
    if match is None:
        raise UsageError(f"not an event id: {text!r}", hint="an id looks like 0123456789abcdef:42")
    return EventId(OriginId(bytes.fromhex(match[1])), int(match[2]))


def order_key(hlc: int, origin: OriginId) -> bytes:
    """The 16-byte key of the unified order (protocol-v1 section 3): hlc || origin, big-endian."""
    return hlc.to_bytes(8, "big") + origin


def check_device_name(name: str) -> str:
    """Return `name` if it is a device name: 2 to 16 of A-Z 0-9 and inner hyphens.

    Raises:
        UsageError: it is not.
    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"not a device name: {name!r}", hint="use 2 to 16 of A-Z, 0-9 and - (not at the ends), like BOXE"
        )
    return name
