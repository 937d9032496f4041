"""Links that die badly: black holes, frozen processes, flapping and slow networks."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from hcom_replica.ids import OriginId
from hcom_replica.testing.real.brokers import MosquittoBroker, PrivateBroker, mosquitto_path
from hcom_replica.testing.real.proxy import ChaosProxy
from hcom_replica.testing.real.waiting import wait_until
from tests.harness.corpus import noise, write_lines
from tests.harness.group import Group, assert_equal_histories
from tests.harness.witness import Witness

pytestmark = pytest.mark.slow
LID_OPEN_S = 5.0
LAGGARD_BYTES_S = 250_000
FLAPPING_BYTES_S = 25_000


def test_link_that_was_a_black_hole_leaves_nothing_stale_on_the_broker(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    with Group(tmp_path, own_broker) as group, ChaosProxy(own_broker.port) as other_network:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.wait_for_status(lambda status: bool(status.devices), "B is known")
        b.stop()
        a.emit()
        a.cli.ok("flush")

        # What A says now waits in the hole, and comes out of it after what A says over another network.
        a.network.black_hole()
        a.write(write_lines(tmp_path / "first.jsonl", noise(100, 300, seed=1)))
        assert a.cli.run("flush", "--timeout", "3").returncode != 0
        a.kill()
        settings = a.folder / "config.toml"
        settings.write_text(settings.read_text().replace(a.network.url, other_network.url))
        a.start()
        a.write(write_lines(tmp_path / "second.jsonl", noise(100, 300, seed=2)))
        assert a.cli.json("flush")["safe_in"] == "broker"
        passed = a.network.bytes_up
        a.network.heal()
        wait_until(lambda: not a.network.connections_now, 20, "the dead link has said its last")
        assert a.network.bytes_up > passed, "nothing had been waiting in the hole"

        witness, status = Witness(own_broker, group.token), a.status()
        origin = OriginId(bytes.fromhex(status["origin"]))

        def newest() -> int:
            return int(max(event["seq"] for event in a.events("--system", "--device", a.name)))

        def is_fresh() -> bool:
            slots = witness.slots(origin)
            fresh = slots.head is not None and slots.head.seq == newest()
            return fresh and slots.presence is not None and slots.presence.online and not slots.false_lines

        wait_until(is_fresh, 40, lambda: f"all slots are A's latest: {witness.slots(origin)}; {a.trouble()}")
        a.stop()
        b.start()
        b.wait_for_events(201)
        assert_equal_histories([a, b], 201)


@pytest.mark.mosquitto
def test_daemon_that_was_frozen_until_the_broker_gave_it_up_catches_up_at_once(tmp_path: Path) -> None:
    if mosquitto_path() is None:
        pytest.skip("mosquitto is not installed: no other broker here gives a client up after ten seconds")
    settings = ("max_keepalive 10",)
    with MosquittoBroker(tmp_path / "own", extra=settings) as broker, Group(tmp_path, broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.wait_for_status(lambda status: any(row.online for row in status.devices), "B is online")
        frozen = b.freeze()
        try:
            a.write(write_lines(tmp_path / "lines.jsonl", range(2_000)))
            a.wait_for_status(lambda status: not any(row.online for row in status.devices), "B is given up")
        finally:
            os.kill(frozen, signal.SIGCONT)
        b.wait_for_events(2_000, timeout_s=LID_OPEN_S)
        assert b.status()["inbound"]["behind_events"] == 0
        assert b.cli.daemon_pid() == frozen


def test_laggard_and_fast_one_at_another_position_catch_up_side_by_side(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    with Group(tmp_path, own_broker) as group:
        a, slow, fast = group.add("BOXA"), group.add("SLOW"), group.add("FAST")
        slow.stop()
        a.write(write_lines(tmp_path / "first.jsonl", noise(3_000, 300, seed=1)))
        fast.wait_for_events(3_000)
        fast.stop()
        a.write(write_lines(tmp_path / "second.jsonl", noise(6_000, 300, seed=2)))
        slow.network.limit(down_bytes_s=LAGGARD_BYTES_S)
        passed = slow.network.bytes_down
        slow.start()
        slow.wait_for_events(1, more=True)
        fast.start()
        fast.wait_for_events(9_000)
        at_that_time = slow.count()
        assert 0 < at_that_time < 9_000, "the laggard was not behind any more, or had been starved"
        slow.wait_for_events(at_that_time + 1, more=True)
        slow.wait_for_events(9_000)
        assert_equal_histories([a, slow, fast], 9_000)
        assert slow.network.bytes_down - passed < 2 * 9_000 * 300, "it was sent what others had asked for"


@pytest.mark.timeout(300)  # the rate is such that it takes a minute
def test_import_of_100_000_events_crosses_a_slow_link_that_is_up_and_down_in_turn(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    count = 100_000
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        b.wait_until_connected()
        b.network.limit(up_bytes_s=FLAPPING_BYTES_S, down_bytes_s=FLAPPING_BYTES_S)
        before = b.network.connections_total
        b.network.flap(up_s=4, down_s=3)
        lines = write_lines(tmp_path / "lines.jsonl", range(count))
        assert a.write(lines) == count
        b.wait_for_events(count, timeout_s=240)
        assert b.network.connections_total > before, "the link was never down"
        b.network.heal()
        assert_equal_histories([a, b], count)
