"""Which device wrote an origin, and what it is called here (hcom-bridge-v1 B4.1)."""

from __future__ import annotations

import msgspec

from hcom_replica.bridge.foreigners import Foreigners, peer_device
from hcom_replica.bridge.rows import peer_of
from hcom_replica.core.hlc import millis
from hcom_replica.core.members import display_names, read_members
from hcom_replica.core.reader import LogReader
from hcom_replica.ids import OriginId
from hcom_replica.wire.event import Event


class Directory:
    """Devices by their ids of 8 bytes; brought up to date by `refresh`.

    Args:
        log: to read.
        own: id of this device.
        own_name: its name, while the log has none of it.
        foreigners: machines that run only hcom: they count as devices here, though another writes for them.
    """

    def __init__(self, log: LogReader, own: bytes, own_name: str, foreigners: Foreigners) -> None:
        self.own = own
        self.foreigners = foreigners
        self._log = log
        self._own_name = own_name
        self._devices: dict[OriginId, bytes] = {}
        self._names: dict[bytes, str] = {}
        self._stated: dict[bytes, str] = {}
        self._retired: frozenset[bytes] = frozenset()
        self.refresh()

    def refresh(self) -> None:
        """Read the log's origins and system events again."""
        self._devices = {state.id: state.device for state in self._log.origins()}
        members = read_members(self._log)
        self._names = display_names(members, {*self._devices.values(), self.own})
        self._stated = members.names
        self._retired = frozenset(members.retired)
        if self.own not in members.names:
            self._names[self.own] = self._own_name

    def follow(self, now_ms: int) -> bool:
        """Read what has arrived of machines that run only hcom; return whether there is more to be read.

        Raises:
            StoreError: nothing was changed.
        """
        return self.foreigners.follow(self.device, now_ms)

    def device(self, origin: OriginId) -> bytes:
        """Id of the device that wrote an origin."""
        if origin not in self._devices:
            self.refresh()
        return self._devices.get(origin, origin)

    def read(self, origin: OriginId, event: Event) -> tuple[bytes, Event]:
        """Whose event it is, and the event with its agent as that device calls it."""
        uuid = peer_of(event.body)
        device = None if uuid is None else peer_device(uuid)
        if device is None or device not in self.foreigners.peers:
            return self.device(origin), event
        suffix = ":" + self.foreigners.peers[device].name
        return device, msgspec.structs.replace(event, agent=(event.agent or "").removesuffix(suffix) or None)

    def name(self, device: bytes) -> str:
        """What a device is called."""
        peer = self.foreigners.peers.get(device)
        if peer is not None:
            return peer.name
        return self._names.get(device) or device.hex().upper()[:8]

    def is_name(self, name: str) -> bool:
        """Whether a device of the group is called so."""
        return name in self._names.values() or name in self._stated.values()

    def is_own_name(self, name: str) -> bool:
        """Whether this device is called so, or calls itself so; names are told apart without their case."""
        return name.upper() in (self.name(self.own).upper(), self._stated.get(self.own, "").upper())

    def members(self) -> list[bytes]:
        """All devices of the group that have not left, this one included."""
        return sorted({*self._devices.values(), self.own} - self._retired)

    def others(self) -> list[bytes]:
        """All other devices that have not left, and the machines for which one of the group carries."""
        return sorted({*self.members(), *self._carried()} - {self.own})

    def gone(self) -> frozenset[bytes]:
        """The devices that have left."""
        return self._retired

    def _carried(self) -> list[bytes]:
        return [
            device
            for device, peer in self.foreigners.peers.items()
            if self.foreigners.standing(peer.group, self._retired)
        ]

    def present(self, online: frozenset[OriginId]) -> set[bytes]:
        """The devices that are online, given origins of those that are; a machine's carrier has to be, too."""
        devices = {self._devices[origin] for origin in online if origin in self._devices}
        peers = self.foreigners.peers
        return devices | {key for key, peer in peers.items() if peer.here and peer.carrier in {*devices, self.own}}

    def last_written_ms(self, device: bytes) -> int:
        """When a device wrote, or was told of, last, by its writer's clock; 0 when that is not known."""
        if device in self.foreigners.peers:
            return millis(self.foreigners.peers[device].hlc)
        states = [self._log.origin_state(origin) for origin in self.origins(device)]
        return max((millis(state.hlc) for state in states if state is not None), default=0)

    def origins(self, device: bytes) -> list[OriginId]:
        """The origins of a device."""
        return [origin for origin, writer in self._devices.items() if writer == device]
