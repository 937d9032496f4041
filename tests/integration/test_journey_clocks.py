"""Clocks two hours wrong: everybody converges, nobody else's clock is moved, and the wrong ones are told apart."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hcom_replica.api.status import Status
from hcom_replica.limits import DRIFT_MS_MAX
from hcom_replica.testing.real.brokers import PrivateBroker
from tests.harness.clocks import WrongClock
from tests.harness.group import Group, Laptop, Row, assert_equal_histories

pytestmark = pytest.mark.slow
TWO_HOURS_S = 7_200


def test_devices_two_hours_ahead_and_behind_converge_and_move_no_other_clock(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    ahead, behind = WrongClock(tmp_path / "ahead", TWO_HOURS_S), WrongClock(tmp_path / "behind", -TWO_HOURS_S)
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        f, s = group.add("FAST", env=ahead.environment), group.add("SLOW", env=behind.environment)
        laptops = [a, b, f, s]
        for laptop in laptops:
            laptop.emit()
        for laptop in laptops:
            laptop.wait_for_events(4)

        # Whoever has seen all of these writes by its own clock, as before.
        off = {laptop.name: clock_off_ms(laptop) for laptop in laptops}
        for laptop, wrong_s in ((a, 0), (b, 0), (f, TWO_HOURS_S), (s, -TWO_HOURS_S)):
            assert abs(off[laptop.name] - wrong_s * 1_000) <= DRIFT_MS_MAX, off

        # Both are flagged by those who hear them live.
        for laptop in (a, b):
            laptop.wait_for_status(lambda status: "clock_ahead" in flags(status, "FAST"), "FAST is flagged")
            laptop.wait_for_status(lambda status: "clock_behind" in flags(status, "SLOW"), "SLOW is flagged")
        assert not flags(a.wait_for_status(lambda _status: True, ""), "BOXB")
        f.wait_for_status(lambda status: bool(status.warnings), "FAST hears that its clock is off")

        # The clock of FAST is corrected while it runs.
        before = {event["origin"] for event in of(f, "FAST")}
        ahead.set(0)
        assert abs(clock_off_ms(f)) <= DRIFT_MS_MAX
        newest = of(f, "FAST", "--order", "arrival")[-1]
        assert newest["origin"] not in before, "the corrected clock goes on in a new incarnation"

        for laptop in laptops:
            laptop.wait_for_events(9)
        assert_equal_histories(laptops, 9)


def clock_off_ms(laptop: Laptop) -> int:
    """Append an event; gives how far its hlc is ahead of the true time."""
    name = laptop.emit()
    (event,) = (event for event in laptop.events("--device", laptop.name) if event["id"] == name)
    return (int(event["hlc"]) >> 16) - time.time_ns() // 1_000_000


def flags(status: Status, device: str) -> set[str]:
    """All flags of a device's origins."""
    return {flag for row in status.devices if row.device == device for flag in row.flags}


def of(laptop: Laptop, device: str, *arguments: str) -> list[Row]:
    """The events of one device, as another holds them."""
    return laptop.events("--device", device, *arguments)
