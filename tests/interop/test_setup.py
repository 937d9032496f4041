"""`bridge hcom` with the real program: set up, looked at, taken down, and when something is wrong (B6.1 to B6.3)."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest

from hcom_replica.testing.real.waiting import wait_until
from tests.harness.hcom import Machine
from tests.interop.conftest import Make

pytestmark = [pytest.mark.hcom, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def alone(machine: Make) -> Machine:
    """A machine in a group of its own, with an agent, not bridged."""
    made = machine("BOXE")
    made.hcom.start("luna")
    made.found()
    return made


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Check that a command was refused with an error of the bridge, and a hint."""
    assert done.returncode == 5, done.stdout + done.stderr
    assert done.stderr.startswith("error[hcom]: ")
    assert "\nhint: " in done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def program(folder: Path, text: str) -> dict[str, str]:
    """A PATH on which `hcom` is a script."""
    folder.mkdir()
    (folder / "hcom").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "hcom").chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_bridge_is_set_up_by_one_command_said_twice_and_put_back_as_it_was(alone: Machine) -> None:
    """B6.1, B6.2"""
    config = alone.hcom.folder / "config.toml"
    before = config.read_text()
    first, second = alone.bridge(), alone.bridge()
    assert (first["endpoint"], first["key"]) == (second["endpoint"], second["key"])
    assert first["worker"] is True
    assert first["relay_points_here"] is True
    assert first["problems"] == []
    assert (alone.folder / "bridge.json").stat().st_mode & 0o777 == 0o600
    assert config.stat().st_mode & 0o777 == 0o600
    assert any("connected, up to date" in line for line in alone.cli.ok("doctor").splitlines() if "hcom" in line)
    assert alone.cli.json("bridge", "hcom", "--remove")["set_up"] is False
    assert not (alone.folder / "bridge.json").exists()
    assert [line for line in config.read_text().splitlines() if line] == [line for line in before.splitlines() if line]
    refused(alone.cli.run("bridge", "hcom", "--remove"), "no bridge")


def test_one_command_makes_a_group_connects_hcom_and_takes_its_name(machine: Make) -> None:
    """B6.1"""
    made = machine("ANY")
    made.hcom.start("luna")
    said = made.cli.json("relay", "new", "--broker", made.network.url, "--hcom")
    assert said["device"] == made.hcom.short == said["hcom"]["hcom_device"]
    assert said["hcom"]["worker"] is True
    assert made.cli.json("status")["device"] == made.hcom.short


def test_group_that_hcoms_relay_is_in_is_left_alone_unless_forced_and_put_back(machine: Make) -> None:
    """B6.3"""
    made = machine("BOXE")
    made.hcom.start("luna")
    made.found()
    made.hcom.ok("relay", "new", "--broker", made.network.url)
    before = (made.hcom.folder / "config.toml").read_text()
    refused(made.cli.run("bridge", "hcom", "--setup"), "in a group of its own", "--force")
    assert (made.hcom.folder / "config.toml").read_text() == before
    assert json.loads(made.cli.ok("bridge", "hcom", "--setup", "--force", "--json"))["worker"] is True
    made.cli.ok("bridge", "hcom", "--remove")
    assert (made.hcom.folder / "config.toml").read_text().split() == before.split()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ["not found", "pip install hcom"]),
        ("echo hcom 0.6.22", ["too old"]),
        ("echo who knows", ["does not say its version"]),
        ("exit 3", ["failed"]),
        ('[ "$1" = --version ] && echo hcom 0.7.31 || exit 1', ["relay status failed"]),
    ],
)
def test_hcom_that_cannot_be_used_is_an_error_and_changes_nothing(
    alone: Machine, tmp_path: Path, text: str | None, words: list[str]
) -> None:
    """B6.1"""
    path = program(tmp_path / "bin", text) if text is not None else {"PATH": "/usr/bin:/bin"}
    alone.cli._environment.update(path)
    refused(alone.cli.run("bridge", "hcom", "--setup"), *words)
    assert not (alone.folder / "bridge.json").exists()
    assert alone.cli.run("doctor").returncode == 0
    assert alone.cli.run("status").returncode == 0


def test_hcom_whose_database_is_of_another_program_is_refused(alone: Machine) -> None:
    """B2.9"""
    with alone.hcom.database() as db:
        db.execute("DROP VIEW IF EXISTS events_v")
        db.execute("ALTER TABLE instances RENAME COLUMN created_at TO born")
    done = alone.cli.run("bridge", "hcom", "--setup")
    refused(done)


def test_hcom_that_is_newer_than_any_that_was_tried_is_read_and_that_is_said(alone: Machine) -> None:
    """B2.9"""
    alone.bridge()
    with alone.hcom.database() as db:
        db.execute("PRAGMA user_version = 21")
    alone.hcom.fill("luna", ["from the future"])
    wait_until(lambda: "from the future" in alone.canonical(), 40, "the message in the log")
    done = alone.cli.run("bridge", "hcom")
    assert done.returncode == 0
    assert "note: this hcom is newer than what was tried" in done.stderr


def test_port_that_is_taken_and_database_that_is_spoilt_are_said_and_got_over(alone: Machine) -> None:
    """B3.1, B2.1"""
    port = int(alone.bridge()["endpoint"].rpartition(":")[2])
    alone.stop()
    alone.hcom.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        alone.start()
        said = alone.cli.run("bridge", "hcom")
        assert said.returncode == 1
        assert f"port {port}" in said.stderr
        assert alone.cli.ok("emit", "k")
    wait_until(lambda: alone.cli.run("bridge", "hcom").returncode == 0, 40, "the bridge, once the port is free")
    with alone.hcom.database() as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    place = alone.hcom.folder / "hcom.db"
    good = place.read_bytes()
    for path in alone.hcom.folder.glob("hcom.db-*"):
        path.unlink()
    spoilt = alone.hcom.folder / "spoilt"
    spoilt.write_bytes(b"this is no database" * 1_000)
    spoilt.replace(place)
    wait_until(lambda: "cannot be read" in alone.cli.run("bridge", "hcom").stderr, 40, "that it is no database")
    mended = alone.hcom.folder / "mended"
    mended.write_bytes(good)
    mended.replace(place)
    wait_until(lambda: alone.cli.run("bridge", "hcom").returncode == 0, 60, "the bridge on the mended database")
    alone.hcom.start("nova")
    wait_until(lambda: "nova" in {event["agent"] for event in alone.events()}, 40, "nova in the log")


def test_wrong_arguments_are_refused(alone: Machine) -> None:
    """B6.1"""
    done = alone.cli.run("bridge", "hcom", "--setup", "--remove")
    assert done.returncode == 2
    assert "at a time" in done.stderr
    (alone.folder / "bridge.json").write_text("{}")
    done = alone.cli.run("bridge", "hcom", "--status")
    assert done.returncode == 2
    assert "bridge.json is not usable" in done.stderr
    assert alone.cli.ok("emit", "k")
