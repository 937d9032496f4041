"""Under which UUID, letters and numbers hcom knows each other device (hcom-bridge-v1 B4.2).

Owns the rule that numbers never go back: hcom deletes a device's history when they do. The next number is above both
ours and hcom's cursor, and what was handed over is kept, so that it is never handed over twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import blake2b
from typing import Final
from uuid import UUID

import msgspec

from hcom_replica.bridge.database import HcomDatabase
from hcom_replica.bridge.ledger import BridgeLog, Key, Shelved, event_bytes, event_of, u64
from hcom_replica.core.effects import Now
from hcom_replica.errors import UsageError
from hcom_replica.ids import EventId, parse_event_id

_RECOVER_MAX: Final = 1_000
_HERE: Final = "-R"
"""What follows a device's name where hcom itself has that name: this device's, for what was not written by hcom."""

_NOTHING: Final[Mapping[bytes, bytes | None]] = {}

_pack = msgspec.msgpack.encode


class Alias(msgspec.Struct):
    """What hcom knows a device by.

    Attributes:
        uuid: in topics.
        short: behind the colon.
        last: the greatest number that was given to an event.
        seen: the newest that hcom's cursor was seen at.
        ts_s: time of the newest envelope.
        rows_until: hcom has rows of it from an earlier group, none newer than this time; empty when it has none.
    """

    uuid: str
    short: str
    last: int = 0
    seen: int = 0
    ts_s: int = 0
    rows_until: str = ""


class Numbering:
    """The aliases of all devices.

    Args:
        log: on whose shelf they are kept.
        group: 16 bytes.
    """

    def __init__(self, log: BridgeLog, group: bytes) -> None:
        self._shelf = log.shelf
        self._group = group
        self._aliases = {
            key[1:]: msgspec.msgpack.decode(value, type=Alias) for key, value in self._shelf.page(*Key.DEVICE.all())
        }

    def known(self) -> list[tuple[bytes, Alias]]:
        """All devices that hcom was told of, and what it knows them by."""
        return list(self._aliases.items())

    def alias(self, device: bytes, name: str, database: HcomDatabase, own_short: str) -> Alias:
        """What hcom knows a device by, brought up to date with what hcom itself has.

        Args:
            device: its id.
            name: in our group.
            database: hcom's.
            own_short: letters of hcom's own device.

        Raises:
            BridgeError: the database cannot be read now.
        """
        alias = self._aliases.get(device)
        if alias is not None and alias.short.removesuffix(_HERE) == name:
            return alias
        uuid = alias.uuid if alias is not None else self._uuid(device)
        short, mapped = self._free(name, device, database, own_short)
        made = alias or Alias(uuid, short)
        made.short = short
        if mapped is not None and mapped != made.uuid:  # of an earlier group: hcom would drop any other UUID
            made.uuid = mapped
            made.rows_until = database.newest_relayed(mapped)
        made.last = max(made.last, database.kv_number(f"relay_events_{made.uuid}") or 0)
        self._aliases[device] = made
        self._shelf.put([(Key.DEVICE.of(device), _pack(made))])
        return made

    def _free(self, name: str, device: bytes, database: HcomDatabase, own_short: str) -> tuple[str, str | None]:
        """Letters that hcom gives to nobody else, and the UUID that it has for them."""
        others = {alias.uuid for other, alias in self._aliases.items() if other != device}
        taken = {own_short, *(alias.short for other, alias in self._aliases.items() if other != device)}
        short = name
        while True:
            mapped = database.kv(f"relay_short_{short}")
            if short not in taken and mapped not in others:
                return short, mapped
            short += _HERE

    def _uuid(self, device: bytes) -> str:
        return made_uuid(self._group, device)

    def next_number(self, alias: Alias, cursor: int | None) -> int:
        """Give the next number of a device."""
        alias.last = max(alias.last, cursor or 0) + 1
        return alias.last

    def move_time(self, alias: Alias, now: Now, database: HcomDatabase) -> bool:
        """Set the time of a device's next envelope, which never goes back; tell whether it is another than before.

        The caller keeps the alias before that envelope is published.
        """
        before_s = alias.ts_s
        alias.ts_s = max(now.wall_ms // 1_000, before_s, database.kv_number(f"relay_state_ts_{alias.uuid}") or 0)
        return alias.ts_s != before_s

    def kept(self, device: bytes, alias: Alias) -> Shelved:
        """What is to be kept of a device."""
        return Key.DEVICE.of(device), _pack(alias)

    # --- what was handed over ------------------------------------------------------------------------------

    def handed(self, device: bytes, number: int, name: EventId) -> Iterable[Shelved]:
        """What is to be kept of an event that is handed over."""
        yield Key.HANDED.of(device, u64(number)), event_bytes(name)
        yield Key.NUMBER.of(event_bytes(name)), device + u64(number)

    def number_of(self, name: EventId, fresh: Mapping[bytes, bytes | None] = _NOTHING) -> tuple[bytes, int] | None:
        """(device, number) under which an event was handed over or is about to be; None when it was not."""
        key = Key.NUMBER.of(event_bytes(name))
        found = fresh.get(key) or self._shelf.get(key)
        return None if found is None else (found[:8], int.from_bytes(found[8:], "big"))

    def device_of(self, short: str) -> bytes | None:
        """The device that hcom knows by some letters."""
        return next((device for device, alias in self._aliases.items() if alias.short == short), None)

    def uuid_of(self, device: bytes) -> str | None:
        """The UUID by which hcom knows a device."""
        alias = self._aliases.get(device)
        return None if alias is None else alias.uuid

    def short_of(self, device: bytes) -> str | None:
        """The letters of a device that something was handed over of."""
        alias = self._aliases.get(device)
        return None if alias is None else alias.short

    def events_from(self, device: bytes, number: int, limit: int) -> list[tuple[int, EventId]]:
        """What was handed over of a device from a number on, ascending."""
        start, stop = Key.HANDED.of(device, u64(number)), Key.HANDED.all(device)[1]
        return [
            (int.from_bytes(key[9:], "big"), event_of(value)) for key, value in self._shelf.page(start, stop, limit)
        ]

    def forget(self, device: bytes, but: set[str]) -> Iterable[Shelved]:
        """What is to be kept no more, so that a device's events are handed over again, but for some; numbers go on."""
        alias = self._aliases[device]
        alias.seen = alias.last
        yield self.kept(device, alias)
        number = 1
        while page := self.events_from(device, number, _RECOVER_MAX):
            for number, name in page:
                if str(name) not in but:
                    yield Key.HANDED.of(device, u64(number)), None
                    yield Key.NUMBER.of(event_bytes(name)), None
            number += 1

    def recover(self, device: bytes, alias: Alias, database: HcomDatabase, cursor: int) -> None:
        """Hcom has more of a device than this folder, which was restored, knows of: learn it from hcom's rows.

        Raises:
            BridgeError: the database cannot be read now; what was learned so far stands.
        """
        while alias.last < cursor:
            found = database.handed(alias.uuid, alias.last, _RECOVER_MAX)
            items: list[Shelved] = []
            for number, text in found:
                with suppress(UsageError):
                    items += self.handed(device, number, parse_event_id(text))
                alias.last = max(alias.last, number)
            if len(found) < _RECOVER_MAX:
                alias.last = max(alias.last, cursor)
            self._shelf.put([*items, self.kept(device, alias)])


def made_uuid(group: bytes, device: bytes) -> str:
    """The UUID by which hcom is told of a device of a group, here and elsewhere (B4.1, B8.7)."""
    return str(UUID(bytes=blake2b(b"hcom-bridge" + group + device, digest_size=16).digest(), version=4))
