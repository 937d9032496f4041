"""How figures are judged and printed."""

from __future__ import annotations

import pytest

from hcom_replica.bench.figures import Figure, Target, table


@pytest.mark.parametrize(
    ("figure", "ratio", "passed"),
    [
        (Figure("speed", 50, "events/s", floor=100, targets=(Target(0.5, "ratio"),)), 0.5, True),
        (Figure("speed", 49, "events/s", floor=100, targets=(Target(0.5, "ratio"),)), 0.49, False),
        (Figure("speed", 49, "events/s", targets=(Target(50),)), None, False),
        (Figure("time", 200, "us", "less", floor=100, targets=(Target(0.55, "ratio"),)), 0.5, False),
        (Figure("time", 100, "us", "less", floor=100, targets=(Target(0.55, "ratio"),)), 1.0, True),
        (Figure("time", 9, "ms", "less", floor=1, targets=(Target(10),)), 1 / 9, True),
        (Figure("size", 400, "bytes", "less", floor=100, targets=(Target(4, "ratio"),)), 4.0, True),
        (Figure("size", 401, "bytes", "less", floor=100, targets=(Target(4, "ratio"),)), 4.01, False),
        (Figure("size", 401, "bytes", "less", targets=(Target(4, "ratio"),)), None, False),
        (Figure("time", 25, "ms", "less", floor=10, targets=(Target(2.5, "times"),)), 0.4, True),
        (Figure("time", 26, "ms", "less", floor=10, targets=(Target(2.5, "times"),)), 10 / 26, False),
        (Figure("speed", 60, "events/s", floor=100, targets=(Target(50), Target(0.5, "ratio"))), 0.6, True),
        (Figure("speed", 60, "events/s", floor=100, targets=(Target(50), Target(0.7, "ratio"))), 0.6, False),
        (Figure("speed", 60, "events/s", floor=100, targets=(Target(70), Target(0.5, "ratio"))), 0.6, False),
        (Figure("shown", 1, "MiB"), None, None),
    ],
)
def test_figure_is_judged_in_its_sense(figure: Figure, ratio: float | None, passed: bool | None) -> None:
    assert figure.ratio == (None if ratio is None else pytest.approx(ratio))
    assert figure.passed is passed
    assert figure.as_json()["passed"] is passed


def test_table_shows_value_floor_target_and_verdict_in_columns() -> None:
    slow = Figure("one append", 700, "us", "less", floor=350, floor_name="raw commit", targets=(Target(0.55, "ratio"),))
    fast = Figure("scan", 800_000, "events/s")
    timed = Figure("live", 3, "ms", "less", floor=2, floor_name="trip", targets=(Target(2, "times"),))
    assert table([slow, fast, timed]).splitlines() == [
        "figure      value             floor           ratio       target",
        "one append  700 us            350 raw commit  0.50        ratio >= 0.55  MISS",
        "scan        800,000 events/s",
        "live        3 ms              2 trip          1.50 times  <= 2 times     pass",
    ]


@pytest.mark.parametrize(
    ("figure", "limit"),
    [
        (Figure("speed", 1, "events/s", floor=100, targets=(Target(50), Target(0.6, "ratio"))), 60),
        (Figure("time", 1, "ms", "less", floor=10, targets=(Target(2.5, "times"),)), 25),
        (Figure("time", 1, "ms", "less", floor=10, targets=(Target(0.5, "ratio"),)), 20),
        (Figure("size", 1, "bytes", "less", floor=100, targets=(Target(4, "ratio"), Target(300))), 300),
        (Figure("size", 1, "bytes", "less", targets=(Target(4, "ratio"),)), None),
        (Figure("shown", 1, "bytes"), None),
    ],
)
def test_limit_is_the_value_that_just_meets_the_strictest_target(figure: Figure, limit: float | None) -> None:
    assert figure.limit == limit
    if limit is not None:
        assert Figure(figure.name, limit, figure.unit, figure.sense, figure.floor, "", figure.targets).passed
