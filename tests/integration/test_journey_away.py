"""Devices that are not online together: a third one that holds what is missing, and the mailbox."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hcom_replica.testing.real.brokers import PrivateBroker
from tests.harness.corpus import ATUIN, noise, write_history, write_lines
from tests.harness.group import Group, Laptop, assert_equal_histories

pytestmark = pytest.mark.slow
EVENTS = 5_000
SMALL_RING = "[mailbox]\nslots = 4\n"


def test_events_of_a_writer_that_is_gone_come_from_a_third_device(tmp_path: Path, own_broker: PrivateBroker) -> None:
    history = write_history(tmp_path, ATUIN, EVENTS)
    with Group(tmp_path, own_broker) as group:
        a, b, c = (group.add(name) for name in ("BOXA", "BOXB", "BOXC"))
        b.stop()
        a.write(history)
        c.wait_for_events(EVENTS)
        a.stop()
        own_broker.kill()
        own_broker.restart(forget=True)  # no mailbox of A is left: only C has them
        b.start()
        b.wait_for_events(EVENTS)
        assert b.row(a)["online"] is False
        assert_equal_histories([b, c], EVENTS)


def test_mailbox_with_the_default_ring_carries_all_at_the_first_visit(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    history = write_history(tmp_path, ATUIN, EVENTS)
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        b.stop()
        a.write(history)
        a.stop()
        b.start()
        b.wait_for_events(EVENTS)
        assert b.status()["inbound"]["behind_events"] == 0
        b.stop()
        assert_equal_histories([a, b], EVENTS)


def test_mailbox_with_a_small_ring_moves_on_with_every_visit(tmp_path: Path, own_broker: PrivateBroker) -> None:
    """L2, P8.3"""
    lines = write_lines(tmp_path / "noise.jsonl", noise(EVENTS, 60))
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA", SMALL_RING), group.add("BOXB", SMALL_RING)
        a.wait_for_status(lambda status: any(row.device == b.name for row in status.devices), "B is known")
        b.stop()
        a.write(lines)
        a.stop()

        held = [visit(b, "wait")]
        assert 0 < held[0] < EVENTS
        row = b.row(a)
        assert row["missing"] == {"first": row["have_seq"] + 1, "last": row["head_seq"]}
        assert row["behind_events"] == EVENTS - held[0]
        assert a.name in row["held_by"]
        assert row["last_seen"] is not None
        assert [event["data"] for event in b.events()] == noise(EVENTS, 60)[: held[0]]

        while held[-1] < EVENTS:
            visit(a, "flush")
            held.append(visit(b, "wait"))
            assert held[-1] > held[-2], f"a visit moved nothing: {held}"
            assert len(held) < 20, f"too little a visit: {held}"
        assert_equal_histories([a, b], EVENTS)


def visit(laptop: Laptop, command: str) -> int:
    """Come online, give or take what can be had, go offline; gives how many events are held then."""
    laptop.start()
    done = laptop.cli.run(command, "--timeout", "2", "--json")
    assert done.returncode in {0, 1}, done.stderr  # what the ring has no room for is not safe, and missing
    assert json.loads(done.stdout)
    laptop.stop()
    return laptop.count()
