"""`emit`, `send` and `import` in real processes, with no daemon and no network."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hcom_replica.testing.real.processes import Cli
from hcom_replica.testing.real.waiting import wait_until


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "replica")


def lines_of(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    done = cli.run("events", "--json", "-n", "all", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_emit_in_a_folder_that_is_not_there_makes_it_and_prints_the_id(cli: Cli) -> None:
    done = cli.run("emit", "status", "--agent", "luna", "--data", '{"status": "blocked",  "n": 1.0}')
    assert (done.returncode, done.stderr) == (0, "")
    (event,) = lines_of(cli)
    assert event["id"] == done.stdout.strip()
    assert event["data"] == {"status": "blocked", "n": 1.0}
    assert event["name"] == f"luna:{event['device']}"
    assert cli.folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in cli.folder.iterdir() if path.stat().st_mode & 0o077} == set()


def test_emit_keeps_the_bytes_of_the_body(cli: Cli) -> None:
    body = '{"b": [1.0, 1e5, "\\u00fc", "ü"], "a": {"z": null}, "b2": 12345678901234567890123}'
    assert cli.run("emit", "k", "--data", body).returncode == 0
    shown = cli.run("events", "--json").stdout
    assert shown.endswith('"data":{"b":[1.0,1e5,"\\u00fc","ü"],"a":{"z":null},"b2":12345678901234567890123}}\n')


def test_emit_with_json_and_stdin_prints_an_object(cli: Cli) -> None:
    done = cli.run("emit", "k", "--data", "-", "--json", stdin="[1,\n2]\n")
    shown = json.loads(done.stdout)
    (event,) = lines_of(cli)
    assert shown == {key: event[key] for key in ("id", "origin", "seq")}
    assert event["data"] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["k", "--data", "{"], "usage"),
        (["k", "--data", "NaN"], "usage"),
        (["k", "--data", '"\\ud800"'], "usage"),
        (["_k"], "usage"),
        (["k" * 65], "limit"),
        (["k", "--agent", "a" * 257], "limit"),
        (["k", "--agent", ""], "limit"),
        ([], "usage"),
        (["k", "--nonsense"], "usage"),
        (["k", "more"], "usage"),
    ],
)
def test_emit_of_what_is_not_usable_exits_2_and_appends_nothing(cli: Cli, arguments: list[str], kind: str) -> None:
    done = cli.run("emit", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error[{kind}]: ")
    assert "Traceback" not in done.stderr
    assert lines_of(cli) == []


def test_emit_by_many_processes_at_once_gives_each_its_own_seq(cli: Cli) -> None:
    with ThreadPoolExecutor(4) as pool:
        ids = [done.stdout for done in pool.map(lambda n: cli.run("emit", "k", "--data", str(n)), range(12))]
    assert len(set(ids)) == 12
    events = lines_of(cli)
    assert sorted(event["data"] for event in events) == list(range(12))
    assert [event["order"] for event in events] == sorted(str(event["order"]) for event in events)


def test_send_makes_a_message_of_the_words_behind_the_dashes(cli: Cli) -> None:
    assert (
        cli.run("send", "@luna:BOXE", "@team", "--from", "nova", "--thread", "t1", "--", "hello", "--json").returncode
        == 0
    )
    (event,) = lines_of(cli, "--kind", "message")
    assert event["agent"] == "nova"
    assert event["data"] == {
        "from": "nova",
        "scope": "mentions",
        "text": "hello --json",
        "mentions": ["luna:BOXE", "team"],
        "thread": "t1",
    }


def test_send_without_target_is_a_broadcast_and_reads_stdin(cli: Cli) -> None:
    first = cli.run("send", "--", "one").stdout.strip()
    assert cli.run("send", "--reply-to", first, "--", "-", stdin="two\nlines\n").returncode == 0
    data = [event["data"] for event in lines_of(cli)]
    assert data == [
        {"from": None, "scope": "broadcast", "text": "one"},
        {"from": None, "scope": "broadcast", "text": "two\nlines", "reply_to": first},
    ]


@pytest.mark.parametrize(
    "arguments", [["luna", "--", "x"], ["@luna"], ["@luna", "--"], ["hello"], ["--reply-to", "7", "--", "x"]]
)
def test_send_that_is_wrongly_written_exits_2_with_a_hint(cli: Cli, arguments: list[str]) -> None:
    done = cli.run("send", *arguments)
    assert done.returncode == 2
    assert "hint: " in done.stderr


def write_lines(path: Path, count: int) -> None:
    with path.open("w") as file:
        for number in range(count):
            line = {"kind": "k", "agent": "luna", "data": {"n": number}, "time": "2020-10-04T23:59:28.250000Z"}
            file.write(json.dumps(line) + "\n")


def test_import_keeps_order_and_claimed_time(cli: Cli, tmp_path: Path) -> None:
    write_lines(tmp_path / "in.jsonl", 5)
    done = cli.run("import", str(tmp_path / "in.jsonl"), "--json")
    assert json.loads(done.stdout)["imported_events"] == 5
    events = lines_of(cli)
    assert [event["data"] for event in events] == [{"n": number} for number in range(5)]
    assert {event["time"] for event in events} == {"2020-10-04T23:59:28.250Z"}
    assert done.stderr == ""


def test_import_twice_appends_once_and_again_appends_anew(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    write_lines(path, 10)
    counts = [
        json.loads(cli.run("import", str(path), "--json", *more).stdout)
        for more in ([], [], ["--again"], ["--again"], [])
    ]
    assert [count["imported_events"] for count in counts] == [10, 0, 10, 10, 0]
    assert [count["already_events"] for count in counts] == [0, 10, 0, 0, 10]
    assert len(lines_of(cli)) == 30


def test_import_from_stdin_with_empty_lines_and_no_last_newline_takes_all(cli: Cli) -> None:
    done = cli.run("import", "-", stdin='{"kind":"a"}\n\n  \n{"kind":"b","agent":null,"data":[ 1 ]}')
    assert done.stdout == "imported 2 events\n"
    assert [(event["kind"], event["data"]) for event in lines_of(cli)] == [("a", None), ("b", [1])]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("nonsense", "not JSON"),
        ("[]", "expected `object`"),
        ('{"agent":"x"}', "missing required field `kind`"),
        ('{"kind":"x","agnt":"y"}', "unknown field `agnt`"),
        ('{"kind":"_x"}', "system events"),
        ('{"kind":""}', "kind must be"),
        ('{"kind":"x","time":"noon"}', "not a time"),
        ('{"kind":"x","data":"\\udc00"}', "not JSON"),
        ('{"kind":"x","data":1e999}', "not JSON"),
    ],
)
def test_import_with_a_bad_line_names_it_and_appends_nothing(cli: Cli, line: str, why: str) -> None:
    good = '{"kind":"a"}\n' * 6000
    done = cli.run("import", "-", stdin=good + line + "\n" + good)
    assert done.returncode == 2
    assert "line 6001: " in done.stderr
    assert why in done.stderr
    assert lines_of(cli) == []
    assert json.loads(cli.run("import", "-", "--json", stdin=good).stdout)["imported_events"] == 6000


def test_import_of_a_file_that_is_not_there_exits_2(cli: Cli) -> None:
    done = cli.run("import", "/nowhere.jsonl")
    assert done.returncode == 2
    assert "cannot read /nowhere.jsonl" in done.stderr


def killed_at_work(cli: Cli, path: Path) -> bool:
    """Kill an import once it has written something; False when it was done before that."""
    data = cli.folder / "log" / "data.mdb"
    before = data.stat().st_size
    running = cli.spawn("import", str(path))
    grown = 100_000
    wait_until(lambda: data.stat().st_size > before + grown or running.exit_code is not None, 60, "the log grows")
    at_work = running.exit_code is None
    running.kill()
    return at_work


@pytest.mark.slow
def test_import_killed_and_run_again_has_each_line_once(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    write_lines(path, 60_000)
    cli.run("emit", "first")
    kills = sum(killed_at_work(cli, path) for _ in range(3))
    assert kills
    done = json.loads(cli.run("import", str(path), "--json").stdout)
    assert done["imported_events"] + done["already_events"] == 60_000
    assert done["already_events"] > 0
    assert [event["data"] for event in lines_of(cli, "--kind", "k")] == [{"n": number} for number in range(60_000)]
