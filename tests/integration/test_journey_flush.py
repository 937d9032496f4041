"""`flush` and `wait`: what they promise holds, whatever is lost right after."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcom_replica.testing.real.brokers import PrivateBroker
from tests.harness.corpus import noise, write_lines
from tests.harness.group import Group

pytestmark = pytest.mark.slow
EVENTS = 500


def test_flush_to_a_device_survives_the_loss_of_writer_and_broker(tmp_path: Path, own_broker: PrivateBroker) -> None:
    lines = write_lines(tmp_path / "lines.jsonl", range(EVENTS))
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.wait_for_status(lambda status: bool(status.devices), "B is known")
        a.write(lines)
        assert a.cli.json("flush") == {"safe": True, "safe_in": "device", "reason": None}
        assert a.cli.json("flush", "--device", b.name)["safe_in"] == "device"
        own_broker.kill()
        a.lose()
        b.kill()
        own_broker.restart(forget=True)
        b.start()
        c = group.add("BOXC")
        c.wait_for_events(EVENTS)
        assert [event["data"] for event in c.events()] == list(range(EVENTS))


def test_flush_to_the_broker_survives_the_loss_of_the_folder(tmp_path: Path, own_broker: PrivateBroker) -> None:
    lines = write_lines(tmp_path / "lines.jsonl", range(EVENTS))
    with Group(tmp_path, own_broker) as group:
        a = group.add("BOXA")
        a.write(lines)
        assert a.cli.json("flush")["safe_in"] == "broker"
        a.lose()
        b = group.add("BOXB")
        b.wait_for_events(EVENTS)
        assert [event["data"] for event in b.events()] == list(range(EVENTS))


def test_flush_without_a_daemon_syncs_by_itself(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        a = group.add("BOXA")
        a.stop()
        a.emit("1")
        assert a.cli.json("flush")["safe_in"] == "broker"
        a.lose()
        b = group.add("BOXB")
        assert b.cli.json("wait") == {"complete": True, "missing_events": 0}
        assert [event["data"] for event in b.events()] == [1]


def test_flush_of_what_no_ring_holds_says_that_it_is_not_safe(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        a = group.add("BOXA", "[mailbox]\nslots = 2\n")
        a.write(write_lines(tmp_path / "noise.jsonl", noise(EVENTS, 600)))
        done = a.cli.run("flush", "--timeout", "3")
        assert done.returncode == 1
        assert "not safe" in done.stderr


def test_wait_straight_after_connecting_never_calls_an_empty_log_complete(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    with Group(tmp_path, own_broker) as group:
        a = group.add("BOXA")
        a.write(write_lines(tmp_path / "noise.jsonl", noise(EVENTS, 600)))
        a.cli.ok("flush")
        for name in ("BOXB", "BOXC"):
            b = group.add(name)
            assert b.cli.json("wait", "--timeout", "30") == {"complete": True, "missing_events": 0}
            assert b.count() == EVENTS


def test_wait_for_what_nobody_online_holds_ends_with_exit_1(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        a = group.add("BOXA", "[mailbox]\nslots = 2\n")
        a.write(write_lines(tmp_path / "noise.jsonl", noise(EVENTS, 600)))
        a.stop()
        b = group.add("BOXB")
        done = b.cli.run("wait", "--timeout", "3", "--json")
        assert done.returncode == 1
        assert '"complete":false' in done.stdout


def test_wait_and_flush_without_a_broker_exit_4(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        a = group.add("BOXA")
        own_broker.stop()
        a.emit()
        for command in ("wait", "flush", "daemon", "wait", "flush"):
            if command == "daemon":
                a.stop()  # from here on they sync by themselves
                continue
            done = a.cli.run(command, "--timeout", "1")
            assert done.returncode == 4
            assert done.stderr.startswith("error[broker]: ")


def test_wait_and_flush_in_a_folder_without_a_group_exit_with_a_hint(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        alone = group.laptop("BOXA")
        alone.emit()
        for command in ("wait", "flush"):
            done = alone.cli.run(command, "--timeout", "2")
            assert done.returncode in {2, 4}
            assert "relay new" in done.stderr
