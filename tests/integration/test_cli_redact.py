"""`redact` in real processes: what it takes, says, asks and leaves alone."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from hcom_replica import Replica
from hcom_replica.api.groups import join
from hcom_replica.folder.paths import Folder
from hcom_replica.ids import parse_event_id
from hcom_replica.testing.real.processes import Cli, clean_environment
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.token import JoinToken

SECRET = "the password is hunter2"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "replica")


def emit(cli: Cli, text: str = SECRET) -> str:
    return cli.ok("emit", "note", "--agent", "luna", "--data", json.dumps(text)).strip()


def test_redacted_event_is_shown_without_its_body_and_found_by_no_text(cli: Cli) -> None:
    before, name, after = emit(cli, "before"), emit(cli), emit(cli, "after")
    shown = cli.json_lines("events", "--json")
    said = cli.json("redact", name, "--yes")
    assert (said["id"], said["already"]) == (name, False)
    now = cli.json_lines("events", "--json")
    assert now[1] == {**shown[1], "data": None, "redacted": True}
    assert [now[0], now[2]] == [shown[0], shown[2]]
    assert [event["id"] for event in now] == [before, name, after]
    assert "luna  note  (redacted)" in cli.ok("events")
    assert SECRET not in cli.ok("events", "--system", "-n", "all", "--json")
    for filters in (
        ["--grep", "hunter2"],
        ["--grep", "note"],
        ["--where", "data == null"],
        ["--where", 'kind == "note"'],
    ):
        assert name not in cli.ok("events", "--json", *filters)
    assert name in cli.ok("events", "--json", "--kind", "note", "--agent", "luna")
    (word,) = cli.json_lines("events", "--json", "--system", "--kind", "_redact")
    assert word["id"] == said["event"]
    assert f"{word['data']['origin']}:{word['data']['seq']}" == name
    assert cli.json("status")["events"] == 3


def test_event_redacted_again_is_said_to_be_so_also_to_a_script(cli: Cli) -> None:
    name = emit(cli)
    assert name in cli.ok("redact", "--yes", name)
    assert cli.ok("redact", name) == f"{name} had been redacted already\n"
    assert cli.json("redact", name) == {"id": name, "already": True, "event": None}


def test_redact_without_a_terminal_asks_for_yes_and_changes_nothing(cli: Cli) -> None:
    name = emit(cli)
    done = cli.run("redact", name, stdin="y\n")
    assert done.returncode == 2
    assert done.stderr.startswith("error[usage]: ")
    assert "--yes" in done.stderr
    assert SECRET in cli.ok("events")


@pytest.mark.parametrize("answer", ["y", "n", ""])
def test_redact_on_a_terminal_shows_the_event_and_asks(cli: Cli, answer: str) -> None:
    name = emit(cli)
    command = [sys.executable, "-m", "hcom_replica", "--dir", str(cli.folder), "redact", name]
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode() + b"\n")
        done = subprocess.run(
            command,
            stdin=theirs,
            capture_output=True,
            text=True,
            env=clean_environment(cli.folder),
            timeout=60,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert SECRET in done.stderr
    assert "[y/N]" in done.stderr
    assert done.returncode == (0 if answer == "y" else 1)
    assert (SECRET in cli.ok("events")) == (answer != "y")


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ("0123456789abcdef:1", "no event"),
        ("nonsense", "not an event id"),
        ("{origin}:1", "system event"),
        ("{origin}:99", "no event"),
    ],
)
def test_redact_of_what_cannot_be_redacted_exits_2_with_a_hint(cli: Cli, event: str, says: str) -> None:
    origin = emit(cli).partition(":")[0]
    done = cli.run("redact", "--yes", event.format(origin=origin))
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET in cli.ok("events")


def test_python_program_redacts_by_id_or_text(tmp_path: Path) -> None:
    with Replica.open(tmp_path / "r") as replica:
        first, second = replica.append("note", SECRET), replica.append("note", SECRET)
        said = replica.redact(first)
        assert said is not None
        assert replica.redact(str(first)) is None
        assert replica.redact(str(second)) is not None
        assert [(event.redacted, event.data) for event in replica.events()] == [(True, None)] * 2
        found = replica.event(parse_event_id(str(first)))
        assert found is not None
        assert found.redacted


def test_redacted_event_of_a_group_of_its_own_is_left_behind_when_a_group_is_joined(tmp_path: Path) -> None:
    with Replica.open(tmp_path / "r") as replica:
        first = replica.append("note", SECRET)
        replica.append("note", "other")
        replica.redact(first)
    token = JoinToken(GroupKeys(bytes(16), bytes(32)), ("mqtt://127.0.0.1:1",), bytes(32))
    assert join(Folder(tmp_path / "r"), token) == 1
    with Replica.open(tmp_path / "r") as replica:
        assert [event.data for event in replica.events()] == ["other"]
