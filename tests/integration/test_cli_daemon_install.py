"""`relay daemon install`: what is written, what the service manager is asked, and what happens where there is none."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hcom_replica.daemon.service import _quoted
from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.processes import Cli, clean_environment
from hcom_replica.testing.real.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="a stand-in for systemctl is used")

WAIT_S = 30.0


class Manager:
    """A stand-in for systemctl that notes what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        self._asked = folder / "asked"
        self._program = self.folder / "systemctl"

    def stand_in(self, *, answers: bool = True) -> None:
        self._program.write_text(f'#!/bin/sh\necho "$@" >> "{self._asked}"\nexit {0 if answers else 1}\n')
        self._program.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        return self._asked.read_text().splitlines() if self._asked.exists() else []


@pytest.fixture
def manager(tmp_path: Path) -> Manager:
    return Manager(tmp_path)


@pytest.fixture
def cli(tmp_path: Path, manager: Manager, own_broker: PrivateBroker) -> Iterator[Cli]:
    """A folder with a space and a percent sign in its path, in a group."""
    home = tmp_path / "home"
    env = {"PATH": str(manager.folder), "XDG_CONFIG_HOME": str(home / "config")}
    with Cli(home / "50% of it", env) as made:
        made.ok("relay", "new", "--broker", own_broker.address.url)
        yield made


def unit_of(cli: Cli) -> Path:
    (unit,) = (cli.folder.parent / "config" / "systemd" / "user").iterdir()
    return unit


def test_service_is_written_and_started_and_what_it_runs_is_the_daemon(cli: Cli, manager: Manager) -> None:
    manager.stand_in()
    told = cli.json("relay", "daemon", "install")
    unit = unit_of(cli)
    assert told == {"service": unit.stem, "file": str(unit), "running": True}
    assert manager.asked == ["--user daemon-reload", f"--user enable --now {unit.name}"]
    assert cli.daemon_pid() is None, "ours has made way"
    (line,) = (line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
    words = [word.replace("%%", "%") for word in shlex.split(line.removeprefix("ExecStart="))]
    process = subprocess.Popen(
        words, env=clean_environment(cli.folder, {"HCOM_REPLICA_DIR": "/nowhere"}), stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: cli.daemon_pid() == process.pid, WAIT_S, "the service's process is the folder's daemon")
    finally:
        process.terminate()
        process.wait(WAIT_S)


def test_without_a_service_manager_that_answers_the_unit_waits_and_the_daemon_runs(cli: Cli, manager: Manager) -> None:
    manager.stand_in(answers=False)
    told = cli.json("relay", "daemon", "install")
    assert told["running"] is False
    assert unit_of(cli).exists()
    assert cli.daemon_pid() is not None


def test_machine_without_systemd_is_told_what_to_run(cli: Cli) -> None:
    done = cli.run("relay", "daemon", "install")
    assert done.returncode != 0
    assert cli.daemon_pid() is not None, "the one that ran runs on"
    assert "no systemd" in done.stderr
    assert "hcom-replica run" in done.stderr


def test_service_is_taken_away(cli: Cli, manager: Manager) -> None:
    manager.stand_in()
    cli.ok("relay", "daemon", "install")
    unit = unit_of(cli)
    assert cli.json("relay", "daemon", "install", "--remove") == {"removed": str(unit)}
    assert not unit.exists()
    assert f"--user disable --now {unit.name}" in manager.asked
    assert cli.json("relay", "daemon", "install", "--remove") == {"removed": None}


def test_folder_without_a_group_gets_no_service(tmp_path: Path, manager: Manager) -> None:
    manager.stand_in()
    with Cli(tmp_path / "alone", {"PATH": f"{manager.folder}:{os.defpath}"}) as cli:
        cli.ok("emit", "k")
        assert cli.run("relay", "daemon", "install").returncode == 2
    assert manager.asked == []


@pytest.mark.parametrize(
    ("word", "written"),
    [("/plain", "/plain"), ("/a b", '"/a b"'), ('/a"b\\', '"/a\\"b\\\\"'), ("/50%$HOME", "/50%%$$HOME")],
)
def test_words_of_a_unit_mean_themselves(word: str, written: str) -> None:
    """systemd.service(5): % is a specifier, $ a variable"""
    assert _quoted(word) == written
