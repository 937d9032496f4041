"""Which device wrote an origin, and what it is called: read from the log, so the same on every device."""

from __future__ import annotations

from hcom_replica.core.members import Members, display_names, read_members
from hcom_replica.core.reader import LogReader
from hcom_replica.errors import StoreCorrupt, UsageError
from hcom_replica.ids import OriginId
from hcom_replica.wire.signing import device_id


class Names:
    """Names of devices, as the log has them now. Brought up to date when an unknown origin turns up.

    Args:
        log: to read.
        own_key: public key of this device.
    """

    def __init__(self, log: LogReader, own_key: bytes) -> None:
        self._log = log
        self.own = device_id(own_key)
        self._devices: dict[OriginId, bytes] = {}
        self._shown: dict[bytes, str] = {}
        self._by_origin: dict[OriginId, str] = {}
        self._stated: dict[bytes, str] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the log's system events again."""
        self._devices = {state.id: state.device for state in self._log.origins()}
        members = self._members()
        self._shown = display_names(members, {*self._devices.values(), self.own})
        self._by_origin = {origin: self._shown[device] for origin, device in self._devices.items()}
        self._stated = members.names

    def _members(self) -> Members:
        """What the log says of names; where a row of a system event is damaged, what is kept of each origin."""
        try:
            return read_members(self._log)
        except StoreCorrupt:
            states = sorted(self._log.origins(), key=lambda state: state.generation)
            return Members({state.device: state.name for state in states if state.name})

    @property
    def own_name(self) -> str:
        """This device's name as it is shown."""
        return self._shown[self.own]

    @property
    def own_stated(self) -> str | None:
        """The name this device has stated in the log; None before its first event."""
        return self._stated.get(self.own)

    def device(self, origin: OriginId) -> bytes:
        """8 bytes that stand for the device that wrote an origin.

        Raises:
            StoreCorrupt: nothing is held of it; whoever names it is damaged.
        """
        if origin not in self._devices:
            self.refresh()
        if origin not in self._devices:
            raise StoreCorrupt(f"an event is of origin {origin.hex()}, of which nothing is held")
        return self._devices[origin]

    def device_of(self, origin: OriginId) -> bytes | None:
        """The same; None for an origin of which nothing is held."""
        try:
            return self.device(origin)
        except StoreCorrupt:
            return None

    def shown(self, origin: OriginId) -> str:
        """The name of the device that wrote an origin; see `device`."""
        shown = self._by_origin.get(origin)
        return self._shown[self.device(origin)] if shown is None else shown

    def is_called(self, origin: OriginId, name: str) -> bool:
        """Tell whether a person may mean this origin's device by a name: as shown, as stated, or the origin's id."""
        device = self.device(origin)
        return name in (self._shown[device], self._stated.get(device), origin.hex())

    def known(self, name: str) -> bool:
        """Tell whether any device here is called so."""
        return any(self.is_called(origin, name) for origin in self._devices) or name == self.own_name

    def find(self, name: str) -> bytes:
        """The 8 bytes of the device that a person means: by the name shown, or its id; else as `is_called` has it.

        Raises:
            UsageError: none, or more than one, is called so.
        """
        found = [device for device, shown in self._shown.items() if name in (shown, device.hex())]
        if not found:
            states = self._log.origins()  # a device may have turned up since the last refresh
            found = sorted({self.device(state.id) for state in states if self.is_called(state.id, name)})
        if not found:
            raise UsageError(f"no device {name} is known here", hint="hcom-replica devices lists them")
        if len(found) > 1:
            listed = ", ".join(self._shown[device] for device in found)
            raise UsageError(f"{len(found)} devices are called {name}", hint=f"name one: {listed}")
        return found[0]

    def all(self) -> dict[bytes, str]:
        """Device -> shown name, of all that are known here, this device included."""
        return dict(self._shown)
