"""Restarts, and leaving a group: nothing opens a new incarnation, nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcom_replica.testing.cluster import Cluster
from hcom_replica.testing.real.brokers import PrivateBroker
from tests.harness.corpus import noise, write_lines
from tests.harness.group import Group
from tests.harness.witness import Witness

pytestmark = pytest.mark.slow


def test_restarts_in_order_and_by_kill_open_no_new_incarnation(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        a = group.add("BOXA")
        origin = a.status()["origin"]
        for number in range(10):
            a.emit(str(number))
            if number % 3 == 2:
                a.kill()
                a.start()
            else:
                a.cli.ok("relay", "daemon", "restart")
            if number % 4 == 3:
                a.cli.ok("flush")
        assert a.status()["origin"] == origin
        assert [event["kind"] for event in a.events("--system")] == ["_hello", *["k"] * 10]
        assert a.status()["devices"] == []


def test_a_thousand_restarts_open_no_new_incarnation() -> None:
    """The same in virtual time: the engine and the machine that the daemon runs, on a simulated broker."""
    cluster = Cluster(1, 2)
    cluster.append("A", 3)
    assert cluster.run_until_converged()
    origins = {name: cluster.own(name).id for name in "AB"}
    for number in range(1_000):
        if number % 2:
            cluster.stop("A")
            cluster["A"].start()
        else:
            cluster.restart("A")
        cluster.run(1_000 if number % 10 else 5_000)
        if number % 100 == 0:
            cluster.append("A")
    assert cluster.run_until_converged()
    assert {name: cluster.own(name).id for name in "AB"} == origins
    assert len(cluster.vector("B")) == 2


def test_relay_forget_leaves_no_retained_message_behind(tmp_path: Path, own_broker: PrivateBroker) -> None:
    """P6.8"""
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        b.wait_until_connected()
        b.stop()
        a.write(write_lines(tmp_path / "noise.jsonl", noise(500, 300)))
        a.cli.ok("flush")
        witness = Witness(own_broker, group.token)
        b_only = leaves(witness.retained())
        a_leaves = {leaf for leaf in b_only if leaf == witness.topics.leaf(bytes.fromhex(a.status()["origin"]))}
        assert a_leaves
        kept = a.cli.json("relay", "forget")["kept_log"]
        assert Path(kept).is_dir()
        assert leaves(witness.retained()) == b_only - a_leaves
        b.start()
        b.wait_until_connected()
        b.cli.ok("relay", "forget")
        assert witness.retained() == {}
        assert a.cli.daemon_pid() is None
        assert b.cli.daemon_pid() is None


def test_relay_forget_without_a_daemon_clears_what_the_broker_keeps(tmp_path: Path, own_broker: PrivateBroker) -> None:
    """P6.8"""
    with Group(tmp_path, own_broker) as group:
        a = group.add("BOXA")
        a.emit()
        a.cli.ok("flush")
        a.stop()
        witness = Witness(own_broker, group.token)
        assert witness.retained()
        assert Path(a.cli.json("relay", "forget")["kept_log"]).is_dir()
        assert witness.retained() == {}


def leaves(retained: dict[str, bytes]) -> set[str]:
    """Whose slots these are: the second level of each topic behind the group's prefix."""
    return {topic.split("/")[2] for topic in retained}
