"""How ours stand beside those of peers: only what measured the same is compared."""

from __future__ import annotations

import pytest

from hcom_replica.bench.compare import HCOM, beside, latencies, speed
from hcom_replica.bench.figures import Figure

FAST = Figure("catch-up of 10", 2_000, "events/s", part="catch-up", same="catch-up")


@pytest.mark.parametrize(("count", "passed"), [(1, True), (4, False)])
def test_speed_beside_that_of_a_peer_is_how_many_times_better(count: int, passed: bool) -> None:
    (found,) = beside([FAST, speed(HCOM, "catch-up", "catch-up", count, 1.0)])
    assert (found.value, found.unit, found.part) == (2_000 / count, "times", "catch-up")
    assert found.passed is passed  # a thousand times the relay


def test_time_beside_that_of_a_peer_is_how_many_times_shorter() -> None:
    ours = Figure("live", 4, "ms", "less", part="live", same="live p50")
    (found,) = beside([ours, *latencies("Them", "live", [0.01] * 10)])
    assert found.value == pytest.approx(2.5)


def test_first_figure_of_ours_that_says_the_same_counts() -> None:
    (found,) = beside([FAST, Figure("of more", 1, "events/s", same="catch-up"), speed("Them", "catch-up", "x", 1, 1.0)])
    assert found.value == 2_000


def test_what_only_one_of_two_measured_is_not_compared() -> None:
    assert beside([FAST, speed("Them", "burst", "burst", 1, 1.0), Figure("lonely", 1, "ms", who="Them")]) == []


def test_quantile_is_told_only_when_a_value_lies_beyond() -> None:
    names = [figure.name.split(", ")[1].split()[0] for figure in latencies("Them", "live", [0.01] * 100)]
    assert names == ["p50", "p99"]
