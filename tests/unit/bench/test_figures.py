"""How figures are judged and printed."""

from __future__ import annotations

import pytest

from hcom_replica.bench.figures import Figure, Target, fallen, table


@pytest.mark.parametrize(
    ("figure", "ratio", "passed"),
    [
        (Figure("speed", 50, "events/s", floor=100, target=Target(0.5, "ratio")), 0.5, True),
        (Figure("speed", 49, "events/s", floor=100, target=Target(0.5, "ratio")), 0.49, False),
        (Figure("speed", 49, "events/s", target=Target(50)), None, False),
        (Figure("time", 200, "us", "less", floor=100, target=Target(0.55, "ratio")), 0.5, False),
        (Figure("time", 100, "us", "less", floor=100, target=Target(0.55, "ratio")), 1.0, True),
        (Figure("time", 9, "ms", "less", floor=1, target=Target(10)), 1 / 9, True),
        (Figure("size", 400, "bytes", "less", floor=100, target=Target(4, "ratio")), 4.0, True),
        (Figure("size", 401, "bytes", "less", floor=100, target=Target(4, "ratio")), 4.01, False),
        (Figure("size", 401, "bytes", "less", target=Target(4, "ratio")), None, False),
        (Figure("shown", 1, "MiB"), None, None),
    ],
)
def test_figure_is_judged_in_its_sense(figure: Figure, ratio: float | None, passed: bool | None) -> None:
    assert figure.ratio == (None if ratio is None else pytest.approx(ratio))
    assert figure.passed is passed
    assert figure.as_json()["passed"] is passed


def test_table_shows_value_floor_target_and_verdict_in_columns() -> None:
    slow = Figure("one append", 700, "us", "less", floor=350, floor_name="raw commit", target=Target(0.55, "ratio"))
    fast = Figure("scan", 800_000, "events/s")
    assert table([slow, fast]).splitlines() == [
        "figure      value             floor           ratio  target",
        "one append  700 us            350 raw commit  0.50   ratio >= 0.55  MISS",
        "scan        800,000 events/s",
    ]


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
