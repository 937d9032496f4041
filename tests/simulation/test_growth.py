"""The curve of `growth.py` shows what was measured."""

from __future__ import annotations

from tests.simulation.growth import Row, drawn, measure


def test_measured_size_is_a_row_of_the_table() -> None:
    row = measure(2, range(1, 3))
    assert row.seconds > 0
    assert row.redundancy >= 1
    assert row.head_bytes_max < 400
    assert row.as_markdown().startswith("| 2 | ")
    assert row.as_markdown().count("|") == 8


def test_curve_of_a_logarithm_is_a_straight_line() -> None:
    rows = [Row(10**power, 5.0 * power, 1, 1, 1.0, 1, 1) for power in (1, 2, 3)]
    lines = drawn(rows).splitlines()
    stars = [(number, line.index("*")) for number, line in enumerate(lines) if "*" in line]
    (first, second, third) = stars
    assert [second[0] - first[0], second[1] - first[1]] == [third[0] - second[0], third[1] - second[1]]
