"""Keys and values of the tables: bytes <-> numbers (storage-v1 sections 2 to 4).

Owns every fixed layout on disk. Pure. All integers are unsigned and big-endian, so that keys sort as their numbers do.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import Any, Final, NamedTuple

import msgspec

from hcom_replica.core.continuity import Home, Place
from hcom_replica.core.origin import CommitRow
from hcom_replica.errors import StoreCorrupt
from hcom_replica.ids import EventId, OriginId

FORMAT: Final = 1
"""The format version that this program writes and the newest that it reads."""

ANCHOR: Final = bytes(64)
"""Stands for a signature in the row of `commits` that keeps c and cumulative bytes at a derived origin's base."""

_from_bytes: Final = int.from_bytes
_named: Final = tuple.__new__
_U64: Final = struct.Struct(">Q")
_U32: Final = struct.Struct(">I")
_COMMIT: Final = struct.Struct(">QQ32s64s")
_STRETCH: Final = struct.Struct(">8sQIBQ")
_PEER: Final = struct.Struct(">B8sH")
_HOME: Final = struct.Struct(">16sQQ")
_AFTER: Final = b"\xff" * 9
_COUNT_END: Final = 1 << 62
"""No seq and no arrival number comes near; so sums of them still are keys."""


class Meta(bytes, Enum):
    """Names in the table `meta` (storage-v1 section 4)."""

    FORMAT = b"format"
    GROUP = b"group"
    ORIGIN = b"origin"
    HIGH_WATER = b"high_water"
    ARRIVAL = b"arrival"
    BOOT = b"boot"
    PROMISE = b"promise"
    EVENTS = b"events"
    HOME = b"home"


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """One event as it is stored: a row of `log`. What is in it is read when it is asked for.

    Attributes:
        key: hlc || origin, 16 bytes: its place in the unified order.
        value: of the row.
    """

    key: bytes
    value: bytes

    @property
    def hlc(self) -> int:
        """Hybrid logical time."""
        return number(self.key[:8])

    @property
    def origin(self) -> OriginId:
        """Short id."""
        return OriginId(self.key[8:])

    @property
    def seq(self) -> int:
        """From 1."""
        return _from_bytes(self.value[:8], "big")

    @property
    def id(self) -> EventId:
        """Its name."""
        return _named(EventId, (self.key[8:], _from_bytes(self.value[:8], "big")))  # as EventId() in half the time

    @property
    def record(self) -> bytes:
        """The encoded event."""
        return self.value[8:]


class Arrival(NamedTuple):
    """An event in the order in which this device stored it.

    Attributes:
        number: dense, from 1.
        late: an event that sorts behind it was already held when it was stored.
        received_ms: wall clock of the transaction that stored it.
        event: the event.
    """

    number: int
    late: bool
    received_ms: int
    event: StoredEvent


class Stretch(NamedTuple):
    """A row of `arrivals`: consecutive events of one origin that one transaction has stored.

    Attributes:
        number: arrival number of the first of them, from 1.
        origin: short id.
        first: seq of the first.
        length: how many, at least 1.
        late: as in `Arrival`, of each of them.
        received_ms: as in `Arrival`.
    """

    number: int
    origin: OriginId
    first: int
    length: int
    late: bool
    received_ms: int


class Received(NamedTuple):
    """How an event came here, without the event.

    Attributes:
        number: dense, from 1, in the order of arrival.
        key: hlc || origin, 16 bytes.
        late: as in `Arrival`.
        received_ms: as in `Arrival`.
    """

    number: int
    key: bytes
    late: bool
    received_ms: int


PeerNote = tuple[int, OriginId, int, int, bytes]
"""(kind u8, author origin, page u16, received at wall ms, what the core keeps of the message)."""


def u64(number: int) -> bytes:
    """Eight bytes of a number."""
    return number.to_bytes(8, "big")


def number(data: bytes) -> int:
    """The number in some bytes."""
    return int.from_bytes(data, "big")


def seq_key(origin: OriginId, seq: int) -> bytes:
    """Key of `index`, `commits` and `system`."""
    return origin + seq.to_bytes(8, "big")


def origin_end(origin: OriginId) -> bytes:
    """A key behind all `seq_key`s of an origin, and before those of the next."""
    return origin + _AFTER


def pack_stretch(stretch: Stretch) -> tuple[bytes, bytes]:
    """A row of `arrivals`."""
    number, *value = stretch
    return u64(number), _STRETCH.pack(*value)


def unpack_stretch(key: bytes, value: bytes) -> Stretch:
    """A row of `arrivals`.

    Raises:
        StoreCorrupt: it is of another size than any that was written, or says what none says.
    """
    origin, first, length, late, received_ms = _unpacked(_STRETCH, value, "arrivals")
    if not first or not length or late > 1 or max(number(key), first) + length > _COUNT_END:
        raise StoreCorrupt(f"the row of arrivals from number {number(key)} on cannot be read")
    return Stretch(number(key), OriginId(origin), first, length, bool(late), received_ms)


def pack_commit(row: CommitRow) -> bytes:
    """Value of `commits`; the seq is in the key."""
    return _COMMIT.pack(row.hlc, row.cum, row.tip, row.signature)


def unpack_commit(key: bytes, value: bytes) -> CommitRow:
    """A row of `commits`.

    Raises:
        StoreCorrupt: it is of another size than any that was written.
    """
    hlc, cum, tip, signature = _unpacked(_COMMIT, value, "commits")
    return CommitRow(number(key[8:]), hlc, cum, tip, signature)


def pack_peer(note: PeerNote) -> tuple[bytes, bytes]:
    """A row of `peers`."""
    kind, author, page, received_ms, message = note
    return _PEER.pack(kind, author, page), u64(received_ms) + message


def unpack_peer(key: bytes, value: bytes) -> PeerNote:
    """A row of `peers`.

    Raises:
        StoreCorrupt: its key is of another size than any that was written.
    """
    kind, author, page = _unpacked(_PEER, key, "peers")
    return kind, OriginId(author), page, number(value[:8]), value[8:]


def pack_home(home: Home) -> bytes:
    """Value of `home` in `meta`."""
    return _HOME.pack(home.id, *home.place)


def unpack_home(value: bytes) -> Home:
    """Value of `home` in `meta`; raises StoreCorrupt."""
    if len(value) != _HOME.size:
        raise StoreCorrupt("the home of this log cannot be read")
    name, inode, born_ns = _HOME.unpack(value)
    return Home(name, Place(inode, born_ns))


def _unpacked(layout: struct.Struct, data: bytes, table: str) -> tuple[Any, ...]:
    try:
        return layout.unpack(data)
    except struct.error:
        raise StoreCorrupt(f"a row of {table} has {len(data)} bytes instead of {layout.size}") from None
