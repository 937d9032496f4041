"""Home and marker hold a log to what its device has written (storage-v1 section 7)."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcom_replica.core.append import CLOCK, FIRST, Writer
from hcom_replica.core.continuity import COPIED, ROLLED_BACK, Mark, Place
from hcom_replica.core.hello import HELLO, Hello, read_system
from hcom_replica.errors import StoreFull
from hcom_replica.store.ingest import FORKED
from hcom_replica.store.log import Log
from hcom_replica.store.marker import MarkerFolder
from hcom_replica.store.memory_kv import Moment
from tests.unit.store.devices import GROUP, NOW, Device, draft, send
from tests.unit.store.machines import ELSEWHERE, HERE, KEY, Died, Machine, die, home_of, marker_of


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "state")


def reasons(log: Log) -> list[str]:
    """Why each incarnation held was opened, in canonical order."""
    hellos = (read_system(event.kind, event.body) for _, _, event in log.system_events() if event.kind == HELLO)
    return [hello.reason for hello in hellos if isinstance(hello, Hello)]


# --- what is normal ------------------------------------------------------------------------------------------------


def test_restarts_open_no_incarnation(machine: Machine) -> None:
    """T7.7"""
    first = machine.emit()
    for _ in range(1_000):
        machine.emit()
    assert machine.open().own_origin() == machine.open().origins()[0]
    assert machine.emit().id == first.id


def test_containers_on_one_volume_open_no_incarnation(machine: Machine, tmp_path: Path) -> None:
    """T7.7: another machine id and boot id at each start, a state folder that went with the container, or none."""
    first = machine.emit()
    for number in range(50):
        machine.system = (bytes([number]) * 16, bytes([number + 100]) * 16)
        machine.state = None if number % 5 == 0 else tmp_path / f"state-{number // 2}"
        machine.place = Place(HERE.inode + number, HERE.born_ns)  # some filesystems give inodes anew at each mount
        assert machine.emit(2).id == first.id


def test_place_without_birth_goes_by_the_inode(machine: Machine) -> None:
    """T7.1"""
    machine.place = Place(7, 0)
    first = machine.emit()
    for place in (Place(7, 0), Place(7, 5), Place(0, 0), Place(0, 5)):
        machine.place = place
        assert machine.emit().id == first.id
    machine.place = Place(8, 5)
    assert machine.emit().id != first.id


def test_folder_of_the_version_before_is_given_a_home(machine: Machine) -> None:
    """T7.5: no home in meta"""
    log = Log(machine.kv, GROUP, Writer(KEY, GROUP, "BOXE"))
    log.append([draft("before")], NOW)
    assert log.continuity() is None
    assert machine.emit().seq == 3
    assert home_of(machine.kv)


def test_reading_changes_nothing(machine: Machine) -> None:
    machine.emit()
    machine.kv, machine.place = machine.backup(), ELSEWHERE
    before = machine.kv.last_txn()
    log = machine.open()
    assert list(log.events())
    assert log.append([], NOW) == []
    found = log.continuity()
    assert found is not None
    assert found.doubt is not None
    assert found.doubt.reason == COPIED
    assert machine.kv.last_txn() == before


# --- what is seen --------------------------------------------------------------------------------------------------


def test_restored_older_log_opens_an_incarnation_before_it_appends(machine: Machine) -> None:
    """T7.5, P7.2"""
    machine.emit(2)
    older = machine.backup()
    lost = machine.emit(3)
    machine.kv = older
    log = machine.open()
    (name,) = log.append([draft("after")], NOW)
    own = log.own_origin()
    assert own is not None
    assert name.origin == own.id != lost.id
    assert (own.seq, own.generation) == (2, 2)
    assert reasons(log) == [FIRST, ROLLED_BACK]
    assert log.resumed == ROLLED_BACK
    held = log.origin_state(lost.id)
    assert held is not None
    assert held.seq == 3
    assert machine.emit().id == own.id, "once is enough"


def test_restored_log_that_lacks_nothing_goes_on(machine: Machine) -> None:
    first = machine.emit(2)
    machine.kv = machine.backup()
    assert machine.emit().id == first.id


def test_restored_log_of_an_earlier_incarnation_is_seen(machine: Machine) -> None:
    """T7.6: the marker names a later generation; the next one is of a higher generation still."""
    machine.emit(2)
    older = machine.backup()
    machine.open().open_incarnation(CLOCK, NOW)
    machine.kv = older
    assert machine.emit().generation == 3


def test_restored_twice_is_seen_twice(machine: Machine) -> None:
    machine.emit()
    older = machine.backup()
    machine.emit()
    seen = set()
    for number in range(3):
        machine.kv = older.clone()
        own = machine.emit()
        seen.add(own.id)
        assert own.generation == number + 2
    assert len(seen) == 3


def test_copy_opens_an_incarnation_and_the_original_does_not(machine: Machine) -> None:
    """T7.5: `cp -r`, both used, on one machine with one state folder."""
    first = machine.emit(2)
    copy = Machine(machine.state, machine.backup(), ELSEWHERE)
    for _ in range(2):
        copy.emit()
        machine.emit()
    copied, original = copy.emit(), machine.emit()
    assert original.id == first.id
    assert original.seq == 6
    assert copied.id != first.id
    assert copied.seq == 4
    assert reasons(copy.open()) == [FIRST, COPIED]
    assert home_of(copy.kv) != home_of(machine.kv)


def test_copy_on_another_machine_opens_an_incarnation(machine: Machine, tmp_path: Path) -> None:
    first = machine.emit(2)
    other = Machine(tmp_path / "other", machine.backup(), ELSEWHERE, (b"n" * 16, b"c" * 16))
    assert other.emit().id != first.id
    assert reasons(other.open()) == [FIRST, COPIED]


def test_home_folder_restored_with_its_state_is_seen_by_its_place(machine: Machine) -> None:
    first = machine.emit(2)
    older, marker = machine.backup(), marker_of(machine)
    content = marker.read_bytes()
    machine.emit(3)
    machine.kv, machine.place = older, ELSEWHERE
    marker.write_bytes(content)
    assert machine.emit().id != first.id
    assert reasons(machine.open()) == [FIRST, COPIED]


def test_older_copy_beside_the_original_says_rolled_back_and_leaves_the_marker_alone(machine: Machine) -> None:
    machine.emit(2)
    copy = Machine(machine.state, machine.backup(), ELSEWHERE)
    original = machine.emit()
    copied = copy.emit()
    assert copied.id != original.id
    assert reasons(copy.open()) == [FIRST, ROLLED_BACK]
    assert copied.generation == 2
    assert machine.emit().id == original.id


def test_resume_opens_it_without_an_append(machine: Machine) -> None:
    """T7.5: a daemon, before it says anything"""
    first = machine.emit(2)
    older = machine.backup()
    machine.emit()
    log = machine.open()
    log.resume(NOW)
    assert log.own_origin() == machine.open().origin_state(first.id)
    machine.kv = older
    log = machine.open()
    log.resume(NOW)
    own = log.own_origin()
    assert own is not None
    assert (own.seq, log.resumed) == (1, ROLLED_BACK)
    log.resume(NOW)
    assert log.own_origin() == own


def test_incarnation_opened_by_an_ingest_is_noted(machine: Machine) -> None:
    """T7.4, T6.2"""
    machine.emit(2)
    twin = Device("BOXE", machine.backup(), draw=99)
    twin.emit("theirs")
    log = machine.open()
    log.append([draft("ours")], NOW)
    older = machine.backup()
    stranger = Device("CALM")
    send(twin, stranger)
    ours = Device("BOXE", machine.kv, draw=98)
    ours.log = log
    (report,) = [found for found in send(stranger, ours) if found.reopened is not None]
    assert FORKED in reasons(log)
    machine.kv = older
    assert report.reopened is not None
    assert machine.emit().generation == report.reopened.generation + 1


# --- the marker itself ---------------------------------------------------------------------------------------------


def test_death_between_commit_and_marker_is_normal(machine: Machine) -> None:
    """T7.6"""
    first = machine.emit()

    for _ in range(3):
        machine.kv.fault = die
        with pytest.raises(Died):
            machine.emit()
        machine.kv.fault = None
    mark = newest_mark(machine)
    assert mark.seq == 2
    assert machine.emit().id == first.id
    assert newest_mark(machine).seq == 6


def test_append_that_is_rolled_back_writes_no_marker(machine: Machine) -> None:
    """T7.4"""
    first = machine.emit()

    def refuse(moment: Moment) -> None:
        if moment is Moment.BEFORE_COMMIT:
            raise StoreFull("no room")

    log = machine.open()
    machine.kv.fault = refuse
    with pytest.raises(StoreFull):
        log.append([draft("x")], NOW)
    machine.kv.fault = None
    assert newest_mark(machine).seq == 2
    log.append([draft("x")], NOW)
    assert newest_mark(machine).seq == 3
    assert machine.emit().id == first.id


@pytest.mark.parametrize("size", [0, 1, 127, 128, 511, 512, 600, 640])
def test_marker_cut_anywhere_opens_no_incarnation(machine: Machine, size: int) -> None:
    """T7.3"""
    first = machine.emit(3)
    path = marker_of(machine)
    path.write_bytes(path.read_bytes()[:size])
    assert machine.emit().id == first.id


def test_marker_torn_falls_back_to_the_slot_before(machine: Machine) -> None:
    """T7.2, T7.3"""
    machine.emit(2)
    older = machine.backup()
    machine.emit(2)
    path = marker_of(machine)
    data = bytearray(path.read_bytes())
    newest_at = 0 if machine_slot(data, 0) > machine_slot(data, 512) else 512
    data[newest_at + 50] ^= 1
    path.write_bytes(data)
    assert newest_mark(machine).seq == 4
    machine.kv = older
    assert machine.emit().seq == 2, "the slot before still shows the rollback"


def test_marker_of_another_group_or_home_says_nothing(machine: Machine) -> None:
    """T7.3"""
    first = machine.emit()
    mark = newest_mark(machine)
    for strange in (mark._replace(group=bytes(16), seq=99), mark._replace(home=bytes(16), seq=99)):
        path = marker_of(machine)
        folder = MarkerFolder(machine.state)
        folder.write(strange)
        folder.close()
        if strange.home != mark.home:
            (path.parent / f"{bytes(16).hex()}.mark").replace(path)
        assert machine.emit().id == first.id


def test_marker_that_cannot_be_kept_does_not_fail_the_append(machine: Machine, tmp_path: Path) -> None:
    """T7.4"""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    machine.state = blocked / "state"
    first = machine.emit()
    found = machine.open().continuity()
    assert found is not None
    assert found.mark is None
    assert machine.emit().id == first.id
    log = machine.open()
    log.append([draft("x")], NOW)
    told = log.continuity()
    assert told is not None
    assert "not a directory" in told.trouble


def test_marker_is_for_its_user_alone(machine: Machine) -> None:
    """T7.2"""
    machine.emit()
    path = marker_of(machine)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_slots_are_written_in_turn(machine: Machine) -> None:
    """T7.2, T7.4"""
    counters = []
    for _ in range(4):
        machine.emit()
        data = marker_of(machine).read_bytes()
        counters.append((machine_slot(data, 0), machine_slot(data, 512)))
    assert counters == [(1, 0), (1, 2), (3, 2), (3, 4)]


def test_log_that_another_file_has_replaced_is_noticed(machine: Machine) -> None:
    """T7.8"""
    log = machine.open()
    assert not log.replaced()
    machine.place = ELSEWHERE
    assert log.replaced()
    machine.place = Place(0, 0)
    assert not log.replaced(), "deleted is not replaced"


def machine_slot(data: bytes | bytearray, at: int) -> int:
    """The counter of a slot; 0 for an empty one."""
    return int.from_bytes(data[at + 4 : at + 12], "big")


def newest_mark(machine: Machine) -> Mark:
    """What its marker says."""
    mark = MarkerFolder(machine.state).read(home_of(machine.kv)[:16])
    assert mark is not None
    return mark
