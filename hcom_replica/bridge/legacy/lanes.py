"""Under which letters and numbers our devices are published for machines that run only hcom (hcom-bridge-v1 B8.7).

Owns that each event is given once, in the order of its origin, and that numbers never go back: hcom deletes a device's
history when they do. Numbers come from the wall clock, so that a restored folder goes on above what it has forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from hcom_replica.bridge.ledger import BridgeLog, Key, Shelved, event_bytes, event_of, u64
from hcom_replica.bridge.numbering import made_uuid
from hcom_replica.bridge.snapshot import HcomEvent
from hcom_replica.core.effects import Now
from hcom_replica.errors import UsageError
from hcom_replica.ids import EventId, OriginId, parse_event_id

_THERE: Final = "-R"
"""What follows a device's name where another there has it for letters."""

_pack = msgspec.msgpack.encode


class Lane(msgspec.Struct):
    """One of our devices, as it is published.

    Attributes:
        short: its letters there.
        last: the greatest number that was given.
        sent: the greatest that may have been published.
        taken: the greatest that the broker has taken for certain.
        ts_s: time of the newest envelope.
        history: what has a number up to this was there before the group was joined.
    """

    short: str
    last: int = 0
    sent: int = 0
    taken: int = 0
    ts_s: int = 0
    history: int = 0


class _Ours(msgspec.Struct):
    """The id of an event of our log, as `ids` writes it; empty where there is none."""

    id: str = ""


class _Handed(msgspec.Struct):
    """The data of an event that another bridge of this group has published: which of ours it is."""

    ours: _Ours = msgspec.field(name="_replica", default_factory=_Ours)


_decode_handed = msgspec.json.Decoder(_Handed).decode


class Given(NamedTuple):
    """An event that has a number."""

    number: int
    name: EventId


class Lanes:
    """The lanes of all our devices.

    Args:
        log: on whose shelf they are kept.
        group: 16 bytes, of our group.

    Attributes:
        heard: devices of which the broker had something; the owner empties it when it connects.
    """

    def __init__(self, log: BridgeLog, group: bytes) -> None:
        self._shelf = log.shelf
        self._group = group
        self._lanes = {
            key[1:]: msgspec.msgpack.decode(value, type=Lane) for key, value in self._shelf.page(*Key.LANE.all())
        }
        self.heard: set[bytes] = set()
        self._up_to = {
            OriginId(key[1:]): int.from_bytes(value, "big")
            for key, value in self._shelf.page(*Key.GIVEN_UP_TO.all(), limit=1 << 16)
        }

    def known(self) -> list[tuple[bytes, Lane]]:
        """All devices that were ever published, and how."""
        return list(self._lanes.items())

    def uuid(self, device: bytes) -> str:
        """By which a device is published."""
        return made_uuid(self._group, device)

    def lane(self, device: bytes, name: str, taken: Iterable[str]) -> Lane:
        """The lane of a device, with letters that nobody else has."""
        lane = self._lanes.get(device)
        if lane is None or lane.short.removesuffix(_THERE) != name or lane.short in taken:
            others = {*taken, *(other.short for key, other in self._lanes.items() if key != device)}
            short = name
            while short in others:
                short += _THERE
            lane = self._lanes.setdefault(device, Lane(short))
            lane.short = short
            self._shelf.put([self.kept(device)])
        return lane

    def taken(self, device: bytes, number: int) -> None:
        """The broker has taken what was published up to a number; kept with what is published next."""
        self._lanes[device].taken = max(self._lanes[device].taken, number)

    def kept(self, device: bytes) -> Shelved:
        """What is to be kept of a device."""
        return Key.LANE.of(device), _pack(self._lanes[device])

    def device_of(self, short: str) -> bytes | None:
        """The device that has some letters there."""
        return next((device for device, lane in self._lanes.items() if lane.short == short), None)

    def short_of(self, device: bytes) -> str | None:
        """The letters of a device there."""
        lane = self._lanes.get(device)
        return None if lane is None else lane.short

    # --- giving --------------------------------------------------------------------------------------------

    def is_given(self, name: EventId) -> bool:
        """Whether an event was published, or is about to be."""
        return name.seq <= self._up_to.get(name.origin, 0)

    def up_to(self) -> dict[OriginId, int]:
        """Origin -> the highest seq that was given a number."""
        return dict(self._up_to)

    def passed(self, name: EventId) -> Shelved:
        """What is to be kept of an event behind which that origin goes on."""
        self._up_to[name.origin] = max(self._up_to.get(name.origin, 0), name.seq)
        return Key.GIVEN_UP_TO.of(name.origin), u64(self._up_to[name.origin])

    def give(self, device: bytes, name: EventId, now: Now, *, historic: bool) -> Iterable[Shelved]:
        """Give an event the next number of a device; what is to be kept of that."""
        lane = self._lanes[device]
        lane.last = max(lane.last + 1, now.wall_ms * 1_000)
        lane.history = lane.last if historic else lane.history
        yield from self._noted(device, Given(lane.last, name))
        yield self.kept(device)

    def number_of(self, name: EventId, fresh: Mapping[bytes, bytes | None]) -> tuple[bytes, int] | None:
        """(device, number) of an event that was given; None of others."""
        key = Key.GIVEN_AS.of(event_bytes(name))
        found = fresh.get(key) or self._shelf.get(key)
        return None if found is None else (found[:8], int.from_bytes(found[8:], "big"))

    def event_at(self, device: bytes, number: int) -> EventId | None:
        """The event that has a number of a device."""
        found = self._shelf.get(Key.GIVEN.of(device, u64(number))) if 0 <= number < 1 << 63 else None
        return None if found is None else event_of(found)

    def after(self, device: bytes, number: int, limit: int) -> list[Given]:
        """The events behind a number, ascending."""
        return self._given(*self._range(device, number + 1, 1 << 63), limit, reverse=False)

    def before(self, device: bytes, number: int, limit: int, *, above: int = 0) -> list[Given]:
        """The last events below a number and above another, descending."""
        return self._given(*self._range(device, above + 1, number), limit, reverse=True)

    def _range(self, device: bytes, low: int, high: int) -> tuple[bytes, bytes]:
        return Key.GIVEN.of(device, u64(min(low, 1 << 63))), Key.GIVEN.of(device, u64(min(high, 1 << 63)))

    def _given(self, start: bytes, stop: bytes, limit: int, *, reverse: bool) -> list[Given]:
        found = self._shelf.page(start, stop, limit, reverse=reverse)
        return [Given(int.from_bytes(key[9:], "big"), event_of(value)) for key, value in found]

    def _noted(self, device: bytes, given: Given) -> Iterable[Shelved]:
        yield Key.GIVEN.of(device, u64(given.number)), event_bytes(given.name)
        yield Key.GIVEN_AS.of(event_bytes(given.name)), device + u64(given.number)

    # --- what others have published ------------------------------------------------------------------------

    def learn(self, device: bytes, short: str, ts_s: int, events: Iterable[HcomEvent]) -> None:
        """Somebody has published this device: another carrier, or this folder before it was restored.

        What is to be published later goes on behind that.
        """
        self.heard.add(device)
        lane = self._lanes.setdefault(device, Lane(short))
        before = (lane.last, lane.sent, lane.ts_s)
        lane.ts_s = max(lane.ts_s, ts_s)
        notes: list[Shelved] = []
        for event in events:
            lane.last = max(lane.last, event.id)
            lane.sent = max(lane.sent, event.id)
            lane.taken = max(lane.taken, event.id)
            with suppress(UsageError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                name = parse_event_id(_decode_handed(event.data).ours.id)
                if not self.is_given(name):
                    notes += [*self._noted(device, Given(event.id, name)), self.passed(name)]
        if notes or before != (lane.last, lane.sent, lane.ts_s):
            self._shelf.put([*notes, self.kept(device)])

    def skip(self, given: Mapping[OriginId, int]) -> None:
        """Carriers before have published so far, by their own word."""
        notes = [self.passed(EventId(origin, seq)) for origin, seq in given.items() if seq > self._up_to.get(origin, 0)]
        if notes:
            self._shelf.put(notes)
