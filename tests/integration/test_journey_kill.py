"""kill -9 of writers at any moment: what was acknowledged is there, seqs stay dense, none is used twice."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen, TimeoutExpired

import pytest

from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.processes import Cli, clean_environment
from hcom_replica.testing.real.waiting import wait_until
from tests.harness.corpus import ATUIN, COUNTS, write_history
from tests.harness.group import Group, Laptop, Row, assert_equal_histories

pytestmark = pytest.mark.slow

WRITER = """
import sys
from hcom_replica import Replica
with Replica.open(sys.argv[1]) as replica:
    for number in range(10**9):
        print(replica.append("k", number), flush=True)
"""
"""Appends until it is killed; a line is printed when, and only when, its event is acknowledged."""


def test_writers_killed_at_any_moment_lose_nothing_acknowledged(tmp_path: Path, own_broker: PrivateBroker) -> None:
    """S1, S5"""
    random = Random(7)
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        acknowledged: list[str] = []
        for number in range(6):
            acknowledged += killed_after(a.folder, random.randrange(1, 40))
            if number == 2:
                a.kill()  # the daemon, too
            if number == 3:
                a.start()
        acknowledged += [a.emit()]
        assert_intact(a.events("--system", "--device", a.name), acknowledged)
        b.wait_for_events(a.count())
        assert_equal_histories([a, b], a.count())


def test_emit_killed_at_any_moment_leaves_a_whole_log(tmp_path: Path) -> None:
    random = Random(8)
    cli = Cli(tmp_path / "replica")
    cli.ok("emit", "k")
    acknowledged = []
    for _ in range(12):
        with Popen(cli._command(("emit", "k")), env=cli._environment, stdout=PIPE, text=True) as emit:
            with suppress(TimeoutExpired):
                emit.wait(random.uniform(0.05, 0.4))
            emit.kill()
            assert emit.stdout is not None
            acknowledged += emit.stdout.read().split()
    acknowledged.append(cli.ok("emit", "k").strip())
    assert_intact(cli.json_lines("events", "-n", "all", "--system"), acknowledged)


def test_import_killed_at_60_percent_and_run_again_has_each_line_once(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    history = write_history(tmp_path, ATUIN)
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        held = killed_import(a, history, COUNTS[ATUIN] * 6 // 10)
        assert COUNTS[ATUIN] * 6 // 10 <= held < COUNTS[ATUIN], "the kill came too late to mean anything"
        again = a.cli.json("import", str(history))
        assert (again["imported_events"], again["already_events"]) == (COUNTS[ATUIN] - held, held)
        shown = [(event["agent"], event["kind"], event["data"]) for event in a.events()]
        lines = [json.loads(line) for line in history.read_text().splitlines()]
        assert shown == [(line["agent"], line["kind"], line["data"]) for line in lines]
        b.wait_for_events(COUNTS[ATUIN])
        assert_equal_histories([a, b], COUNTS[ATUIN])


def killed_after(folder: Path, lines: int) -> list[str]:
    """Kill a writer once it has acknowledged so many events; gives all that it had acknowledged."""
    environment = clean_environment(folder)
    command = [sys.executable, "-c", WRITER, str(folder)]
    with Popen(command, env=environment, stdout=PIPE, text=True) as writer:
        assert writer.stdout is not None
        ids = [writer.stdout.readline().strip() for _ in range(lines)]
        writer.kill()
        rest = writer.stdout.read().splitlines(keepends=True)
    return ids + [line.strip() for line in rest if line.endswith("\n")]


def killed_import(laptop: Laptop, path: Path, events: int) -> int:
    """Kill an import once so many events are in; gives how many are then."""
    running = laptop.cli.spawn("import", str(path))
    wait_until(lambda: laptop.count() >= events or running.exit_code is not None, 60, "the import gets so far")
    running.kill()
    return laptop.count()


def assert_intact(events: list[Row], acknowledged: list[str]) -> None:
    """Check the events of one origin, system events included."""
    assert len({event["origin"] for event in events}) == 1
    assert sorted(event["seq"] for event in events) == list(range(1, len(events) + 1))
    assert len(set(acknowledged)) == len(acknowledged)
    assert set(acknowledged) <= {event["id"] for event in events}
