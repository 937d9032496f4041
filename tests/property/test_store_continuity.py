"""Whatever is restored, copied and killed, in any order: no acknowledged number is used twice (storage-v1, 7)."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from hcom_replica.core.continuity import Place
from hcom_replica.ids import EventId
from hcom_replica.store.memory_kv import MemoryKv
from tests.unit.store.devices import NOW, draft
from tests.unit.store.machines import Died, Machine, die, marker_of

HARMLESS = st.sampled_from(
    ["append", "append", "die", "restart elsewhere", "backup", "lose the marker", "tear the marker"]
)
ANY = st.sampled_from(["append", "append", "die", "backup", "restore in place", "restore as new files", "copy"])


class World:
    """Folders of one device on one machine, and every number that was acknowledged."""

    def __init__(self, state: Path) -> None:
        self.folders = [Machine(state)]
        self.backups: list[MemoryKv] = []
        self.given: dict[EventId, int] = {}
        self.places = (Place(number, number * 1_000) for number in count(2))
        self.numbers = count()

    def append(self, folder: Machine) -> None:
        number = next(self.numbers)
        (name,) = folder.open().append([draft(str(number))], NOW)
        assert name not in self.given, f"{name} was given to {self.given[name]} and to {number}"
        self.given[name] = number

    def do(self, step: str, which: int) -> None:
        folder = self.folders[which % len(self.folders)]
        match step:
            case "append":
                self.append(folder)
            case "die":
                folder.kv.fault = die
                with suppress(Died):
                    folder.open().append([draft("lost")], NOW)
                folder.kv.fault = None
            case "restart elsewhere":
                folder.system = (bytes([which]) * 16, bytes([which + 1]) * 16)
            case "backup":
                self.backups.append(folder.backup())
            case "lose the marker":
                marker_of(folder).unlink(missing_ok=True)
            case "tear the marker":
                path = marker_of(folder)
                path.write_bytes(path.read_bytes()[: which % 640] if path.exists() else b"")
            case "copy":
                self.folders.append(Machine(folder.state, folder.backup(), next(self.places)))
            case _:
                self.restore(folder, step, which)

    def restore(self, folder: Machine, step: str, which: int) -> None:
        if self.backups:
            folder.kv = self.backups[which % len(self.backups)].clone()
            if (
                step == "restore as new files" or len(self.folders) > 1
            ):  # a backup may be of another folder: not in place
                folder.place = next(self.places)


@given(st.lists(st.tuples(ANY, st.integers(0, 1_000)), max_size=30))
def test_no_acknowledged_number_is_given_twice(steps: list[tuple[str, int]]) -> None:
    """T7.5, S5"""
    with TemporaryDirectory() as state:
        world = World(Path(state))
        world.append(world.folders[0])
        for step, which in steps:
            world.do(step, which)
        for folder in world.folders:
            world.append(folder)


@given(st.lists(st.tuples(HARMLESS, st.integers(0, 200)), max_size=30))
def test_without_a_restore_nothing_opens_an_incarnation(steps: list[tuple[str, int]]) -> None:
    """T7.7"""
    with TemporaryDirectory() as state:
        world = World(Path(state))
        world.append(world.folders[0])
        for step, which in steps:
            world.do(step, which)
        world.append(world.folders[0])
        assert len(world.folders[0].open().origins()) == 1
