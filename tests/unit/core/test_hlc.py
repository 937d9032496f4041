"""Hybrid logical clocks (P3.2 to P3.5)."""

from __future__ import annotations

import pytest

from hcom_replica.core.hlc import drift_ms, following, merge, millis, pack
from hcom_replica.limits import DRIFT_MS_MAX
from tests.unit.core.builders import WALL


def test_hlc_packs_milliseconds_above_the_counter() -> None:
    """P3.2"""
    assert pack(1, 2) == 1 << 16 | 2
    assert millis(pack(WALL, 65_535)) == WALL


@pytest.mark.parametrize(
    ("high", "expected"),
    [
        (0, pack(WALL)),
        (pack(WALL), pack(WALL, 1)),
        (pack(WALL, 65_535), pack(WALL + 1)),
        (pack(WALL + 9), pack(WALL + 9, 1)),
    ],
    ids=["wall clock", "same millisecond", "carry", "clock behind"],
)
def test_next_hlc_is_above_the_high_water_and_not_below_the_wall(high: int, expected: int) -> None:
    """P3.3"""
    assert following(high, WALL) == expected


@pytest.mark.parametrize(("ahead", "drift"), [(DRIFT_MS_MAX, 0), (DRIFT_MS_MAX + 1, DRIFT_MS_MAX + 1), (-5, 0)])
def test_drift_begins_beyond_the_bound(ahead: int, drift: int) -> None:
    """P3.4: 60,000 ms"""
    assert drift_ms(pack(WALL + ahead), WALL) == drift
    assert merge(0, pack(WALL + ahead), WALL) == (0 if drift else pack(WALL + ahead))
