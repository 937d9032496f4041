"""Which device wrote an origin, and what it is called here (hcom-bridge-v1 B4.1)."""

from __future__ import annotations

from hcom_replica.core.members import display_names, read_members
from hcom_replica.core.reader import LogReader
from hcom_replica.ids import OriginId


class Directory:
    """Devices by their ids of 8 bytes; brought up to date by `refresh`.

    Args:
        log: to read.
        own: id of this device.
        own_name: its name, while the log has none of it.
    """

    def __init__(self, log: LogReader, own: bytes, own_name: str) -> None:
        self.own = own
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

    def device(self, origin: OriginId) -> bytes:
        """Id of the device that wrote an origin."""
        if origin not in self._devices:
            self.refresh()
        return self._devices.get(origin, origin)

    def known(self, origin: OriginId) -> bytes | None:
        """The same, of an origin that something is held of; None for others."""
        return self._devices.get(origin)

    def name(self, device: bytes) -> str:
        """What a device is called."""
        return self._names.get(device) or device.hex().upper()[:8]

    def is_own_name(self, name: str) -> bool:
        """Whether this device is called so, or calls itself so; names are told apart without their case."""
        return name.upper() in (self.name(self.own).upper(), self._stated.get(self.own, "").upper())

    def others(self) -> list[bytes]:
        """All other devices that have not left."""
        return sorted({*self._devices.values()} - {self.own} - self._retired)

    def origins(self, device: bytes) -> list[OriginId]:
        """The origins of a device."""
        return [origin for origin, writer in self._devices.items() if writer == device]
