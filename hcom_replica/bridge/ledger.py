"""What the bridge needs of the log and of the network, and the keys of its shelf (hcom-bridge-v1 section 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Final, Protocol

from hcom_replica.core.origin import OriginState
from hcom_replica.core.reader import LogReader
from hcom_replica.ids import EventId, OriginId
from hcom_replica.wire.event import Draft

Shelved = tuple[bytes, bytes | None]
"""(key, value; None removes the key)."""

_KIND_WITHIN: Final = 32
"""The kind of an event stands in the first bytes of its record."""


class StoredEvent(Protocol):
    """One event as the log gives it."""

    @property
    def hlc(self) -> int:
        """Hybrid logical time."""

    @property
    def origin(self) -> OriginId:
        """Short id."""

    @property
    def seq(self) -> int:
        """From 1."""

    @property
    def record(self) -> bytes:
        """The encoded event."""


class Arrived(Protocol):
    """One event, in order of arrival."""

    @property
    def number(self) -> int:
        """Dense, from 1."""

    @property
    def event(self) -> StoredEvent:
        """The event."""


def may_be_of_kind(arrived: Arrived, words: bytes) -> bool:
    """Whether these words may stand in an event's kind, by its first bytes: most events need not be decoded."""
    return words in arrived.event.record[:_KIND_WITHIN]


class Shelf(Protocol):
    """What the bridge keeps beside the log."""

    def put(self, items: Iterable[Shelved]) -> None:
        """Set or remove keys, durably, in one transaction."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""

    def page(self, start: bytes, stop: bytes, limit: int = 1000, *, reverse: bool = False) -> list[tuple[bytes, bytes]]:
        """Return items with start <= key < stop, by key."""


class BridgeLog(LogReader, Protocol):
    """The log, as the bridge uses it."""

    @property
    def shelf(self) -> Shelf:
        """What is kept beside it."""

    @property
    def resumed(self) -> str:
        """Why a new incarnation was begun at opening; empty when none was."""

    def append(
        self,
        drafts: Sequence[Draft],
        now_ms: int,
        *,
        cursor: tuple[str, int] | None = None,
        shelved: Callable[[list[EventId]], Iterable[Shelved]] | None = None,
    ) -> list[EventId]:
        """Append events, move a cursor and put on the shelf, in one transaction."""

    def arrivals(self, after: int, limit: int = 1000) -> Sequence[Arrived]:
        """Return events in the order in which they were stored here."""

    def last_arrival(self) -> int:
        """Return the newest arrival number."""

    def cursor(self, name: str) -> int:
        """Return how far a consumer has come."""

    def event(self, name: EventId) -> StoredEvent | None:
        """Return one event."""

    def own_origin(self) -> OriginState | None:
        """Return the origin that is appended to."""


class Network(Protocol):
    """What the bridge asks of whoever syncs."""

    def settled(self) -> bool:
        """Whether it has been heard, on this connection, how far the others are; True where nothing is synced."""

    def behind(self) -> bool:
        """Whether something is known to be missing here."""

    def known(self) -> dict[OriginId, int]:
        """Origin to the highest seq that is known to exist."""

    def online(self) -> frozenset[OriginId]:
        """Origins of devices that are online."""


class Key(IntEnum):
    """First byte of the keys on the shelf."""

    SOURCE = 1
    ROW = 2
    TAKEN = 3
    OWN = 11
    AGENT = 4
    DEVICE = 5
    HANDED = 6
    NUMBER = 7
    REMOTE_AGENT = 8
    SETTLED = 9
    REMOTE = 10
    PEER = 12
    CLAIM = 13
    PEER_STATE = 14
    PEER_EVENT = 15
    LANE = 16
    GIVEN = 17
    GIVEN_AS = 18
    GIVEN_UP_TO = 19
    LANE_AGENT = 20
    LANE_TAKEN = 21

    def of(self, *parts: bytes) -> bytes:
        """Make a key."""
        return bytes((self,)) + b"".join(parts)

    def all(self, *parts: bytes) -> tuple[bytes, bytes]:
        """The range of all keys that begin so."""
        start = self.of(*parts)
        return start, start + b"\xff" * (_KEY_BYTES_MAX - len(start))


_KEY_BYTES_MAX: Final = 300
"""More than any key of the bridge has."""

PEER_KIND: Final = "hcom_peer"
"""Kind of the events that tell of a machine that runs only hcom (B8.5)."""

CLAIM_KIND: Final = "hcom_gateway"
"""Kind of the events by which a device says that it carries, or carries no more, for such machines (B8.2)."""

CURSOR: Final = "hcom"
"""Name of the cursor behind which events are to be handed to hcom."""


def u64(number: int) -> bytes:
    """Eight bytes of a number."""
    return number.to_bytes(8, "big")


def event_bytes(name: EventId) -> bytes:
    """Sixteen bytes of an event's id."""
    return name.origin + u64(name.seq)


def event_of(data: bytes) -> EventId:
    """The event's id in sixteen bytes."""
    return EventId(OriginId(data[:8]), int.from_bytes(data[8:16], "big"))
