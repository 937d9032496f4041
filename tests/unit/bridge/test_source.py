"""From hcom's database to the log: each row once, in order, whatever happens to either (B2.1 to B2.9)."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from hcom_replica.bridge.intervals import RUNS_MAX, Intervals
from hcom_replica.bridge.rows import Mark, iso_us, mark_of, time_us
from hcom_replica.errors import BridgeError, StoreError
from hcom_replica.wire.event import Draft
from tests.unit.bridge.hcoms import T0, Bridged, FakeHcom
from tests.unit.store.devices import Device, send


@pytest.fixture
def boxe(tmp_path: Path) -> Bridged:
    """A device with an hcom that has an agent."""
    made = Bridged(tmp_path / "boxe", Device("BOXE"))
    made.hcom.start("luna")
    return made


def texts(bridged: Bridged) -> list[str]:
    return [json.loads(event.body)["text"] for event in bridged.events() if event.kind == "message"]


def test_rows_become_events_in_their_order_with_all_that_they_say(boxe: Bridged) -> None:
    """B2.1, B2.2, B2.3"""
    boxe.hcom.row("life", "luna", {"action": "created"})
    boxe.hcom.say("luna", "first", "rose:TUKA", thread="t")
    boxe.hcom.row("status", "luna", {"status": "active", "context": "tool:Edit", "detail": "a.py"})
    boxe.run()
    found = [event for event in boxe.events() if event.kind != "agent"]
    assert [event.kind for event in found] == ["life", "message", "status"]
    assert {event.agent for event in found} == {"luna"}
    assert iso_us(found[1].time or 0) == T0
    body = json.loads(found[1].body)
    assert body.pop("_hcom") == {"db": mark(found[1].body).db, "id": 2, "after": 1, "hash": mark(found[1].body).hash}
    assert body["text"] == "first"
    assert body["mentions"] == ["rose:TUKA"]


def mark(body: bytes) -> Mark:
    found = mark_of(body)
    assert found is not None
    return found


def test_rows_that_are_not_this_devices_own_words_are_left_out(boxe: Bridged) -> None:
    """B2.1"""
    boxe.hcom.row("message", "rose:TUKA", {"text": "imported", "_relay": {"device": "x", "id": 1}})
    boxe.hcom.row("life", "", {"action": "relay_device_join", "short_id": "TUKA"})
    boxe.hcom.row("life", "", {"action": "relay_device_leave", "short_id": "TUKA"})
    boxe.hcom.row("life", "_device", {"action": "reset"})
    boxe.hcom.row("rpc_result", "_rpc", {"request_id": "r"})
    boxe.hcom.row("control", "_control", {"action": "kill"})
    boxe.hcom.row("message", "", {"text": "nobody's own", "_relay": {"device": "x", "id": 2}})
    boxe.hcom.say("luna", "own")
    boxe.run()
    assert texts(boxe) == ["own"]
    assert [mark(event.body).after for event in boxe.events() if event.kind == "message"] == [0]


@pytest.mark.parametrize(
    ("kind", "instance", "data"),
    [
        ("message", "luna", "{not json"),
        ("message", "luna", "[1, 2]"),
        ("message", "luna", '"' + "x" * 100),
        ("_hello", "luna", '{"text": "a system kind"}'),
        ("k" * 100, "luna", "{}"),
        ("", "luna", "{}"),
        ("message", "n" * 300, "{}"),
        ("message", "ü" * 200, "{}"),
        ("message", "luna", "[" * 5000),
        ("message", "luna", '{"_hcom": {"db": "lies"}, "text": "x"}'),
    ],
)
def test_malformed_row_is_kept_as_it_can_be_and_stops_nothing(
    boxe: Bridged, kind: str, instance: str, data: str
) -> None:
    """B2.2"""
    boxe.hcom.say("luna", "before")
    boxe.hcom.row(kind, instance, data, timestamp="yesterday")
    boxe.hcom.say("luna", "behind")
    boxe.run()
    said = [event for event in boxe.events() if event.kind != "agent"]
    assert len(said) == 3
    assert json.loads(said[0].body)["text"] == "before"
    assert json.loads(said[2].body)["text"] == "behind"
    assert said[1].time is None
    assert mark(said[1].body).id == 2


def test_row_that_fits_no_event_is_cut_and_says_so(boxe: Bridged) -> None:
    """B2.2"""
    boxe.hcom.say("luna", "x" * (5 << 20))
    boxe.hcom.say("luna", "behind")
    boxe.run()
    first, second = [json.loads(event.body) for event in boxe.events() if event.kind == "message"]
    assert first["too_large_chars"] > 5 << 20
    assert second["text"] == "behind"


def test_rows_are_taken_once_whoever_is_restarted_and_whenever_a_commit_fails(boxe: Bridged) -> None:
    """B2.4"""
    for number in range(700):
        boxe.hcom.say("luna", str(number))
        if number % 100 == 50:
            boxe.step()
        if number % 150 == 100:
            boxe.source.close()
            boxe.boot()
    boxe.run()
    assert texts(boxe) == [str(number) for number in range(700)]


def test_commit_that_fails_takes_nothing_and_is_made_up_for(boxe: Bridged, monkeypatch: pytest.MonkeyPatch) -> None:
    """B2.4"""
    boxe.run()
    boxe.hcom.say("luna", "said while the disk is full")

    def full(*_args: object, **_more: object) -> None:
        raise StoreError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(boxe.device.log, "append", full)
        with pytest.raises(StoreError):
            boxe.source.look(boxe.now, boxe.network)
    boxe.run()
    assert texts(boxe) == ["said while the disk is full"]


def test_folder_that_was_restored_takes_no_row_twice_when_others_have_it(boxe: Bridged) -> None:
    """B2.5"""
    other = Device("TUKA")
    boxe.hcom.say("luna", "one")
    boxe.run()
    old = boxe.device.clone(99)
    boxe.hcom.say("luna", "two")
    boxe.run()
    send(boxe.device, other)
    old.log.open_incarnation("rolled back", boxe.now.wall_ms)
    old.log.resumed = "rolled back"
    boxe.source.close()
    boxe.boot(old)
    boxe.network.missing = True
    boxe.step()
    assert texts(boxe) == ["one"]
    send(other, boxe.device)
    boxe.network.missing = False
    boxe.hcom.say("luna", "three")
    boxe.run()
    assert texts(boxe) == ["one", "two", "three"]


def test_folder_restored_with_nobody_there_goes_on_after_a_while_and_doubles_nothing_elsewhere(
    boxe: Bridged, tmp_path: Path
) -> None:
    """B2.5"""
    tuka = Bridged(tmp_path / "tuka", Device("TUKA"))
    boxe.hcom.say("luna", "one")
    boxe.run()
    old = boxe.device.clone(99)
    boxe.hcom.say("luna", "two")
    boxe.run()
    before = boxe.device
    old.log.open_incarnation("rolled back", boxe.now.wall_ms)
    old.log.resumed = "rolled back"
    boxe.source.close()
    boxe.boot(old)
    boxe.network.heard = False
    boxe.step()
    assert texts(boxe) == ["one"]
    for _ in range(60):
        boxe.step()
    boxe.hcom.say("luna", "three")
    boxe.run()
    assert texts(boxe) == ["one", "two", "three"]
    send(boxe.device, tuka.device)
    tuka.run()
    send(before, tuka.device)
    tuka.run()
    assert tuka.hcom.texts() == ["one", "two", "three"]


def test_log_of_another_group_that_was_joined_takes_no_row_twice(boxe: Bridged) -> None:
    """B2.5: what was written before is appended to the new log by whoever joins."""
    for number in range(3):
        boxe.hcom.say("luna", str(number))
    boxe.run()
    before = [event for event in boxe.events() if event.kind != "agent"]
    joined = Device("BOXE", draw=77)
    joined.log.append([Draft(event.kind, event.agent, event.time, event.body) for event in before], boxe.now.wall_ms)
    boxe.source.close()
    boxe.boot(joined)
    boxe.hcom.say("luna", "in the new group")
    boxe.run()
    boxe.boot()
    boxe.hcom.say("luna", "last")
    boxe.run()
    assert texts(boxe) == ["0", "1", "2", "in the new group", "last"]
    assert boxe.source.event_of_row(2) is not None


def test_rows_taken_twice_that_come_together_are_handed_over_once(boxe: Bridged, tmp_path: Path) -> None:
    """B2.5"""
    tuka = Bridged(tmp_path / "tuka", Device("TUKA"))
    boxe.run()
    old = boxe.device.clone(99)
    boxe.hcom.say("luna", "one")
    boxe.run()
    before = boxe.device
    old.log.open_incarnation("rolled back", boxe.now.wall_ms)
    boxe.source.close()
    boxe.boot(old)
    boxe.run()
    send(boxe.device, tuka.device)
    send(before, tuka.device)
    assert tuka.logged() == ["one", "one"]
    tuka.run()
    assert tuka.hcom.texts() == ["one"]


def test_later_incarnation_that_is_known_first_hides_nothing_of_the_one_before(boxe: Bridged, tmp_path: Path) -> None:
    """B2.5: an interval says what was taken, not how far."""
    tuka = Bridged(tmp_path / "tuka", Device("TUKA"))
    boxe.hcom.say("luna", "one")
    boxe.run()
    send(boxe.device, tuka.device)
    boxe.hcom.say("luna", "two")
    boxe.run()
    before = boxe.device.clone(5)
    boxe.device.log.open_incarnation("copied", boxe.now.wall_ms)
    boxe.hcom.say("luna", "three")
    boxe.run()
    own = boxe.device.own
    from tests.unit.store.devices import answers

    for run in answers(boxe.device, tuka.device, own.id, 1, 1 << 20):
        tuka.device.log.ingest([run], boxe.now.wall_ms)
    tuka.run()
    assert tuka.hcom.texts() == ["one", "three"]
    send(before, tuka.device)
    tuka.run()
    assert tuka.hcom.texts() == ["one", "three", "two"]


def test_copy_of_a_whole_machine_loses_nothing_of_either(boxe: Bridged, tmp_path: Path) -> None:
    """B2.5: both go on from one database, under the same row ids."""
    tuka = Bridged(tmp_path / "tuka", Device("TUKA"))
    boxe.hcom.say("luna", "before")
    boxe.run()
    send(boxe.device, tuka.device)
    boxe.hcom.backup()
    copy = Bridged(tmp_path / "copy", boxe.device.clone(42))
    (copy.hcom.folder / "backup.db").write_bytes((boxe.hcom.folder / "backup.db").read_bytes())
    copy.hcom.restore()
    copy.device.log.open_incarnation("copied", copy.now.wall_ms)
    for number in range(3):
        boxe.hcom.say("luna", f"here {number}")
        copy.hcom.say("luna", f"there {number}")
    boxe.run()
    copy.run()
    send(copy.device, boxe.device)
    send(boxe.device, copy.device)
    boxe.hcom.say("luna", "here at last")
    copy.hcom.say("luna", "there at last")
    boxe.run()
    copy.run()
    send(copy.device, tuka.device)
    send(boxe.device, tuka.device)
    tuka.run()
    said = ["before", *(f"{place} {number}" for place in ("here", "there") for number in range(3))]
    assert sorted(tuka.hcom.texts()) == sorted([*said, "here at last", "there at last"])
    assert tuka.hcom.wiped == 0


def test_reset_database_is_read_from_its_start_and_the_end_of_the_old_one_too(boxe: Bridged) -> None:
    """B2.6"""
    boxe.hcom.say("luna", "one")
    boxe.run()
    boxe.hcom.say("luna", "written right before the reset")
    boxe.hcom.reset()
    boxe.hcom.row("life", "_device", {"action": "reset"})
    boxe.hcom.start("luna", created=2.0)
    boxe.hcom.say("luna", "after the reset")
    boxe.run()
    assert texts(boxe) == ["one", "written right before the reset", "after the reset"]
    assert len({mark(event.body).db for event in boxe.events() if event.kind == "message"}) == 2


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("more", [0, 2, 300])
def test_restored_database_goes_on_where_both_are_equal(boxe: Bridged, more: int, running: bool) -> None:
    """B2.6: also when it has grown past the old one under the same ids before anybody looks."""
    for number in range(100):
        boxe.hcom.say("luna", f"both {number}")
    boxe.hcom.backup()
    for number in range(70):
        boxe.hcom.say("luna", f"lost {number}")
    boxe.run()
    if not running:
        boxe.source.close()
    boxe.hcom.restore()
    for number in range(more):
        boxe.hcom.say("luna", f"new {number}")
    if not running:
        boxe.boot()
    boxe.run()
    expected = [f"both {n}" for n in range(100)] + [f"lost {n}" for n in range(70)] + [f"new {n}" for n in range(more)]
    assert texts(boxe) == expected
    boxe.hcom.say("luna", "last")
    boxe.run()
    assert texts(boxe) == [*expected, "last"]


def test_database_overwritten_in_place_is_noticed_without_another_inode(boxe: Bridged) -> None:
    """B2.6"""
    boxe.hcom.say("luna", "both")
    boxe.hcom.say("luna", "lost")
    boxe.run()
    boxe.hcom.db.execute("DELETE FROM events WHERE id = 2")
    boxe.hcom.db.execute("DELETE FROM sqlite_sequence")
    boxe.hcom.say("luna", "new")
    boxe.run()
    assert texts(boxe) == ["both", "lost", "new"]


def test_restored_twice_the_line_of_lives_still_tells_what_is_equal(boxe: Bridged) -> None:
    """B2.6"""
    boxe.hcom.say("luna", "a")
    boxe.hcom.backup()
    for round_ in range(3):
        boxe.hcom.say("luna", f"b{round_}")
        boxe.hcom.say("luna", f"c{round_}")
        boxe.run()
        boxe.hcom.restore()
    boxe.run()
    assert texts(boxe) == ["a", "b0", "c0", "b1", "c1", "b2", "c2"]


def test_agents_are_told_of_when_they_come_change_and_go(boxe: Bridged) -> None:
    """B2.7"""
    boxe.run()
    boxe.hcom.start("luna", directory="/work", tool="codex")
    boxe.run()
    boxe.hcom.start("luna", directory="/work", tool="codex", status="active", status_time=5)
    boxe.run()
    boxe.hcom.stop("luna")
    boxe.hcom.start("_internal")
    boxe.run()
    told = [json.loads(event.body) for event in boxe.events() if event.kind == "agent"]
    assert [one.get("tool", "gone") for one in told] == ["claude", "codex", "gone"]
    assert told[1]["directory"] == "/work"


def test_reply_names_the_event_it_answers(boxe: Bridged) -> None:
    """B2.8"""
    first = boxe.hcom.say("luna", "question")
    imported = boxe.hcom.row(
        "message", "rose:TUKA", {"text": "hi", "_relay": {"device": "x", "id": 9}, "_replica": {"id": "00" * 8 + ":7"}}
    )
    boxe.run()
    boxe.hcom.say("luna", "answer", "rose:TUKA", reply_to=str(first), reply_to_local=first)
    boxe.hcom.say("luna", "other answer", "rose:TUKA", reply_to="9:TUKA", reply_to_local=imported)
    boxe.hcom.say("luna", "to nobody knows what", "rose:TUKA", reply_to="5:NOBO", reply_to_local=10**20)
    boxe.run()
    question, answer, other, strange = [json.loads(event.body) for event in boxe.events() if event.kind == "message"]
    assert boxe.source.event_of_row(first) is not None
    assert answer["reply_to"] == str(boxe.source.event_of_row(first))
    assert answer["_hcom"]["reply_to"] == str(first)
    assert other["reply_to"] == "00" * 8 + ":7"
    assert strange["reply_to"] == "5:NOBO"
    assert not any("reply_to_local" in one for one in (question, answer, other, strange))


def test_database_of_a_newer_hcom_is_read_while_its_columns_fit(tmp_path: Path) -> None:
    """B2.9"""
    boxe = Bridged(tmp_path / "boxe", Device("BOXE"), version=99)
    boxe.hcom.db.execute("ALTER TABLE instances DROP COLUMN tag")
    boxe.hcom.start("luna")
    boxe.hcom.say("luna", "hello")
    boxe.run()
    assert texts(boxe) == ["hello"]
    boxe.hcom.db.execute("ALTER TABLE events RENAME COLUMN instance TO who")
    boxe.boot()
    with pytest.raises(BridgeError, match=r"no events\.instance"):
        boxe.step()


@pytest.mark.parametrize("version", [0, 17])
def test_database_that_is_too_old_is_refused(tmp_path: Path, version: int) -> None:
    """B2.9"""
    boxe = Bridged(tmp_path / "boxe", Device("BOXE"), version=version)
    with pytest.raises(BridgeError, match="too old"):
        boxe.step()


def test_missing_or_spoilt_database_is_an_error_that_passes(tmp_path: Path) -> None:
    """B2.1"""
    boxe = Bridged(tmp_path / "boxe", Device("BOXE"))
    boxe.hcom.db.close()
    good = boxe.hcom.path.read_bytes()
    for path in boxe.hcom.folder.glob("hcom.db*"):
        path.unlink()
    with pytest.raises(BridgeError, match="cannot be opened"):
        boxe.step()
    boxe.hcom.path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(BridgeError, match="cannot be read"):
        boxe.step()
    boxe.hcom.path.write_bytes(good)
    boxe.hcom.db = sqlite3.connect(boxe.hcom.path, isolation_level=None)
    boxe.hcom.say("luna", "hello")
    boxe.run()
    assert texts(boxe) == ["hello"]


def test_database_that_is_written_to_for_long_is_read_meanwhile(boxe: Bridged) -> None:
    """B2.1"""
    boxe.hcom.say("luna", "before")
    writer = sqlite3.connect(boxe.hcom.path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO kv VALUES ('slow', '1')")
    boxe.wire.worker = False
    boxe.run(lambda: texts(boxe) == ["before"])
    writer.execute("COMMIT")
    writer.close()


def test_intervals_join_and_are_bounded() -> None:
    """B2.3"""
    runs = Intervals()
    for low, high in [(0, 5), (10, 12), (5, 10), (20, 30), (15, 15), (22, 25)]:
        runs.add(low, high)
    assert Intervals(runs.encode()).encode() == runs.encode()
    assert [number for number in range(1, 40) if number in runs] == [*range(1, 13), *range(21, 31)]
    assert (runs.last, runs.reach(0), runs.reach(12), runs.reach(21)) == (30, 12, 12, 30)
    for number in range(3 * RUNS_MAX):
        runs.add(100 + 2 * number, 101 + 2 * number)
    assert len(runs.encode()) < 20 * RUNS_MAX


@pytest.mark.parametrize(
    "text",
    [b'{"_hcom":1}', b'{"_hcom":{"db":"zz","id":1,"after":0,"hash":"0"}}', b'"_hcom"', b'\xff"_hcom"', b"null"],
)
def test_mark_of_a_peer_that_is_none_counts_as_none(text: bytes) -> None:
    """B2.3"""
    assert mark_of(text) is None


def test_times_beyond_the_calendar_are_shown_at_its_ends() -> None:
    """B2.2"""
    assert time_us("2026-11-22T17:39:23.798466+00:00") == 1_795_369_163_798_466
    assert time_us("2026-11-22T17:39:23") == 1_795_369_163_000_000
    assert time_us("soon") is None
    assert iso_us(1 << 62).startswith("9999")
    assert iso_us(-(1 << 62)).startswith("1970")


def test_fake_is_what_it_claims(tmp_path: Path) -> None:
    assert FakeHcom(tmp_path / "x", "BOXE").rows() == []
