"""`events`, `devices`, `config`, `status` in real processes, with no daemon and no network."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hcom_replica import Replica
from hcom_replica.testing.real.processes import Cli


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A replica with some events, only to be read."""
    cli = Cli(tmp_path_factory.mktemp("reading") / "replica")
    with Replica.open(cli.folder, name="BOXE") as replica:
        for number in range(30):
            replica.append("status", {"n": number, "status": "blocked" if number % 10 == 3 else "ok"}, agent="luna")
        replica.append("message", {"text": 'say "hü"'}, agent="nova", time="2020-10-04T23:59:28.250001Z")
        replica.append("evil\x1b[31m", "\x1b]0;title\x07", agent="x\u202ey")
    return cli


def found(cli: Cli, *arguments: str) -> list[Any]:
    return [event["data"] for event in cli.json_lines("events", "-n", "all", *arguments)]


def test_events_prints_the_newest_20_oldest_first(filled: Cli) -> None:
    lines = filled.json_lines("events")
    assert len(lines) == 20
    assert [line["seq"] for line in lines] == list(range(14, 34))


def test_events_with_n_prints_so_many(filled: Cli) -> None:
    assert [line["data"].get("n") for line in filled.json_lines("events", "-n", "3", "--kind", "status")] == [
        27,
        28,
        29,
    ]
    assert filled.json_lines("events", "-n", "0") == []


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        (["--where", 'data.status == "blocked"'], [3, 13, 23]),
        (["--where", "data.n < 2 and kind == 'status'"], [0, 1]),
        (["--kind", "status", "--where", "data.n >= 28"], [28, 29]),
        (["--agent", "luna", "--where", "data.n == 5"], [5]),
        (["--agent", "luna:BOXE", "--where", "data.n == 5"], [5]),
        (["--agent", "luna:TUKA"], []),
        (["--device", "BOXE", "--grep", '"n":17,'], [17]),
        (["--agent", "nova", "--kind", "status"], []),
        (["--since", "10m", "--grep", "blocked"], [3, 13, 23]),
        (["--until", "10m"], []),
        (["--since", "2999-01-01"], []),
        (["--kind", "status", "--claimed-until", "2021-01-01"], []),
    ],
)
def test_events_with_filters_prints_what_passes_all(filled: Cli, arguments: list[str], numbers: list[int]) -> None:
    assert [data["n"] for data in found(filled, *arguments)] == numbers


def test_events_since_and_until_an_id_include_it(filled: Cli) -> None:
    ids = {line["data"].get("n"): line["id"] for line in filled.json_lines("events", "-n", "all", "--kind", "status")}
    assert [data["n"] for data in found(filled, "--since", ids[4], "--until", ids[6])] == [4, 5, 6]


def test_events_with_grep_sees_through_escapes(filled: Cli) -> None:
    assert found(filled, "--grep", 'say "hü"') == [{"text": 'say "hü"'}]


def test_events_with_claimed_filters_use_the_time_shown(filled: Cli) -> None:
    (event,) = filled.json_lines("events", "--claimed-until", "2021-01-01")
    assert event["time"] == "2020-10-04T23:59:28.250001Z"
    assert event["agent"] == "nova"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--where", "data.x = 1"], "compare with =="),
        (["--since", "soon"], "--since soon: not a time"),
        (["--until", "zz:1"], "or the id of an event"),
        (["--claimed-since", "soon"], "--claimed-since soon: not a time"),
        (["--since", "0123456789abcdef:1"], "may not have arrived"),
        (["-n", "some"], ""),
        (["--order", "random"], "arrival"),
        (["--json-version", "99"], ""),
        (["--nonsense"], "--help"),
    ],
)
def test_events_wrongly_asked_exits_2_with_a_hint(filled: Cli, arguments: list[str], hint: str) -> None:
    done = filled.run("events", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error[usage]: ")
    assert hint in done.stderr


def test_events_of_an_unknown_device_warns_and_prints_nothing(filled: Cli) -> None:
    done = filled.run("events", "--device", "TUKA")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no device TUKA is known here yet" in done.stderr


def test_events_with_system_shows_the_hello(filled: Cli) -> None:
    kinds = [line["kind"] for line in filled.json_lines("events", "-n", "all", "--system")]
    assert kinds[0] == "_hello"
    assert len(kinds) == 33


def test_events_in_order_of_arrival_adds_what_is_local(filled: Cli) -> None:
    lines = filled.json_lines("events", "--order", "arrival", "-n", "2")
    assert [line["arrival"] for line in lines] == [32, 33]
    assert {line["late"] for line in lines} == {False}
    assert lines[0]["received_at"].endswith("Z")
    canonical = filled.json_lines("events", "-n", "2")
    assert [{key: line[key] for key in canonical[0]} for line in lines] == canonical


def test_events_for_people_escapes_what_came_from_elsewhere(filled: Cli) -> None:
    text = filled.ok("events", "-n", "2")
    assert "\x1b" not in text
    assert "evil\\x1b[31m" in text
    assert "x\\u202ey" in text
    assert "  nova  " in text
    assert "nova:BOXE" not in text


def test_events_into_a_closed_pipe_is_quiet(filled: Cli) -> None:
    command = [*filled._command(("events", "-n", "all", "--json"))]
    process = subprocess.Popen(command, env=filled._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == 0


def test_follow_prints_what_other_processes_append_and_ends_quietly(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "replica")
    cli.ok("emit", "k", "--data", "0")
    running = cli.spawn("events", "--follow", "--json", "--kind", "k")
    running.wait_for_output('"data":0}')
    for number in (1, 2, 3):
        cli.ok("emit", "other")
        cli.ok("emit", "k", "--data", str(number))
    running.wait_for_output('"data":3}')
    running.interrupt()
    assert running.wait() == 130
    assert [json.loads(line)["data"] for line in running.output.splitlines()] == [0, 1, 2, 3]


def test_follow_in_a_process_with_a_cursor_prints_each_event_once(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "replica")
    printed: list[Any] = []
    for number in range(3):
        cli.ok("emit", "k", "--data", str(number))
        running = cli.spawn("events", "--follow", "--cursor", "mine", "--json")
        running.wait_for_output(f'"data":{number}}}')
        cli.ok("emit", "other", "--data", '"end"')
        running.wait_for_output('"end"')
        running.interrupt()
        running.wait()
        printed += [json.loads(line)["data"] for line in running.output.splitlines()]
    assert [data for data in printed if data != "end"] == [0, 1, 2]
    assert cli.run("events", "--cursor", "mine").returncode == 2


def test_follow_with_a_cursor_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """T5.5"""
    with Replica.open(tmp_path / "replica") as replica:
        for number in range(5):
            replica.append("k", number)
        assert [event.data for event in replica.follow("mine", timeout_s=0.0)] == [0, 1, 2, 3, 4]
        replica.append("k", 5)
        follower = replica.follow("mine", timeout_s=0.0)
        assert next(follower).data == 5
        follower.close()
        assert [event.data for event in replica.follow("mine", timeout_s=0.0)] == [5]
        assert [event.data for event in replica.follow("mine", timeout_s=0.0)] == []


def test_devices_lists_this_device_and_its_incarnations(filled: Cli) -> None:
    (row,) = filled.json_lines("devices")
    assert (row["device"], row["events"], row["flags"]) == ("BOXE", 32, ["this"])
    assert len(row["origins"]) == 1


def test_devices_rename_is_told_to_the_group(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "replica")
    cli.ok("emit", "k", "--agent", "luna")
    assert cli.json("devices", "rename", "TUKA") == {"device": "TUKA"}
    assert cli.json_lines("events")[0]["name"] == "luna:TUKA"
    assert cli.json_lines("events", "--system")[-1]["data"] == {"name": "TUKA"}
    assert cli.run("devices", "rename", "tuka").returncode == 2


def test_status_without_daemon_and_network_answers_from_what_is_stored(filled: Cli) -> None:
    status = filled.json("status", "--lag", "--fail-over", "0")
    assert status["device"] == "BOXE"
    assert status["events"] == 32
    assert status["daemon"] == {"running": False, "pid": None}
    assert status["broker"] == {"url": None, "connected": False, "since": None, "moving_to": None}
    assert status["inbound"]["behind_events"] == status["outbound"]["behind_events"] == 0
    assert status["devices"] == []
    assert "BOXE" in filled.ok("status", "--lag")


def test_config_shows_values_and_sources(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "replica")
    cli.folder.mkdir(mode=0o700)
    (cli.folder / "config.toml").write_text("[mailbox]\nslots = 8\n")
    shown = {value["key"]: value for value in cli.json("config")["values"]}
    assert (shown["mailbox.slots"]["value"], shown["mailbox.slots"]["source"]) == (8, "config.toml line 2")
    assert shown["log.sync"]["source"] == "default"
    assert cli.json("config")["folder_source"] == "HCOM_REPLICA_DIR"


def test_config_with_a_mistake_stops_every_command_with_its_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "replica")
    cli.folder.mkdir(mode=0o700)
    (cli.folder / "config.toml").write_text("[relay]\nbrokr = 'x'\n")
    for command in (["config"], ["emit", "k"], ["events"], ["status"]):
        done = cli.run(*command)
        assert done.returncode == 2
        assert "config.toml:2: no such key: relay.brokr" in done.stderr
        assert "did you mean broker" in done.stderr


def test_folder_that_others_may_read_is_warned_about(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "replica")
    cli.ok("emit", "k")
    (cli.folder / "group.key").chmod(0o644)
    assert "group.key has mode 0644" in cli.run("emit", "k").stderr


def test_dir_is_taken_in_front_of_and_behind_the_command(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "replica")
    other = str(tmp_path / "other")
    cli.ok("--dir", other, "emit", "k", "--data", "1")
    cli.ok("emit", "k", "--data", "2", "--dir", other)
    assert [line["data"] for line in cli.json_lines("events", f"--dir={other}")] == [1, 2]
    assert not cli.folder.exists()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], ["events", "--help"], ["relay", "--help"], ["relay", "daemon", "-h"]]
)
def test_help_exits_0_and_shows_usage(filled: Cli, arguments: list[str]) -> None:
    assert "Usage: hcom-replica" in filled.ok(*arguments)


@pytest.mark.parametrize("arguments", [["frobnicate"], ["relay", "frobnicate"], ["emit"], ["events", "--since"]])
def test_unknown_words_exit_2_with_a_hint(filled: Cli, arguments: list[str]) -> None:
    done = filled.run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error[usage]: ")
    assert "--help" in done.stderr
