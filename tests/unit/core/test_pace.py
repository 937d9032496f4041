"""The random wait before asking: few ask first, however many lack the same (P7.7)."""

from __future__ import annotations

import pytest

from hcom_replica.core.pace import Waits
from hcom_replica.core.settings import Settings
from tests.unit.core.builders import Device, Parts, at

USUAL = Settings()
ROUND_TRIP_MS = 50


def waits(devices: int) -> Waits:
    made = Waits(USUAL, Parts(Device("BOXE")).outbox)
    made.devices = devices
    return made


@pytest.mark.parametrize("devices", [1, 2, 10, 1_000])
def test_wait_is_within_its_bounds(devices: int) -> None:
    some = waits(devices)
    drawn = [some.draw() for _ in range(2_000)]
    assert min(drawn) >= USUAL.ask_ms_min
    assert max(drawn) < USUAL.ask_ms_max


@pytest.mark.parametrize("devices", [2, 10, 100, 1_000])
def test_few_ask_before_they_can_hear_the_first(devices: int) -> None:
    """Drawn evenly, 60 of a thousand would ask within a round trip of the first."""
    some = waits(devices)
    early = []
    for _ in range(200):
        drawn = [some.draw() for _ in range(devices)]
        early.append(sum(1 for wait in drawn if wait < min(drawn) + ROUND_TRIP_MS))
    assert sum(early) / len(early) < 4


def test_what_is_found_missing_at_nearly_the_same_time_is_asked_for_together() -> None:
    some = waits(1_000)
    due = some.due(at(0))
    assert some.due(at(due - USUAL.ask_ms_min)) == due
    later = some.due(at(due - USUAL.ask_ms_min + 1))
    assert later >= due + 1
