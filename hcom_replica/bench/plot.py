"""A drawing of each part: its figures as bars, each beside its floors, its peers and its target.

Text in, text out: rows as `Figure.as_json` gives them, so that an earlier run can be drawn, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import floor as whole
from math import log10
from typing import Any, Final

from hcom_replica.bench.curves import curves
from hcom_replica.bench.figures import number
from hcom_replica.testing.svg import document, text, ticks

Row = Mapping[str, Any]

_WIDTH: Final = 760
_LEFT: Final = 252
_RIGHT: Final = 96
_BAR: Final = 13
_LINE: Final = 19
_HEAD: Final = 30
_GROUP: Final = 24
_GAP: Final = 14
_LOG_FROM: Final = 40
_OURS, _FLOOR, _PEER = "a", "b", "c"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: whose, how long, and its class of colour."""

    who: str
    value: float
    colour: str


@dataclass(frozen=True, slots=True)
class Group:
    """The bars of one figure, all in one unit, and what it is held to."""

    name: str
    unit: str
    sense: str
    bars: tuple[Bar, ...]
    limit: float | None


class Axis:
    """From values to places: in proportion, or in powers of ten where values differ too much for that.

    Args:
        values: all that are to be shown.
    """

    def __init__(self, values: Sequence[float]) -> None:
        self._most = max(values) or 1.0
        least = min((value for value in values if value > 0), default=self._most)
        self.powers = self._most / least > _LOG_FROM
        self._low = whole(log10(least)) if self.powers else 0
        self._high = log10(self._most)

    def x(self, value: float) -> float:
        """Where a value is."""
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * max(0.0, min(1.0, self._share(value)))

    def _share(self, value: float) -> float:
        if not self.powers:
            return value / self._most
        return (log10(value) - self._low) / (self._high - self._low) if value > 0 else 0.0

    def marks(self) -> list[float]:
        """Where lines are drawn."""
        if self.powers:
            return [10.0**power for power in range(self._low, whole(self._high) + 1)]
        return ticks(self._most)


def drawn(rows: Sequence[Row]) -> dict[str, str]:
    """Draw every part that a run has; gives names of files and SVG documents."""
    ours = [row for row in rows if row["part"] and not row["who"] and row["unit"] != "times"]
    parts = {part: list(some) for part, some in groupby(ours, key=lambda row: row["part"])}
    return {f"{part}.svg": part_svg(part, some, rows) for part, some in parts.items()}


def part_svg(part: str, figures: Sequence[Row], rows: Sequence[Row]) -> str:
    """Draw one part.

    Args:
        part: its name.
        figures: its rows.
        rows: of the whole run, for the peers.
    """
    parts, y = [text(12, 24, part, size=16), *_legend()], 40.0
    peers = [row for row in rows if row["who"]]
    shown: set[str] = set()
    groups = [_group(some, peers, shown) for some in _by_name(figures)]
    for axis in dict.fromkeys((group.unit, group.sense) for group in groups):
        drawing, y = _panel([group for group in groups if (group.unit, group.sense) == axis], y)
        parts += drawing
    drawing, y = curves([row for row in figures if row["curve"]], y)
    return document(_WIDTH, round(y + 6), [*parts, *drawing])


def _legend() -> list[str]:
    parts, x = [], float(_WIDTH - 300)
    for name, colour in (("ours", _OURS), ("floor", _FLOOR), ("peer", _PEER), ("target", "d")):
        parts += [f'<rect class="{colour}" x="{x:.0f}" y="14" width="12" height="12"/>', text(x + 17, 24, name, "soft")]
        x += 74
    return parts


def _by_name(figures: Sequence[Row]) -> Iterator[list[Row]]:
    """Figures of one name are one figure beside several floors."""
    for _, some in groupby(figures, key=lambda row: (row["name"], row["value"])):
        yield list(some)


def _group(figures: Sequence[Row], peers: Sequence[Row], shown: set[str]) -> Group:
    first = figures[0]
    bars = [Bar("ours", first["value"], _OURS)]
    bars += [Bar(row["floor_name"], row["floor"], _FLOOR) for row in figures if row["floor"] is not None]
    if first["same"] and first["same"] not in shown:  # peers stand beside the first figure that says the same
        shown.add(first["same"])
        bars += [Bar(row["who"], row["value"], _PEER) for row in peers if row["same"] == first["same"]]
    limit = next((row["limit"] for row in figures if row["limit"] is not None), None)
    return Group(first["name"], first["unit"], first["sense"], tuple(bars), limit)


def _panel(groups: Sequence[Group], y: float) -> tuple[list[str], float]:
    """Draw figures of one unit below each other, on one axis; gives the drawing, and where it ends."""
    values = [bar.value for group in groups for bar in group.bars]
    axis = Axis([*values, *(group.limit for group in groups if group.limit is not None)])
    unit, sense = groups[0].unit, groups[0].sense
    scale = "; each line ten times the one before" if axis.powers else ""
    parts = [text(12, y + 20, f"{unit}, {sense} is better{scale}", "soft")]
    top, y = y + _HEAD, y + _HEAD
    drawn_groups: list[str] = []
    for group in groups:
        drawing, y = _bars(group, axis, y)
        drawn_groups += drawing
    return [*parts, *_grid(axis, top, y), *drawn_groups], y + _LINE + _GAP


def _grid(axis: Axis, top: float, bottom: float) -> list[str]:
    return [
        f'<path class="grid" d="M{axis.x(mark):.1f} {top:.1f}V{bottom:.1f}"/>'
        + text(axis.x(mark), bottom + 14, _short(mark), "soft", anchor="middle", size=11)
        for mark in axis.marks()
    ]


def _bars(group: Group, axis: Axis, y: float) -> tuple[list[str], float]:
    """Draw a name, and below it the bars; the target lies over bars and under numbers."""
    top, ends = y + _GROUP, [axis.x(bar.value) for bar in group.bars]
    rows = [top + _LINE * number for number in range(len(group.bars))]
    bottom = top + _LINE * len(rows)
    boxes = [
        f'<rect class="{bar.colour}" x="{_LEFT}" y="{at:.1f}" width="{max(end - _LEFT, 1):.1f}" height="{_BAR}"/>'
        for bar, end, at in zip(group.bars, ends, rows, strict=True)
    ]
    words = [
        text(_LEFT - 8, at + 11, bar.who, "soft", anchor="end", size=11)
        for bar, at in zip(group.bars, rows, strict=True)
    ]
    words += [text(end + 6, at + 11, number(bar.value)) for bar, end, at in zip(group.bars, ends, rows, strict=True)]
    return [*boxes, *_target(group, axis, top, bottom), text(12, y + 16, group.name), *words], bottom + 4


def _target(group: Group, axis: Axis, top: float, bottom: float) -> list[str]:
    if group.limit is None:
        return []
    x = axis.x(group.limit)
    return [f'<path class="d-line" stroke-dasharray="4 3" d="M{x:.1f} {top - 4:.1f}V{bottom - 2:.1f}"/>']


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
