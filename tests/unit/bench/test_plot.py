"""Drawing a run: a document for each part, with its floors, its peers and its target in their places."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from hcom_replica.bench.figures import Figure, Target
from hcom_replica.bench.plot import Axis, drawn

SVG = "{http://www.w3.org/2000/svg}"
SPEED = Figure("speed", 50, "events/s", floor=100, floor_name="raw", targets=(Target(75),), part="one", same="speed")


def rows(*figures: Figure) -> list[dict[str, Any]]:
    return [figure.as_json() for figure in figures]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def bars(svg: str, colour: str) -> list[float]:
    """Widths of the bars of one colour; the legend has one of twelve units."""
    found = [element for element in ET.fromstring(svg).iter(f"{SVG}rect") if element.get("class") == colour]
    return [float(element.attrib["width"]) for element in found if element.get("width") != "12"]


def test_part_is_drawn_with_its_floor_in_proportion() -> None:
    files = drawn(rows(SPEED, Figure("size", 3, "bytes", "less", part="two")))
    assert list(files) == ["one.svg", "two.svg"]
    (ours,), (floor,) = bars(files["one.svg"], "a"), bars(files["one.svg"], "b")
    assert floor == pytest.approx(2 * ours)
    assert {"one", "speed", "ours", "raw", "50", "100", "events/s, more is better"} <= set(texts(files["one.svg"]))


def test_floors_of_one_figure_are_drawn_below_it_once() -> None:
    svg = drawn(rows(SPEED, replace(SPEED, floor=200, floor_name="rawer")))["one.svg"]
    assert len(bars(svg, "a")) == 1
    assert len(bars(svg, "b")) == 2


def test_peer_is_drawn_beside_the_first_figure_that_says_the_same() -> None:
    peer = Figure("theirs", 25, "events/s", part="them", same="speed", who="Them")
    files = drawn(rows(SPEED, replace(SPEED, name="more speed", value=60), peer))
    assert list(files) == ["one.svg"]
    (theirs,) = bars(files["one.svg"], "c")
    assert theirs == pytest.approx(bars(files["one.svg"], "a")[0] / 2, abs=0.1)


def test_target_is_a_line_where_it_would_just_be_met() -> None:
    root = ET.fromstring(drawn(rows(SPEED))["one.svg"])
    (line,) = [path for path in root.iter(f"{SVG}path") if path.get("class") == "d-line"]
    assert line.attrib["d"].startswith(f"M{Axis([100]).x(75):.1f} ")


def test_values_of_different_size_are_drawn_in_powers_of_ten() -> None:
    axis = Axis([2, 2_000])
    assert axis.marks() == [1, 10, 100, 1_000]
    assert axis.x(100) - axis.x(10) == pytest.approx(axis.x(10) - axis.x(1))
    assert axis.x(0) == axis.x(1)
    assert not Axis([2, 60]).powers


def test_curve_is_drawn_over_time_and_short_ones_are_left_out() -> None:
    curve = Figure("memory", 9, "MiB", "less", part="one", curve=((0.0, 3.0), (2.0, 9.0)))
    svg = drawn(rows(curve, replace(curve, name="short", curve=((0.0, 1.0), (0.5, 2.0)))))["one.svg"]
    (line,) = ET.fromstring(svg).iter(f"{SVG}polyline")
    assert [point.split(",")[1] for point in line.attrib["points"].split()] != []
    assert texts(svg).count("memory") == 2  # its bar, and below the line
    assert texts(svg).count("short") == 1


def test_names_are_escaped() -> None:
    assert "a < b & c" in texts(drawn(rows(replace(SPEED, name="a < b & c")))["one.svg"])


def test_figures_without_any_value_are_drawn() -> None:
    assert bars(drawn(rows(Figure("nothing", 0, "%", "less", part="one")))["one.svg"], "a") == [1.0]
