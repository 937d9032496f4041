"""The stable stream of every device of a world, as a reader would have had it, compared with those of all others (S10).

Owns what was read so far. A device reads on from time to time, and what it has read must stay the beginning of its own
stream and of everybody's. Not judged: devices that others have declared gone, until they come back as a new incarnation
(P13.7), or that only such a device had let in; and anything once a device was cloned or put back (P13.9).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hcom_replica.core.frontier import find_frontier
from hcom_replica.core.kept import basis_of
from hcom_replica.core.roster import Roster, logged_roster
from hcom_replica.ids import OriginId
from hcom_replica.store.log import Log
from hcom_replica.store.stable import StablePlace, stable_events
from hcom_replica.testing.checkers import Violation, fingerprint
from hcom_replica.testing.device import Device

_EVERY_MS: Final = 2_000

Line = tuple[StablePlace, OriginId, int, bytes]
"""Place, origin, seq, and what stands for the event."""


@dataclass(slots=True)
class _Reading:
    """What a device has read.

    Attributes:
        own: the origin it wrote meanwhile.
        entries: where each origin was let in, by its log.
        lines: what it has read.
        key: how far its frontier was.
        looked_ms: when it read last.
    """

    own: OriginId
    entries: dict[OriginId, bytes] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    key: bytes = b""
    looked_ms: int = 0

    def begins_as(self, roster: Roster) -> bool:
        """Whether its origin was let in where this roster says: else whoever had let it in does not count."""
        return self.entries.get(self.own, b"") == roster.entries.get(self.own, b"")


class StableWatch:
    """The readings of one world.

    Args:
        twinned: keys of devices that were cloned or put back; as soon as there is one, nothing is judged.

    Attributes:
        lines: how many lines were compared.
    """

    def __init__(self, twinned: set[bytes]) -> None:
        self._twinned = twinned
        self._readings: dict[str, _Reading] = {}
        self._gone: dict[str, OriginId | None] = {}
        self._shut_out: set[str] = set()
        self._compared: dict[tuple[str, str], int] = {}
        self.lines = 0

    def leave(self, device: Device) -> None:
        """Somebody has declared a device gone: what it writes now is not judged any more."""
        own = device.log.own_origin()
        self._readings.pop(device.name, None)
        self._gone[device.name] = own.id if own is not None else None

    def shut_out(self, device: Device) -> None:
        """A device was revoked: what it reads is its own affair from now on."""
        self._readings.pop(device.name, None)
        self._shut_out.add(device.name)

    def forget(self, name: str) -> None:
        """A device and its disk are no more."""
        self._readings.pop(name, None)

    def look(self, device: Device, now_ms: int) -> None:
        """Let a device read on, if it has not done so lately.

        Raises:
            Violation: S10.
        """
        own, reading = device.log.own_origin(), self._readings.get(device.name)
        gone = device.name in self._shut_out or (own is not None and self._gone.get(device.name) == own.id)
        if self._twinned or own is None or gone:
            return
        if reading is None or reading.own != own.id:
            reading = self._begin(device.name, own.id)
        elif now_ms - reading.looked_ms < _EVERY_MS:
            return
        reading.looked_ms = now_ms
        roster, key = judged(device)
        if not reading.begins_as(roster):
            reading = self._begin(device.name, own.id)
        reading.entries = roster.entries
        if key is not None:
            self._read_on(device.name, device.log, roster, key)

    def read_again(self, device: Device) -> None:
        """Read all from the start: it must be what was read before, unless whoever had let it in does not count.

        Raises:
            Violation: S10.
        """
        reading = self._readings.get(device.name)
        if reading is None or self._twinned:
            return
        roster, key = judged(device)
        if not reading.begins_as(roster):
            return
        lines = _lines(device.log, roster, max(key or b"", reading.key), None)
        _compare(f"{device.name} then", reading.lines, f"{device.name} now", lines)

    def _begin(self, name: str, own: OriginId) -> _Reading:
        self._readings[name] = reading = _Reading(own)
        self._compared = {pair: done for pair, done in self._compared.items() if name not in pair}
        return reading

    def _read_on(self, name: str, log: Log, roster: Roster, key: bytes) -> None:
        reading = self._readings[name]
        if key < reading.key:
            raise Violation("S10", f"the frontier of {name} steps back")
        reading.key = key
        reading.lines += _lines(log, roster, key, reading.lines[-1][0] if reading.lines else None)
        for other, others in self._readings.items():
            if other != name and _know_each_other(reading, others):
                pair = (min(name, other), max(name, other))
                done = self._compared.get(pair, 0)
                _compare(name, reading.lines, other, others.lines, done)
                self._compared[pair] = max(done, min(len(reading.lines), len(others.lines)))
                self.lines += self._compared[pair] - done


def compare_ends(one: Device, other: Device) -> None:
    """Of two devices with equal logs the stable stream of one begins with all of the other's.

    Raises:
        Violation: S10.
    """
    streams = []
    for device in (one, other):
        roster, key = judged(device)
        streams.append(_lines(device.log, roster, key or b"", None))
    _compare(one.name, streams[0], other.name, streams[1])


def judged(device: Device) -> tuple[Roster, bytes | None]:
    """The roster by a device's log, and how far its frontier is.

    Raises:
        Violation: S10: the device keeps another roster than the one that is judged anew.
    """
    log = device.log
    states, own = {state.id: state for state in log.origins()}, log.own_origin()
    roster = logged_roster(log, device.viewer, states)
    basis = basis_of(device.viewer.founder, states.values())
    stored, known = log.kept_roster(basis), device.machine.kept_roster() if device.running else None
    if stored not in (None, roster) or (known is not None and known.basis == basis and known.roster != roster):
        raise Violation("S10", f"the roster that {device.name} keeps is not the one that its log gives")
    return roster, find_frontier(roster, states, log.promises(), own.id if own is not None else None).key


def _know_each_other(one: _Reading, other: _Reading) -> bool:
    """Whether both were let in where the other thinks: one that only a lost device let in is not judged (P13.9)."""
    return all(
        one.entries.get(own) is not None and one.entries.get(own) == other.entries.get(own)
        for own in (one.own, other.own)
    )


def _lines(log: Log, roster: Roster, key: bytes, after: StablePlace | None) -> list[Line]:
    found = stable_events(log, roster, key, after)
    return [(one.place, one.event.origin, one.event.seq, fingerprint(one.event.record)) for one in found]


def _compare(name: str, lines: list[Line], other: str, others: list[Line], first: int = 0) -> None:
    """Whether the shorter of two streams is the beginning of the longer one; equal before `first`."""
    for number in range(min(first, len(others)), min(len(lines), len(others))):
        if lines[number] != others[number]:
            one, two = lines[number], others[number]
            raise Violation(
                "S10",
                f"line {number}: {name} reads {one[1].hex()}:{one[2]} at {one[0].key.hex()}, "
                f"{other} {two[1].hex()}:{two[2]} at {two[0].key.hex()}",
            )
