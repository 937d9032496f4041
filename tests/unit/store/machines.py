"""A machine on which processes open, append to and lose a log: what tests of home and marker share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hcom_replica.core.append import Writer
from hcom_replica.core.continuity import Place
from hcom_replica.core.origin import OriginState
from hcom_replica.store.continuity import Continuity
from hcom_replica.store.kv import Table
from hcom_replica.store.log import Log
from hcom_replica.store.marker import MarkerFolder
from hcom_replica.store.memory_kv import MemoryKv, Moment
from hcom_replica.store.schema import Meta
from hcom_replica.wire.signing import DeviceKey
from tests.unit.store.devices import GROUP, NOW, counter_entropy, draft

HERE = Place(1, 1_000)
ELSEWHERE = Place(2, 2_000)
KEY = DeviceKey(b"BOXE".ljust(32, b"."))


class Died(Exception):
    """A process was killed at this moment."""


@dataclass
class Machine:
    """A machine with a disk and a state folder; `open` is a process on it.

    Attributes:
        state: its state folder; None for a process without one.
        kv: the disk.
        place: where the log lies.
        system: ids of machine and boot.
    """

    state: Path | None
    kv: MemoryKv = field(default_factory=MemoryKv)
    place: Place = HERE
    system: tuple[bytes, bytes] = (b"m" * 16, b"b" * 16)
    opened: int = 0

    def open(self) -> Log:
        """A process opens the log."""
        self.opened += 1
        held_to = Continuity(
            lambda: self.place,
            lambda: self.system,
            MarkerFolder(self.state),
            entropy=counter_entropy(self.place.inode << 16 | self.opened),
        )
        entropy = counter_entropy(1 << 31 | self.place.inode << 16 | self.opened)
        return Log(self.kv, GROUP, Writer(KEY, GROUP, "BOXE"), entropy=entropy, continuity=held_to)

    def emit(self, count: int = 1) -> OriginState:
        """A process appends so many events, one by one, and ends."""
        log = self.open()
        for number in range(count):
            log.append([draft(str(number))], NOW)
        own = log.own_origin()
        assert own is not None
        return own

    def backup(self) -> MemoryKv:
        """A copy of the disk."""
        return self.kv.clone()


def die(moment: Moment) -> None:
    """The fault of a process that is killed between its commit and its marker."""
    if moment is Moment.AFTER_COMMIT:
        raise Died


def home_of(kv: MemoryKv) -> bytes:
    with kv.read() as txn:
        return txn.get(Table.META, Meta.HOME) or b""


def marker_of(machine: Machine) -> Path:
    """Its marker's file."""
    assert machine.state is not None
    return machine.state / f"{home_of(machine.kv)[:16].hex()}.mark"
