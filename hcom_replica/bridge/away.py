"""What is said of the agents of a device that is away (hcom-bridge-v1 B4.3)."""

from __future__ import annotations

from hcom_replica.bridge.directory import Directory
from hcom_replica.bridge.ledger import Network
from hcom_replica.bridge.rows import iso_us
from hcom_replica.core.effects import Now


class Away:
    """Knows since when each device is away.

    Args:
        directory: of the group's devices.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._since_ms: dict[bytes, int] = {}
        self._present: set[bytes] = set()

    def look(self, network: Network) -> None:
        """See who is online."""
        self._present = {*self._directory.present(network.online()), self._directory.own}

    def text(self, device: bytes, now: Now) -> str:
        """What is said of a device's agents; empty when it is online."""
        if device in self._present:
            self._since_ms.pop(device, None)
            return ""
        since_ms = self._since_ms.setdefault(device, self._directory.last_written_ms(device) or now.wall_ms)
        return f"device away since {iso_us(since_ms * 1_000)[:16]}Z, mail is kept"
