from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from hcom_replica.cli import commands, main
from hcom_replica.cli.app import build
from hcom_replica.cli.commands import COMMANDS, GROUPS, find, load
from hcom_replica.cli.main import text_as_option
from hcom_replica.cli.options import Opt, params_of
from hcom_replica.errors import LimitError, OutputError, ReplicaError, StoreError, StoreFull, UsageError


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["send", "@a", "--", "hello", "you"], ["send", "@a", "--text=hello you"]),
        (["send", "--", "--json"], ["send", "--text=--json"]),
        (["send", "--"], ["send"]),
        (["send", "--", "a", "--", "b"], ["send", "--text=a -- b"]),
        (["send", "@a"], ["send", "@a"]),
    ],
)
def test_text_behind_the_dashes_becomes_an_option(given: list[str], taken: list[str]) -> None:
    assert text_as_option(given) == taken


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["emit", "k"], ("emit",)),
        (["relay"], ("relay",)),
        (["relay", "--json"], ("relay",)),
        (["relay", "new"], ("relay", "new")),
        (["relay", "daemon"], ("relay", "daemon")),
        (["relay", "daemon", "start"], ("relay", "daemon", "start")),
        (["devices"], ("devices",)),
        (["devices", "retire", "X"], ("devices", "retire")),
        (["relay", "nonsense"], None),
        (["nonsense"], None),
        ([], None),
        (["--help"], None),
    ],
)
def test_find_takes_the_longest_known_words(line: list[str], words: tuple[str, ...] | None) -> None:
    found = find(line)
    assert (found[0] if found else None) == words


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_every_command_explains_itself_and_each_parameter(words: tuple[str, ...]) -> None:
    command = load(words)
    assert (command.__doc__ or "").strip()
    for param in params_of(command):
        assert param.spec.help
        if isinstance(param.spec, Opt):
            assert all(flag.startswith("-") for flag in param.spec.flags)
            assert param.spec.flags[-1].startswith("--") or param.spec.flags[0].startswith("--")
            assert param.default is not ...


def test_every_group_but_the_root_is_listed_and_typer_accepts_all() -> None:
    assert {words[:-1] for words in COMMANDS if len(words) > 1} == set(GROUPS)
    assert callable(build(None))


def stand_in(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def command(session: Any) -> int | None:
        raise error

    monkeypatch.setattr(commands, "load", lambda words: command)


def test_main_with_an_error_of_ours_returns_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, StoreFull("the disk is full", hint="make room"))
    assert main.main(["doctor"]) == 3
    assert capfd.readouterr().err == "error[store-full]: the disk is full\nhint: make room\n"


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        (
            ["relay", "daemon", "start", "--json"],
            UsageError("x"),
            "hcom-replica relay daemon start --help shows how it is",
        ),
        (["emit", "k"], LimitError("x"), "hcom-replica emit --help shows how it is written"),
        (["export", "f"], OutputError("x"), "choose another place"),
        (["emit", "k"], StoreError("x"), "hcom-replica doctor looks for the cause"),
    ],
)
def test_main_with_an_error_that_says_nothing_of_what_to_do_says_it(
    line: list[str], error: ReplicaError, hint: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(argv: list[str]) -> int:
        raise error

    monkeypatch.setattr(main, "_run", run)
    assert main.main(line) == error.exit_code
    assert f"\nhint: {hint}" in capfd.readouterr().err


def test_main_when_interrupted_is_quiet(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    stand_in(monkeypatch, KeyboardInterrupt())
    assert main.main(["doctor"]) == 130
    assert capfd.readouterr() == ("", "")


def test_main_with_a_bug_writes_the_traceback_to_a_private_file(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(tmp_path))
    stand_in(monkeypatch, ZeroDivisionError("oh \x1b no"))
    assert main.main(["doctor"]) == 70
    said = capfd.readouterr().err
    (path,) = tmp_path.iterdir()
    assert said.startswith("error[bug]: ZeroDivisionError: oh \\x1b no\nhint: ")
    assert str(path) in said
    assert "Traceback" not in said
    assert "ZeroDivisionError" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_main_with_version_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("hcom-replica ")


@pytest.mark.parametrize("line", [["--dir"], ["frobnicate"], ["relay", "frobnicate"], ["emit", "k", "--nonsense"]])
def test_main_with_a_mistake_says_so_and_exits_2(line: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main.main(line) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("error[usage]: ")
    assert "\nhint: " in said.err
