"""Events of a device that has no network reach the others by hand: one of them takes a bundle and passes it on."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcom_replica.testing.real.brokers import PrivateBroker
from tests.harness.group import Group, assert_equal_histories

pytestmark = pytest.mark.slow


def test_bundle_taken_while_the_daemon_runs_reaches_the_others_and_back(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    with Group(tmp_path, own_broker) as group:
        a, b, c = (group.add(name) for name in ("BOXE", "TUKA", "ROSE"))
        for laptop in (a, b, c):
            laptop.emit(kind=f"at-{laptop.name.lower()}")
        for laptop in (a, b, c):
            laptop.wait_for_events(3)
        c.stop()
        c.network.cut()
        for number in range(50):
            c.emit(str(number))
        b.emit(kind="meanwhile")
        a.wait_for_events(4)
        c.cli.ok("export", str(tmp_path / "carried"))
        assert a.cli.json("import-bundle", str(tmp_path / "carried"))["not_placed"] == []
        b.wait_for_events(54)
        b.cli.ok("export", str(tmp_path / "back"))
        c.cli.ok("import-bundle", str(tmp_path / "back"))
        assert_equal_histories([a, b, c], 54)
        c.network.heal()
        c.start()
        c.emit(kind="back")
        for laptop in (a, b, c):
            laptop.wait_for_events(55)
        assert_equal_histories([a, b, c], 55)
