"""A body that is taken away on one device is gone on all, whoever was away (P3.8 to P3.10, P8.11)."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.waiting import wait_until
from tests.harness.corpus import noise, write_lines
from tests.harness.group import Group, Laptop, assert_equal_histories

pytestmark = pytest.mark.slow
KIB = 1024
SECRET = "the password is hunter2"


def gone(laptop: Laptop, name: str) -> bool:
    """Whether a laptop shows an event without its body."""
    found = [event for event in laptop.events() if event["id"] == name]
    return bool(found) and found[0].get("redacted") is True and found[0]["data"] is None


def emit(laptop: Laptop, text: str = SECRET) -> str:
    return str(laptop.cli.json("emit", "note", "--data", f'"{text}"')["id"])


def test_body_is_gone_on_devices_that_are_there_away_and_new(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        a, b, c = group.add("BOXA"), group.add("BOXB"), group.add("BOXC")
        name = emit(a)
        for laptop in (b, c):
            laptop.wait_for_events(1)
        c.stop()
        a.cli.ok("redact", "--yes", name)
        wait_until(lambda: gone(b, name), 40, "B has heard of it")
        emit(a, "behind")
        d = group.add("BOXD")
        d.wait_for_events(2)
        assert gone(d, name)
        c.start()
        wait_until(lambda: gone(c, name), 40, "C has heard of it")
        c.wait_for_events(2)
        assert_equal_histories([a, b, c, d], 2)
        assert SECRET not in "".join(str(laptop.events()) for laptop in (a, b, c, d))


def test_body_is_gone_from_the_mailbox_for_who_never_meets_the_writer(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.wait_for_status(lambda status: bool(status.devices), "B is known")
        b.stop()
        name = emit(a)
        large = write_lines(tmp_path / "large.jsonl", noise(1, 200 * KIB))
        a.write(large)
        assert a.cli.json("flush")["safe_in"] == "broker"
        a.stop()
        a.cli.ok("redact", "--yes", name)
        big = a.events()[-1]["id"]
        a.cli.ok("redact", "--yes", big)
        a.start()
        assert a.cli.json("flush")["safe_in"] == "broker"
        a.stop()
        b.start()
        b.wait_for_events(2)
        assert gone(b, name)
        assert gone(b, big)
        assert_equal_histories([a, b], 2)
