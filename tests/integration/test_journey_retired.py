"""A device that is retired while it is away, and comes back: nobody waits for it, and its late events stand alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcom_replica import Replica
from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.waiting import wait_until
from tests.harness.group import WAIT_S, Group, Laptop

pytestmark = pytest.mark.slow


def stream(laptop: Laptop) -> list[tuple[bytes, bool]]:
    """The stable stream as JSON, and what of it is late."""
    with Replica.open(laptop.folder, create=False) as replica:
        return [(one.event.json(), one.late) for one in replica.stable_events()]


def test_retired_device_comes_back_and_its_late_events_stand_alike_everywhere(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    """P13.4, P13.6, P13.7, S10"""
    with Group(tmp_path, own_broker) as group:
        a, b, c = group.add("BOXA"), group.add("BOXB"), group.add("BOXC")
        for laptop in (a, b, c):
            laptop.emit('"before"')
        for laptop in (a, b, c):
            laptop.wait_for_events(3)
            laptop.wait_for_status(lambda status: status.stable_frontier is not None, "to be let in")
        c.stop()
        c.emit('"while away"')
        a.cli.ok("devices", "retire", "BOXC")
        a.emit('"after"')
        b.wait_for_events(4)
        wait_until(lambda: any(b'"after"' in line for line, _ in stream(b)), WAIT_S, "nobody waits for BOXC")
        before = stream(b)
        c.start()
        for laptop in (a, b, c):
            laptop.wait_for_events(5)
            wait_until(lambda it=laptop: len(stream(it)) == 5, 2 * WAIT_S, "the late event")  # type: ignore[misc]
        found = [stream(laptop) for laptop in (a, b, c)]
        assert found[0] == found[1] == found[2]
        assert found[1][: len(before)] == before
        (late,) = [line for line, is_late in found[0] if is_late and b"while away" in line]
        assert b'"BOXC"' in late
        assert not any("retired" in row["flags"] for row in a.status()["devices"]), "it has said that it is back"
