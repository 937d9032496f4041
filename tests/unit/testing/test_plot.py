"""Drawing a curve: a whole SVG document with every turn of the line, and round times below it."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from hcom_replica.testing.plot import convergence_svg
from hcom_replica.testing.svg import ticks


def points(svg: str) -> list[str]:
    line = ET.fromstring(svg).find("{http://www.w3.org/2000/svg}polyline")
    assert line is not None
    return line.attrib["points"].split()


def test_svg_of_a_curve_is_a_document_from_nothing_to_all() -> None:
    svg = convergence_svg("2 devices <of> 3", [(1.0, 0.5), (2.0, 1.0)])
    assert "2 devices &lt;of&gt; 3" in svg
    assert points(svg) == ["56.0,316.0", "380.0,176.0", "704.0,36.0"]


def test_svg_of_a_level_curve_leaves_out_what_says_nothing() -> None:
    assert len(points(convergence_svg("", [(number / 10, 0.5) for number in range(100)]))) <= 4


def test_svg_of_one_moment_is_drawn() -> None:
    assert len(points(convergence_svg("", [(0.0, 1.0)]))) == 2


@pytest.mark.parametrize(
    ("span", "last", "count"), [(10.0, 10.0, 6), (0.5, 0.5, 6), (3600.0, 3500.0, 8), (7.9, 7.0, 8)]
)
def test_ticks_are_round_and_few(span: float, last: float, count: int) -> None:
    found = ticks(span)
    assert found[0] == 0
    assert found[-1] == pytest.approx(last)
    assert len(found) == count
