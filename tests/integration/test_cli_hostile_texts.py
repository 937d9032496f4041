"""Texts that peers, brokers and files send to a terminal: no command prints a control character of theirs."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hcom_replica.api.opening import open_parts
from hcom_replica.cli.commands import COMMANDS
from hcom_replica.cli.main import main
from hcom_replica.core.effects import Trace
from hcom_replica.core.info import LiveInfo
from hcom_replica.core.peers import Peers
from hcom_replica.daemon.journal import Journal
from hcom_replica.daemon.messages import DaemonInfo
from hcom_replica.errors import BrokerError
from hcom_replica.testing.real.processes import clean_environment
from hcom_replica.wire.codec import encode
from hcom_replica.wire.event import Draft
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.token import JoinToken
from tests.harness.folders import device_folder
from tests.unit.core.builders import KEYS, WALL, Device, at

ESCAPES = "\x1b[2J\x1b]0;owned\x07\u009b31m\x7f\x00\r"
TURNING = "\u202eabc\u2066\u2069\u200f"
LINES = "x\nINJECTED y\u2028INJECTED\u2029\u0085INJECTED\x0b\x0c"
HOSTILE = f"{ESCAPES}{TURNING}{LINES}"
NAMES = ["\x1b[2J\u009b1m", "A\u202eB\u2066\u2028", "L\nINJECTED\r\x7f"]
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
COLOUR = re.compile("\x1b\\[[0-9;]+m")

READING: dict[tuple[str, ...], list[list[str]]] = {
    ("events",): [
        [], ["--json"], ["--order", "arrival"], ["--order", "arrival", "--json"], ["--system"], ["--system", "--json"],
        ["--device", HOSTILE.replace("\x00", "")], ["--since", "\x1b[2J"], ["--where", "\x1b[2J"],
    ],
    ("replay",): [
        [], ["--system"], ["--stable"], ["--device", HOSTILE.replace("\x00", "")], ["--since", "\x1b[2J"],
        ["--format", "jsonl"], ["--format", "csv"], ["--format", "cloudevents"], ["--format", "html"],
        ["--format", "\x1b[2J"], ["--speed", "\x1b[2J"], ["--gap", "\x1b[2J"], ["-o", "/nowhere/\x1b[2J\u009b"],
    ],
    ("list",): [[], ["--json"]],
    ("state",): [[], ["--json"]],
    ("state", "get"): [["\x1b[2J\u009b"]],
    ("state", "set"): [["\x1b[2J", "\x1b"], ["\x1b[2J", '"x"']],
    ("state", "add"): [["\x1b[2J", "\x1b"], ["\u009b", '"x"']],
    ("state", "remove"): [["\u009b", '"x"']],
    ("state", "incr"): [["\u202e", "1"]],
    ("subscriptions",): [[], ["--json"]],
    ("subscriptions", "add"): [["\x1b[2J"]],
    ("subscriptions", "remove"): [["\x1b[2J"]],
    ("bridge", "hcom"): [["--hcom-dir", "/nowhere/\x1b[2J"], ["--hcom-dir", "/nowhere/\u009b", "--json"]],
    ("bridge", "remote"): [
        ["\x1b[2J", "config_get"], ["BOXE", "\x1b[2J\u009b"], ["BOXE", "config_get", "\x1b[2J=\u009b"],
    ],
    ("audit",): [[], ["--json"], ["--device", "\x1b[2J\u009b"]],
    ("audit", "verify"): [[], ["--json"], ["--device", NAMES[0]]],
    ("audit", "diff"): [["\x1b[2J\u009b"], [NAMES[0], "--timeout", "0"], [NAMES[0], "--timeout", "0", "--json"]],
    ("audit", "report"): [["-o", "/nowhere/\x1b[2J\u009b"], ["-o", "/dev/null"], ["-o", "/dev/null", "--json"]],
    ("export",): [["/nowhere/\x1b[2J"], ["/nowhere/\x1b[2J", "--format", "sqlite"], ["x", "--format", "\x1b[2J"]],
    ("import-bundle",): [["/nowhere/\x1b[2J\u009b"]],
    ("status",): [[], ["--lag"], ["--json"], ["--lag", "--json"]],
    ("devices",): [[], ["--json"]],
    ("relay",): [[], ["--json"]],
    ("relay", "status"): [[], ["--json"]],
    ("relay", "daemon"): [[], ["--json"]],
    ("relay", "daemon", "status"): [[], ["--json"]],
    ("relay", "daemon", "logs"): [[]],
    ("relay", "rotate"): [[], ["--json"]],
    ("relay", "revoke"): [["\x1b[2J"]],
    ("relay", "move"): [["\x1b[2J\u009b"], ["mqtt://\x1b[2J"], ["mqtt://127.0.0.1:1/\u202e"]],
    ("config",): [[], ["--json"]],
    ("doctor",): [[], ["--json"]],
    ("flush",): [["--timeout", "0"], ["--timeout", "0", "--json"], ["--timeout", "0", "--device", "\u009b"]],
    ("wait",): [["--timeout", "0"], ["--timeout", "0", "--json"]],
    ("devices", "retire"): [[name] for name in NAMES],
    ("devices", "rename"): [["\x1b[2J"]],
    ("emit",): [["\x1b[2J\u009b"], ["k", "--data", '{"\x1b']],
    ("send",): [["\x1b[2J", "--text", "x"], ["--reply-to", "\x9b", "--text", "x"]],
    ("import",): [["/nowhere/\x1b[2J\u009b"]],
    ("relay", "connect"): [["hcr1_\x1b[2J\u009b"], ["\u009b"]],
}  # fmt: skip
OTHERS = {
    ("relay", "new"), ("relay", "on"), ("relay", "off"), ("relay", "forget"), ("relay", "token"), ("run",),
    ("relay", "daemon", "start"), ("relay", "daemon", "stop"), ("relay", "daemon", "restart"),
    ("relay", "daemon", "install"), ("broker",), ("demo",),
    ("simulate",), ("redact",), ("bench",),
}  # fmt: skip
"""Print numbers, paths and what this device itself made."""

CALLS = [[*words, *more] for words, calls in READING.items() for more in calls]
ALL = [pytest.param(call, id=repr(" ".join(call))) for call in CALLS]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds events of hostile members, hears more of them, and has a log with what a broker said."""
    folder = device_folder(
        tmp_path_factory.mktemp("hostile") / "boxe", JoinToken(KEYS, ("mqtt://127.0.0.1:1",), bytes(32))
    )
    bodies = [json.dumps({HOSTILE: HOSTILE}).encode(), json.dumps([HOSTILE], ensure_ascii=False).encode(),
              b'"raw \x7f \xc2\x9b31m \xe2\x80\xae"', HOSTILE.encode(), b"\xff\x1b[2J"]  # fmt: skip
    peers = Peers(KEYS.group)
    with open_parts(folder) as parts:
        for name in NAMES:
            member = Device(name)
            member.append(*[Draft(HOSTILE[:20], HOSTILE, None, body) for body in bodies])
            parts.log.ingest([member.run()], WALL)
            member.append()
            peers.accept(Kind.HEAD, member.author, 0, encode(member.head()), live=False, now=at(0))
        parts.log.note_peers(peers.take_notes())
        parts.log.append([Draft("own", HOSTILE, None, b"1")], WALL)
    journal = Journal(folder.daemon_log, "debug")
    journal.trace(Trace("link ended", (("reason", HOSTILE), ("again_ms", 5))))
    journal.close()
    assert FORBIDDEN.search(folder.daemon_log.read_text()) is None, "nor does it stand in the file"
    with folder.daemon_log.open("a") as raw:  # what a library writes to stderr
        raw.write(f"a warning: {ESCAPES}{TURNING}\n")
    return folder.root


@pytest.fixture
def saying(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon repeats what a hostile broker has said."""
    live = LiveInfo(False, None, {HOSTILE: 1}, 0.0, (), {}, 0, 0, None)
    info = DaemonInfo(1, WALL, enabled=True, broker="mqtt://h:1", problem=HOSTILE, hint=HOSTILE, live=live)

    def refused(*_: object) -> float:
        raise BrokerError(HOSTILE, hint=HOSTILE)

    monkeypatch.setattr("hcom_replica.api.control.ask", lambda _folder: (1, info))
    monkeypatch.setattr("hcom_replica.api.status.ask", lambda _folder: (1, info))
    monkeypatch.setattr("hcom_replica.api.checkup.reachable", refused)


def test_every_command_is_here_or_prints_nothing_from_elsewhere() -> None:
    """A command that is added has to be put on one of the two lists."""
    assert set(COMMANDS) == {*READING, *OTHERS}


@pytest.mark.parametrize("arguments", ALL)
def test_command_prints_no_control_character_from_elsewhere(
    filled: Path, saying: None, arguments: list[str], capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HCOM_REPLICA_DIR", str(filled))
    code = main(arguments)
    out, err = (text.decode() for text in capfdbinary.readouterr())
    assert code != 70, err
    for text in (out, err):
        found = FORBIDDEN.search(text.replace("\r\n", "\n") if "csv" in arguments else text)
        assert found is None, (text, found)
        assert not any(line.startswith("INJECTED") for line in text.splitlines())
    if "--json" in arguments:
        assert all(json.loads(line) is not None for line in out.split("\n") if line)


def test_json_of_hostile_texts_means_what_was_written(
    filled: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spelled out, not changed."""
    monkeypatch.setenv("HCOM_REPLICA_DIR", str(filled))
    assert main(["events", "-n", "all", "--json"]) == 0
    rows = [json.loads(line) for line in capfdbinary.readouterr().out.decode().split("\n") if line]
    rows = [row for row in rows if row["device"] != "BOXE"]
    assert {row["device"] for row in rows} == {*NAMES}
    assert all(row["agent"] == HOSTILE for row in rows)
    bodies = [row["data"] for row in rows if row["device"] == NAMES[0] and "data" in row]
    assert bodies == [{HOSTILE: HOSTILE}, [HOSTILE], "raw \x7f \u009b31m \u202e"]


@pytest.mark.parametrize("arguments", [["events"], ["replay"], ["status", "--lag"], ["devices"], ["events", "--json"]])
def test_command_on_a_terminal_prints_no_control_character_but_its_own_colours(
    filled: Path, arguments: list[str]
) -> None:
    """A terminal obeys what it is sent."""
    environment = {**clean_environment(filled), "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    ours, theirs = pty.openpty()
    done = subprocess.Popen([sys.executable, "-m", "hcom_replica", *arguments], env=environment, stdout=theirs,
                            stderr=theirs, stdin=subprocess.DEVNULL)  # fmt: skip
    os.close(theirs)
    text = COLOUR.sub("", read_all(ours).replace("\r\n", "\n"))
    assert done.wait(60) == 0
    assert text
    assert FORBIDDEN.search(text) is None, text


def read_all(descriptor: int) -> str:
    found = b""
    while True:
        try:
            piece = os.read(descriptor, 1 << 16)
        except OSError:  # Linux says so when the other end is closed
            piece = b""
        if not piece:
            os.close(descriptor)
            return found.decode()
        found += piece
