"""What journeys make of what they saw: quantiles, and whether memory is flat."""

from __future__ import annotations

from itertools import islice

import pytest

from hcom_replica.bench.catchup import late_growth
from hcom_replica.bench.live import at_share, pauses, told


@pytest.mark.parametrize(
    ("values", "grown"),
    [
        ([10, 60, 60, 60, 60, 60, 60, 60], 0),
        ([10, 20, 30, 40, 50, 60, 70, 80], 40),
        ([10, 60, 60, 60, 60, 60, 60, 20], 0),
        ([10], 0),
        ([10, 12], 2),
    ],
)
def test_memory_that_is_flat_has_not_grown_late(values: list[float], grown: float) -> None:
    assert late_growth(values) == grown


def test_quantile_is_a_value_that_was_seen() -> None:
    values = [float(number) for number in range(1_000, 0, -1)]
    assert [at_share(values, share) for share in (0.5, 0.99, 0.999)] == [501, 991, 1_000]
    assert at_share([7.0], 0.99) == 7


@pytest.mark.parametrize(("count", "names"), [(10, ["p50"]), (100, ["p50", "p99"]), (1_000, ["p50", "p99", "p99.9"])])
def test_quantile_is_told_when_a_value_lies_beyond(count: int, names: list[str]) -> None:
    assert [quantile.name for quantile in told(count)] == names


def test_pauses_are_the_same_each_time() -> None:
    first, second = (list(islice(pauses(), 9)) for _ in range(2))
    assert first == second
    assert len(set(first)) == 9
