"""The gate: ratios that fell are found, absolute times are no matter, and the better of two measurements counts."""

from __future__ import annotations

import pytest

from hcom_replica.bench.figures import Figure
from hcom_replica.bench.gate import best, fallen


@pytest.mark.parametrize(
    ("before", "now", "worse"),
    [
        (Figure("speed", 100, "events/s", floor=200), Figure("speed", 36, "events/s", floor=100), False),
        (Figure("speed", 100, "events/s", floor=200), Figure("speed", 34, "events/s", floor=100), True),
        (Figure("time", 10, "ms", "less", floor=5), Figure("time", 15, "ms", "less", floor=5), True),
        (Figure("time", 10, "ms", "less", floor=5), Figure("time", 28, "ms", "less", floor=10), False),
        (Figure("size", 10, "bytes", "less", floor=10), Figure("size", 15, "bytes", "less", floor=10), True),
        (Figure("size", 10, "bytes", "less", floor=10), Figure("size", 14, "bytes", "less", floor=10), False),
        (Figure("speed", 100, "events/s", floor=200), Figure("other", 1, "events/s", floor=100), False),
        (Figure("speed", 100, "events/s"), Figure("speed", 1, "events/s"), False),
    ],
)
def test_ratio_that_fell_by_more_than_its_share_is_found(before: Figure, now: Figure, worse: bool) -> None:
    found = fallen([now], [before.as_json()], 0.3)
    assert bool(found) is worse
    assert all(one.name == now.name for one in found)


@pytest.mark.parametrize(
    ("first", "again", "kept"),
    [
        (Figure("speed", 10, "events/s", floor=100), Figure("speed", 10, "events/s", floor=50), 0.2),
        (Figure("speed", 10, "events/s", floor=50), Figure("speed", 10, "events/s", floor=100), 0.2),
        (Figure("time", 10, "ms", "less", floor=5), Figure("time", 20, "ms", "less", floor=5), 0.5),
        (Figure("size", 20, "bytes", "less", floor=10), Figure("size", 15, "bytes", "less", floor=10), 1.5),
        (Figure("speed", 10, "events/s", floor=50), Figure("other", 10, "events/s", floor=10), 0.2),
    ],
)
def test_better_ratio_of_two_measurements_counts(first: Figure, again: Figure, kept: float) -> None:
    (found,) = best([first], [again])
    assert found.ratio == kept
