"""What a device says that it knows of others' events, against what exists: no less is missing than it was told.

Owns the reading of signed words from a device's disk: heads of others, and links of hellos. It believes nothing that
the machine says of itself (protocol-v1 section 10).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from hcom_replica.core.hello import Hello, read_system
from hcom_replica.core.members import read_members
from hcom_replica.ids import OriginId
from hcom_replica.limits import INFLATED_BYTES_MAX, SPOOL_BYTES_MAX
from hcom_replica.store.log import Log
from hcom_replica.testing.checkers import Checkers, Violation
from hcom_replica.testing.device import Device
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import decode_head

_BUFFERED_BYTES_MAX: Final = 2 * SPOOL_BYTES_MAX + INFLATED_BYTES_MAX
"""What a device may keep in memory: beyond gaps, of parts, and one message more on its way to the store."""

_AUTHOR_BYTES: Final = 32 + 12
"""In a kept slot message: key and incarnation stand before the payload."""


class Claims:
    """The claims of the running devices of one world.

    Args:
        checkers: knows what exists.
        devices: by name.
    """

    def __init__(self, checkers: Checkers, devices: Mapping[str, Device]) -> None:
        self._checkers = checkers
        self._devices = devices

    def check(self, device: Device) -> None:
        """Judge what a running device knows and keeps; its disk has been looked at.

        Raises:
            Violation: S6, S7 or P4.5.
        """
        held = self._checkers.disks[device.name].states
        said = self._announced(device).items()
        lacking = sum(max(0, seq - (held[origin].seq if origin in held else 0)) for origin, seq in said)
        claimed = device.machine.wait_result().missing_events
        if claimed < lacking:
            raise Violation("S7", f"{device.name} says that {claimed} events are missing, and has heard of {lacking}")
        if device.machine.buffered_bytes > _BUFFERED_BYTES_MAX:
            raise Violation("P4.5", f"{device.name} keeps {device.machine.buffered_bytes} bytes in memory")
        self._check_acknowledgements(device)

    def missing(self, name: str, among: Collection[str] | None = None) -> int:
        """How many seqs a running device says are missing, those left out that no disk holds any more.

        Args:
            name: of the device.
            among: names of the devices whose disks count; None for all.
        """
        known, states = self._devices[name].machine.known(), self._checkers.disks[name].states
        have = {origin: states[origin].seq if origin in states else 0 for origin in known}
        return sum(max(0, min(seq, self._checkers.highest(o, among)) - have[o]) for o, seq in known.items())

    def _check_acknowledgements(self, device: Device) -> None:
        """What it believes that others hold of its origin they have held; copies of disks, which may part, aside."""
        own = device.log.own_origin()
        if own is None or own.key in self._checkers.twinned:
            return
        honest = {other.id for one in self._devices.values() if (other := one.log.own_origin()) is not None}
        for row in device.status().devices:
            origin = OriginId(bytes.fromhex(row.origin))
            held = self._checkers.ever_held(origin, own.id)
            if origin in honest and row.acked_seq is not None and row.acked_seq > held:
                raise Violation("S6", f"{device.name} believes that {row.device} has {row.acked_seq} of its {held}")

    def _announced(self, device: Device) -> dict[OriginId, int]:
        """Origin -> the highest seq that signed words on a device's disk speak of: heads of others, and links.

        A head of a branch that has another name by now counts no more, nor do those of revoked keys and of liars.
        """
        log, known = device.log, dict[OriginId, int]()
        said = list[tuple[OriginId, int, bytes]]()
        discounted = {*device.membership().revoked, *self._checkers.liars}
        for kind, author, _, _, data in log.peers():
            if kind == Kind.HEAD and data[:32] not in discounted:
                head = decode_head(data[_AUTHOR_BYTES:])
                said.append((author, head.seq, head.tip))
        for _, _, event in log.system_events():
            stated = read_system(event.kind, event.body)
            if isinstance(stated, Hello) and stated.link is not None:
                if bytes.fromhex(stated.key) in discounted:
                    continue
                link = stated.link
                said.append((OriginId(bytes.fromhex(link.origin)), link.seq, bytes.fromhex(link.c)))
        members = read_members(log)
        for origin, seq, tip in said:
            if not _is_branch(log, seq, tip):
                cap = members.cap(origin)
                known[origin] = max(seq if cap is None else min(seq, cap), known.get(origin, 0))
        return known


def _is_branch(log: Log, seq: int, tip: bytes) -> bool:
    branches = [state for state in log.origins() if state.forks and state.base < seq <= state.seq]
    return any(log.tip_at(state.id, seq) == tip for state in branches)
