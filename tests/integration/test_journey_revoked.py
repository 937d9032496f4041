"""A laptop is stolen: it is shut out, the others go on under a new key, and who was away follows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hcom_replica.testing.real.brokers import PrivateBroker
from tests.harness.group import Group, Laptop, assert_equal_histories

pytestmark = pytest.mark.slow


def admitted(laptop: Laptop) -> bool:
    return not any("not admitted" in row["flags"] for row in laptop.cli.json_lines("devices"))


def test_stolen_laptop_is_shut_out_and_one_that_was_away_follows(tmp_path: Path, own_broker: PrivateBroker) -> None:
    """P12.6, P12.9, P12.13, P12.16"""
    with Group(tmp_path, own_broker) as group:
        a, b, thief = (group.add(name) for name in ("BOXA", "BOXB", "THIEF"))
        for laptop in (a, b, thief):
            laptop.emit(json.dumps({"from": laptop.name}))
        for laptop in (a, b, thief):
            laptop.wait_for_events(3)
        a.wait_for_status(lambda _: admitted(a), "all admitted")
        b.wait_for_status(lambda _: admitted(b), "all admitted")
        b.stop()
        b.emit('"written while away"')
        old = a.cli.json("relay", "token")["token"]

        changed = a.cli.json("relay", "revoke", "THIEF")
        assert changed == {"epoch": 2, "revoked": ["THIEF"], "devices": ["BOXA", "BOXB"]}
        a.wait_for_status(lambda s: s.key_epoch == 2 and s.broker.connected, "the new key")
        assert a.status()["awaiting_key"] == ["BOXB"]
        thief.wait_for_status(lambda s: any("revoked" in text for text in s.warnings), "word of it")
        a.emit('"after"')
        thief.emit('"by the thief"')

        b.start()
        b.wait_for_status(lambda s: s.key_epoch == 2 and s.broker.connected, "the new key")
        b.wait_for_events(5)
        a.wait_for_events(5)
        a.wait_for_status(lambda s: not s.awaiting_key, "nobody is awaited")
        assert_equal_histories([a, b], 5)
        assert thief.count() == 4
        assert {row["device"] for row in a.cli.json_lines("devices") if "revoked" in row["flags"]} == {"THIEF"}

        refused = b.cli.run("relay", "connect", "-", stdin=old)
        assert refused.returncode == 2
        assert "key epoch" in refused.stderr
        fresh = a.cli.json("relay", "token")["token"]
        assert fresh != old
        group.token = fresh
        c = group.add("BOXC")
        c.wait_for_events(5)
        assert_equal_histories([a, b, c], 5)
        assert thief.count() == 4


def test_key_is_changed_without_a_daemon_and_takes_effect_with_it(tmp_path: Path, own_broker: PrivateBroker) -> None:
    """P12.9"""
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.emit()
        b.wait_for_events(1)
        b.wait_for_status(lambda _: admitted(b), "all admitted")
        b.stop()
        assert b.cli.json("relay", "rotate")["epoch"] == 2
        b.emit()
        b.start()
        for laptop in (a, b):
            laptop.wait_for_status(lambda s: s.key_epoch == 2 and not s.awaiting_key, "the new key")
            laptop.wait_for_events(2)
        assert_equal_histories([a, b], 2)
