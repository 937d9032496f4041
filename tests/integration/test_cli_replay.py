"""`replay` in real processes, with no daemon and no network."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from hcom_replica import Replica
from hcom_replica.api.filters import Query
from hcom_replica.api.final import FinalReader
from hcom_replica.store.kv import Table
from hcom_replica.testing.real.processes import Cli

STORY = """\
──── Sunday, 2020-10-04 ────
23:59:28.000  luna          life     created by cli
23:59:58.500  luna          status   active: Edit src/a.rs
──── Monday, 2020-10-05 ────
00:00:55.000  nova          message  → luna: done\\x1b[31m
──── beyond the calendar ────
-             -             k        "far"
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A replica with some events, only to be read."""
    cli = Cli(tmp_path_factory.mktemp("replay") / "replica")
    with Replica.open(cli.folder, name="BOXE") as replica:
        replica.append("life", {"action": "created", "by": "cli"}, agent="luna", time="2020-10-04T23:59:28Z")
        status = {"status": "active", "context": "tool:Edit", "detail": "src/a.rs"}
        replica.append("status", status, agent="luna", time="2020-10-04T23:59:58.5Z")
        message = {"from": "nova", "scope": "mentions", "mentions": ["luna"], "text": "done\x1b[31m"}
        replica.append("message", message, agent="nova", time="2020-10-05T00:00:55Z")
        replica.append("k", "far", time=1 << 60)
    return cli


def test_replay_tells_a_story_with_its_days(filled: Cli) -> None:
    assert filled.ok("replay") == STORY


@pytest.mark.parametrize(
    ("filters", "kinds"),
    [
        (["--kind", "life", "--kind", "k"], ["life", "k"]),
        (["--agent", "luna", "--grep", "src/"], ["status"]),
        (["--where", 'data.scope == "mentions"', "--device", "BOXE"], ["message"]),
        (["--claimed-until", "2020-10-05"], ["life", "status"]),
        (["--system", "--kind", "_hello"], ["_hello"]),
        (["--until", "10m"], []),
    ],
)
def test_replay_takes_every_filter(filled: Cli, filters: list[str], kinds: list[str]) -> None:
    lines = filled.ok("replay", "--format", "jsonl", *filters).splitlines()
    assert [json.loads(line)["kind"] for line in lines] == kinds


def test_replay_as_json_lines_is_what_events_prints(filled: Cli) -> None:
    assert filled.ok("replay", "--format", "jsonl") == filled.ok("events", "-n", "all", "--json")
    assert filled.ok("replay", "--json") == filled.ok("events", "-n", "all", "--json")
    assert filled.run("replay", "--json", "--format", "csv").returncode == 2


def test_replay_as_csv_and_cloudevents_tells_every_event(filled: Cli) -> None:
    rows = list(csv.DictReader(io.StringIO(filled.ok("replay", "--format", "csv"), newline="")))
    assert [row["kind"] for row in rows] == ["life", "status", "message", "k"]
    types = [json.loads(line)["type"] for line in filled.ok("replay", "--format", "cloudevents").splitlines()]
    assert types == ["hcom.life", "hcom.status", "hcom.message", "hcom.k"]


def test_replay_into_a_file_writes_what_it_prints_and_replaces_nothing_unasked(filled: Cli, tmp_path: Path) -> None:
    out = str(tmp_path / "story.txt")
    assert filled.ok("replay", "-o", out) == ""
    assert (tmp_path / "story.txt").read_text() == filled.ok("replay")
    done = filled.run("replay", "-o", out, "--format", "csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error[usage]: ")
    assert "--force" in done.stderr
    assert filled.ok("replay", "--force", "-o", out, "--format", "csv") == ""
    assert (tmp_path / "story.txt").read_text() == filled.ok("replay", "--format", "csv")


def test_replay_at_a_pace_shortens_long_gaps_and_says_so(filled: Cli) -> None:
    done = filled.run("replay", "--speed", "1000x", "--gap", "10ms", "--kind", "life", "--kind", "message")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 4
    assert done.stderr == "nothing for 1 min 27 s, shortened to 10 ms\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--speed", "fast"], "10x"),
        (["--gap", "long"], "500ms"),
        (["--format", "xml"], "cloudevents"),
        (["--where", "kind = 1"], "at character 6"),
        (["--since", "soon"], "--since soon"),
        (["-o", "/missing/folder/file"], "cannot write /missing/folder/file"),
    ],
)
def test_replay_wrongly_asked_exits_2_with_a_hint(filled: Cli, arguments: list[str], said: str) -> None:
    done = filled.run("replay", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error[")
    assert said in done.stderr


def test_replay_of_what_is_stable_names_every_agent_in_full(filled: Cli) -> None:
    assert filled.ok("replay", "--stable", "--format", "jsonl") == filled.ok("replay", "--format", "jsonl")
    assert filled.ok("replay", "--stable", "--kind", "life").splitlines()[1] == (
        "23:59:28.000  luna:BOXE     life     created by cli"
    )


def test_replay_in_python_yields_the_same(filled: Cli) -> None:
    with Replica.open(filled.folder) as replica:
        lines = [event.json().decode() for event in replica.replay(kind="life")]
    assert lines == filled.ok("replay", "--format", "jsonl", "--kind", "life").splitlines()


def test_events_that_are_stable_are_the_newest_of_the_stream(filled: Cli) -> None:
    assert filled.ok("events", "--stable", "--json", "-n", "all") == filled.ok(
        "replay", "--stable", "--format", "jsonl"
    )
    assert [line["kind"] for line in filled.json_lines("events", "--stable", "-n", "2")] == ["message", "k"]
    assert "luna:BOXE" in filled.ok("events", "--stable")
    for wrong in (["--order", "arrival"], ["--follow", "--cursor", "x"]):
        assert filled.run("events", "--stable", *wrong).returncode == 2


def test_follow_of_what_is_stable_prints_what_becomes_final(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "replica")
    cli.ok("emit", "k", "--data", "1")
    running = cli.spawn("events", "--stable", "--follow", "--json")
    running.wait_for_output('"data":1}')
    cli.ok("emit", "other", "--data", "2")
    running.wait_for_output('"data":2}')
    running.interrupt()
    assert running.wait() == 130
    assert [json.loads(line)["data"] for line in running.output.splitlines()] == [1, 2]


def test_follow_of_what_is_stable_in_python_ends_when_nothing_comes(filled: Cli) -> None:
    with Replica.open(filled.folder) as replica:
        reader = FinalReader(replica, Query(kinds=("life", "k")))
        assert [event.kind for event in reader.read()] == ["life", "k"]
        assert list(reader.follow(timeout_s=0.2)) == []
        again = FinalReader(replica, Query(), reader.place)
        assert list(again.read()) == []


def test_damaged_event_is_named_and_the_rest_is_told(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "replica")
    with Replica.open(cli.folder) as replica:
        ids = replica.append_many([("k", number) for number in range(5)])
        row = replica.log.event(ids[2])
        assert row is not None
        with replica.parts._kv.write() as txn:
            txn.put(Table.LOG, row.key, row.seq.to_bytes(8, "big") + b"\x00" + row.record[1:])
    for arguments in (
        ["replay", "--format", "jsonl"],
        ["events", "--json"],
        ["events", "--json", "--order", "arrival"],
    ):
        done = cli.run(*arguments)
        assert done.returncode == 0
        assert [json.loads(line)["data"] for line in done.stdout.splitlines()] == [0, 1, 3, 4]
        assert f"damaged on this disk and left out: {ids[2]}" in done.stderr
    done = cli.run("export", str(tmp_path / "out"), "--format", "jsonl")
    assert done.stdout.startswith("exported 4 events")
    assert str(ids[2]) in done.stderr
    assert cli.run("replay", "--format", "html", "-o", str(tmp_path / "x.html")).returncode == 0


def test_event_whose_place_is_damaged_is_named_and_the_rest_is_told(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "replica")
    with Replica.open(cli.folder) as replica:
        ids = replica.append_many([("k", number) for number in range(5)])
        row = replica.log.event(ids[2])
        assert row is not None
        wrong = row.key[:-1] + bytes([row.key[-1] ^ 1])
        with replica.parts._kv.write() as txn:
            txn.put(Table.LOG, wrong, row.seq.to_bytes(8, "big") + row.record)
            txn.delete(Table.LOG, row.key)
    for arguments in (["replay", "--format", "jsonl"], ["replay", "--format", "csv"], ["events", "--json"]):
        done = cli.run(*arguments)
        assert done.returncode == 0
        assert len(done.stdout.splitlines()) == 4 + ("csv" in arguments)
        assert f"damaged on this disk and left out: {wrong[8:].hex()}:{ids[2].seq}" in done.stderr
    assert cli.run("replay", "--format", "html", "-o", str(tmp_path / "x.html")).returncode == 0
    assert cli.run("audit", "report", "-o", str(tmp_path / "y.html")).returncode == 1
    arrived = cli.run("events", "--order", "arrival")
    assert arrived.returncode == 3
    assert "hcom-replica audit says what is damaged" in arrived.stderr


def test_damaged_row_of_a_system_event_hides_no_event(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "replica")
    with Replica.open(cli.folder, name="BOXE") as replica:
        replica.append_many([("k", number, "luna") for number in range(5)])
        own = replica.log.own_origin()
        assert own is not None
        with replica.parts._kv.write() as txn:
            txn.put(Table.SYSTEM, own.id + bytes(7) + b"\xff", b"")
    events = cli.json_lines("events")
    assert [event["data"] for event in events] == [0, 1, 2, 3, 4]
    assert {event["name"] for event in events} == {"luna:BOXE"}
    assert cli.json_lines("list")[0]["device"] == "BOXE"
    findings = json.loads(cli.run("audit", "--json").stdout)["findings"]
    assert ("system", 255) in {(finding["what"], finding.get("first")) for finding in findings}
    assert "hcom-replica audit" in cli.run("status").stderr
