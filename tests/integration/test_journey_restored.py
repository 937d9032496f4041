"""Restored backups, copied folders, reverted machines, containers: what reached anybody is kept (storage-v1 section 7).

Both branches are kept, every device prints the same bytes, and each writer goes on as a new incarnation.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import uuid
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from hcom_replica import Replica
from hcom_replica.api.forks import Fork, forks
from hcom_replica.core.continuity import Mark
from hcom_replica.store.kv import Table
from hcom_replica.store.lmdb_kv import LmdbKv
from hcom_replica.store.marker import MarkerFolder
from hcom_replica.store.place import place_of
from hcom_replica.store.schema import Meta
from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.processes import Cli, clean_environment, is_alive
from hcom_replica.testing.real.waiting import wait_until
from tests.harness.backup import Backup, state_of
from tests.harness.group import WAIT_S, Group, Laptop, Row, assert_equal_histories

pytestmark = pytest.mark.slow

WRITER = """
import sys
from hcom_replica import Replica
with Replica.open(sys.argv[1]) as replica:
    for number in range(int(sys.argv[2])):
        replica.append("k", number)
"""


def reasons(laptop: Laptop) -> list[str]:
    """Why its incarnations were opened, oldest first."""
    return [one["reason"] for one in row_of(laptop, laptop)["incarnations"]]


def row_of(asked: Laptop, device: Laptop) -> Row:
    """What `devices` says at one device of another."""
    (row,) = (row for row in asked.cli.json_lines("devices") if row["device"] == device.name)
    return dict(row)


def forks_of(laptop: Laptop) -> list[Fork]:
    """The forks that it holds."""
    with Replica.open(laptop.folder, create=False) as replica:
        return forks(replica)


def origin(laptop: Laptop) -> str:
    """The origin that it writes now."""
    return str(laptop.status()["origin"])


def flags(laptop: Laptop) -> set[str]:
    """All flags of its status."""
    return {flag for row in laptop.status()["devices"] for flag in row["flags"]}


@pytest.mark.parametrize("in_place", [True, False], ids=["into the same files", "as new files"])
def test_older_folder_restored_offline_is_seen_before_the_first_append(
    tmp_path: Path, own_broker: PrivateBroker, in_place: bool
) -> None:
    """T7.5, P7.2: no fork comes to be; the lost events come back from the others."""
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        for number in range(3):
            a.emit(str(number))
        a.stop()
        backup, first = Backup(a, tmp_path / "backup"), origin(a)
        a.start()
        for number in range(3, 8):
            a.emit(str(number))
        b.wait_for_events(8)
        a.stop()
        backup.restore(state=False, in_place=in_place)

        (warned,) = (line for line in a.cli.run("doctor").stdout.splitlines() if "restored from an older copy" in line)
        assert warned.startswith("warning  store")
        assert a.count() == 3, "looking changes nothing"
        told = a.cli.run("emit", "k", "--data", '"after"')
        assert told.returncode == 0
        assert "this folder was restored from an older copy" in told.stderr
        assert a.count() == 4
        assert origin(a) != first
        assert reasons(a) == ["first", "rolled back"]
        a.start()
        for laptop in (a, b):
            laptop.wait_for_events(9)
        assert_equal_histories([a, b], 9)
        assert "forked" not in flags(a) | flags(b)
        assert reasons(a) == ["first", "rolled back"]
        (warning,) = a.status()["warnings"]
        assert "restored from an older copy" in warning
        assert "; 5 events were fetched back; writing goes on as a new incarnation" in warning
        assert "5 events were fetched back" in row_of(b, a)["note"]
        assert "5 events were fetched back" in a.cli.run("doctor").stdout


def test_daemon_on_an_older_folder_opens_an_incarnation_before_it_says_anything(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    """T7.5"""
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.emit("1")
        a.stop()
        backup, first = Backup(a, tmp_path / "backup"), origin(a)
        a.start()
        a.emit("2")
        b.wait_for_events(2)
        a.stop()
        backup.restore(state=False, in_place=False)
        a.network.cut()
        a.start()
        assert origin(a) != first
        assert reasons(a) == ["first", "rolled back"]
        a.network.heal()
        a.wait_for_events(2)
        assert_equal_histories([a, b], 2)


def test_home_folder_restored_as_new_files_is_seen_although_the_marker_was_restored_too(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    """T7.1"""
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.emit("1")
        a.stop()
        backup = Backup(a, tmp_path / "backup")
        a.start()
        a.emit("2")
        b.wait_for_events(2)
        a.stop()
        backup.restore(state=True, in_place=False)
        if not place_of(a.folder / "log").born_ns:
            pytest.skip("this filesystem knows no births of files")
        a.emit("3")
        assert reasons(a) == ["first", "copied"]
        a.start()
        for laptop in (a, b):
            laptop.wait_for_events(3)
        assert_equal_histories([a, b], 3)
        assert "forked" not in flags(a) | flags(b)


def test_machine_reverted_as_a_whole_is_found_at_contact_and_both_branches_are_kept(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    """P7.2, P4.6: neither place nor marker can tell; what it wrote before contact is a branch of its own."""
    with Group(tmp_path, own_broker) as group:
        a, b, c = (group.add(name) for name in ("BOXA", "BOXB", "BOXC"))
        a.emit('"both"')
        a.kill()
        backup = Backup(a, tmp_path / "backup")
        a.start()
        for number in range(3):
            a.emit(f'"first {number}"')
        b.wait_for_events(4)
        a.kill()
        backup.restore(state=True, in_place=True)
        for number in range(2):
            a.emit(f'"second {number}"')
        assert reasons(a) == ["first"], "nothing shows it yet"

        a.start()
        for laptop in (a, b, c):
            laptop.wait_for_events(6)
        a.emit('"after"')
        for laptop in (a, b, c):
            laptop.wait_for_events(7)
        assert_equal_histories([a, b, c], 7)
        bodies = {event["data"] for event in c.events()}
        assert bodies == {"both", "first 0", "first 1", "first 2", "second 0", "second 1", "after"}
        for laptop in (b, c):
            laptop.wait_for_status(lambda now: any("forked" in row.flags for row in now.devices), "the fork is shown")
        assert len(reasons(a)) == 2
        assert "older copy" in a.status()["warnings"][0]
        assert "forked" in row_of(c, a)["flags"]
        proofs = [forks_of(laptop) for laptop in (a, b, c)]
        assert proofs[0] == proofs[1] == proofs[2]
        (proof,) = proofs[0]
        assert proof.proven
        assert proof.base >= 2, "the hello, what both have, and perhaps the word that others were admitted"
        assert min(proof.kept.seq, proof.derived.seq) > proof.base


def test_machine_reverted_while_it_runs_goes_on_as_a_new_incarnation(tmp_path: Path, own_broker: PrivateBroker) -> None:
    """P7.2: a snapshot put back without the processes having an end of their own; nothing was written meanwhile."""
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.emit("1")
        b.wait_for_events(1)
        pid = a.freeze()
        backup = Backup(a, tmp_path / "backup")
        os.kill(pid, signal.SIGCONT)
        for number in range(2, 5):
            a.emit(str(number))
        b.wait_for_events(4)
        first = origin(a)
        a.freeze()
        a.kill()
        backup.restore(state=True, in_place=True)
        a.start()
        a.wait_for_events(4)
        wait_until(lambda: origin(a) != first, WAIT_S, lambda: f"a new incarnation; {a.trouble()}")
        a.emit("5")
        for laptop in (a, b):
            laptop.wait_for_events(5)
        assert_equal_histories([a, b], 5)
        assert "forked" not in flags(a) | flags(b)


def test_daemon_whose_log_was_replaced_stops(tmp_path: Path, own_broker: PrivateBroker) -> None:
    """T7.8"""
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.emit("1")
        b.wait_for_events(1)
        pid = a.freeze()
        older = tmp_path / "older.mdb"
        shutil.copy(a.folder / "log" / "data.mdb", older)
        os.kill(pid, signal.SIGCONT)
        a.emit("2")
        b.wait_for_events(2)
        shutil.copy(older, a.folder / "log" / "new.mdb")
        (a.folder / "log" / "new.mdb").replace(a.folder / "log" / "data.mdb")
        wait_until(lambda: not is_alive(pid), WAIT_S, lambda: f"the daemon stops; {a.trouble()}")
        a.wait_for_log("another log has taken the place")
        a.emit("3")
        assert reasons(a) == ["first", "rolled back"]
        a.start()
        for laptop in (a, b):
            laptop.wait_for_events(3)
        assert_equal_histories([a, b], 3)


def test_copied_folder_with_both_running_keeps_all_that_both_write(tmp_path: Path, own_broker: PrivateBroker) -> None:
    """T7.5: the copy opens an incarnation before it appends, so that nothing forks."""
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.emit('"both"')
        b.wait_for_events(1)
        a.stop()
        copy = group.laptop("COPY")
        shutil.copytree(a.folder, copy.folder)
        a.start()
        copy.start()
        for number in range(3):
            a.emit(f'"original {number}"')
            copy.emit(f'"copy {number}"')
        for laptop in (a, b, copy):
            laptop.wait_for_events(7)
        a.emit('"original, later"')
        copy.emit('"copy, later"')
        for laptop in (a, b, copy):
            laptop.wait_for_events(9)
        assert_equal_histories([a, b, copy], 9)
        assert "forked" not in flags(a) | flags(b) | flags(copy)
        assert "copied" in reasons(a)


def test_name_of_a_deleted_folder_is_taken_over_once_another_member_confirms(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    """P3.7"""
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")

        def names(laptop: Laptop) -> dict[str, list[str]]:
            return {row["device"]: row["flags"] for row in laptop.cli.json_lines("devices")}

        def flags(laptop: Laptop) -> set[str]:
            return {flag for flags in names(laptop).values() for flag in flags}

        def wait_until_admitted(laptop: Laptop) -> None:
            wait_until(lambda: "not admitted" not in flags(laptop), WAIT_S, "all are admitted")

        a.emit("1")
        b.wait_for_events(1)
        wait_until_admitted(b)  # by the founder, who is lost now
        a.lose()
        (tmp_path / "new").mkdir()
        again = group.laptop("BOXA", folder=tmp_path / "new")
        arguments = ["--broker", again.network.url, "--name", "BOXA", "--replace", "--timeout", str(WAIT_S)]
        joined = again.cli.json("relay", "connect", "-", *arguments, stdin=group.token)
        old = joined["replaces"]
        assert old.startswith("BOXA-")
        again.wait_for_events(1)
        again.emit("2")
        b.wait_for_events(2)

        claimed = [name for name in names(b) if name.startswith("BOXA-")]
        assert len(claimed) == 2, "both show a suffix until it is confirmed"
        (asker,) = (name for name in claimed if name != old)
        assert f"asks to replace {old}" in names(b)[asker]
        (asked,) = (text for text in b.status()["warnings"] if "asks to take the place" in text)
        assert f"hcom-replica devices retire {old}" in asked
        (waiting,) = (text for text in again.status()["warnings"] if "takes the place" in text)
        assert old in waiting

        b.cli.ok("devices", "retire", old)
        wait_until(lambda: "BOXA" in names(again), WAIT_S, lambda: f"the name is taken over; {again.trouble()}")
        for laptop in (again, b):
            wait_until_admitted(laptop)
            assert flags(laptop) <= {"this", "retired"}
            assert not [text for text in laptop.status()["warnings"] if "the place" in text]
        assert again.status()["device"] == "BOXA"
        again.emit("3")
        b.wait_for_events(3)
        assert_equal_histories([again, b], 3)
        assert [event["device"] for event in b.events()][1:] == ["BOXA", "BOXA"]


def test_replace_without_a_namesake_or_a_name_says_so(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        group.add("BOXA")
        b = group.laptop("BOXB")
        refused = b.cli.run("relay", "connect", "-", "--replace", stdin=group.token)
        assert refused.returncode == 2
        assert "--name" in refused.stderr
        arguments = ["--broker", b.network.url, "--name", "BOXB", "--replace", "--timeout", "0.2"]
        assert b.cli.json("relay", "connect", "-", *arguments, stdin=group.token)["replaces"] is None


def test_moved_folder_opens_no_incarnation(tmp_path: Path) -> None:
    """T7.1"""
    cli = Cli(tmp_path / "one")
    first = cli.ok("emit", "k")
    (tmp_path / "one").rename(tmp_path / "two")
    second = Cli(tmp_path / "two").ok("emit", "k")
    assert first.split(":")[0] == second.split(":")[0]


def test_container_started_fifty_times_on_one_volume_opens_no_incarnation(tmp_path: Path) -> None:
    """T7.7: machine id, host name and boot id are new at each start, or absent; the state folder goes each time."""
    volume = tmp_path / "volume"
    origins = set()
    for number in range(50):
        home = tmp_path / f"container-{number}"
        home.mkdir()
        env = {"HOME": str(home) if number % 3 else "", "HOSTNAME": f"host{number}"}
        env["HCOM_REPLICA_MACHINE_ID"] = uuid.uuid4().hex if number % 2 else ""
        env["HCOM_REPLICA_BOOT_ID"] = str(uuid.uuid4()) if number % 4 else ""
        origins.add(Cli(volume, env).ok("emit", "k", "--data", str(number)).split(":")[0])
        if number % 3:
            assert list(home.glob(".local/state/hcom-replica/*.mark"))
    assert len(origins) == 1
    with Replica.open(volume, create=False) as replica:
        assert [event.kind for event in replica.events(system=True)] == ["_hello", *["k"] * 50]


def test_concurrent_writers_leave_the_marker_at_the_newest_event(tmp_path: Path) -> None:
    """T7.4: each has the file open by itself; the writers' lock orders commits and markers as one."""
    folder = tmp_path / "replica"
    Cli(folder).ok("emit", "k")
    env = clean_environment(folder)
    running = [
        Popen([sys.executable, "-c", WRITER, str(folder), "150"], env=env, stdout=PIPE, stderr=PIPE) for _ in range(4)
    ]
    for writer in running:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors.decode()
    with Replica.open(folder, create=False) as replica:
        own = replica.log.own_origin()
    mark = newest_mark(folder)
    assert own is not None
    assert (mark.origin, mark.seq, mark.hlc) == (own.id, own.seq, own.hlc)
    assert own.seq == 602
    assert mark.counter == 601, "one for each commit"


def test_writers_killed_at_any_moment_leave_a_marker_that_is_not_ahead(tmp_path: Path) -> None:
    """T7.4, T7.6"""
    folder = tmp_path / "replica"
    Cli(folder).ok("emit", "k")
    env = clean_environment(folder)
    for number in range(8):
        writer = Popen([sys.executable, "-c", WRITER, str(folder), "1000000"], env=env)
        enough = held_seq(folder) + 5
        wait_until(partial(reaches, folder, enough), WAIT_S, "the writer writes")
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert newest_mark(folder).seq <= held_seq(folder), number
    Cli(folder).ok("emit", "k")
    with Replica.open(folder, create=False) as replica:
        assert len(replica.log.origins()) == 1


def reaches(folder: Path, seq: int) -> bool:
    """Whether its own origin goes so far."""
    return held_seq(folder) >= seq


def held_seq(folder: Path) -> int:
    """How far its own origin goes."""
    with Replica.open(folder, create=False) as replica:
        own = replica.log.own_origin()
        assert own is not None
        return own.seq


def newest_mark(folder: Path) -> Mark:
    """What its marker says."""
    kv = LmdbKv(folder / "log")
    with kv.read() as txn:
        home = txn.get(Table.META, Meta.HOME)
    kv.close()
    assert home is not None
    mark = MarkerFolder(state_of(folder)).read(home[:16])
    assert mark is not None
    return mark
