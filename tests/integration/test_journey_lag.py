"""`status`: the lag is right at once, with nobody else online, and without a daemon or a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcom_replica.testing.real.brokers import PrivateBroker
from tests.harness.corpus import noise, write_lines
from tests.harness.group import Group

pytestmark = pytest.mark.slow
EVENTS = 1_000
CRAWL_BYTES_S = 10_000


def test_lag_just_after_connecting_is_right_from_retained_heads(tmp_path: Path, own_broker: PrivateBroker) -> None:
    """S7"""
    lines = write_lines(tmp_path / "noise.jsonl", noise(EVENTS, 400))
    with Group(tmp_path, own_broker) as group:
        a = group.add("BOXA")
        a.write(lines)
        a.cli.ok("flush")
        a.stop()
        b = group.laptop("BOXB")
        b.network.limit(down_bytes_s=CRAWL_BYTES_S)
        b.join(group.token)
        holders = [a.name, f"mailbox of {a.name}"]
        b.wait_for_status(lambda status: any(row.held_by == holders for row in status.devices), "a lag, and who has it")
        status = b.status()
        (row,) = status["devices"]
        assert status["events"] == 0, "the link was too fast for this test"
        assert status["inbound"]["behind_events"] == EVENTS
        assert status["inbound"]["behind_bytes"] > EVENTS * 400
        assert status["inbound"]["behind_s"] > 0
        assert status["broker"]["connected"] is True
        assert row["online"] is False
        assert (row["have_seq"], row["missing"]) == (0, {"first": 1, "last": row["head_seq"]})
        assert row["held_by"] == holders
        assert b.cli.run("status", "--fail-over", str(EVENTS - 1)).returncode == 1
        assert b.cli.run("status", "--fail-over", str(EVENTS)).returncode == 0

        # Without a daemon and without a network the answer comes from what is stored.
        b.stop()
        own_broker.stop()
        alone = b.status()
        assert alone["daemon"] == {"running": False, "pid": None}
        assert alone["broker"]["connected"] is False
        assert alone["inbound"]["behind_events"] + alone["events"] == EVENTS
        (other,) = alone["devices"]
        assert (other["device"], other["head_seq"], other["online"]) == (a.name, row["head_seq"], None)
        assert a.name in b.cli.ok("status", "--lag")


def test_outbound_lag_says_what_the_others_lack(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.emit()
        b.wait_for_events(1)
        a.wait_for_status(lambda status: any(row.acked_seq == 2 for row in status.devices), "B has hello and event")
        b.network.cut()
        for _ in range(3):
            a.emit()
        assert a.status()["outbound"]["behind_events"] == 3
        assert a.row(b)["outbound_behind_events"] == 3
        b.network.heal()
        a.wait_for_status(lambda status: status.outbound.behind_events == 0, "no lag")
        assert a.row(b)["acked_seq"] == 5
