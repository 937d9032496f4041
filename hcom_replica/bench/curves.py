"""Figures over time, drawn as lines: the panel below the bars of a part that has any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hcom_replica.testing.svg import polyline, text, ticks

_WIDTH: Final = 760
_LEFT: Final = 48
_RIGHT: Final = 16
_HEIGHT: Final = 150
_HEAD: Final = 30
_COLOURS: Final = ("a", "c")
_SHORT: Final = 0.5


def curves(rows: Sequence[Mapping[str, Any]], y: float) -> tuple[list[str], float]:
    """Draw the longest of the curves, and those of about their length, on one pair of axes.

    Args:
        rows: as `Figure.as_json` gives them, each with a curve; all of one unit.
        y: where the drawing begins.

    Returns:
        The drawing, and where it ends.
    """
    if not rows:
        return [], y
    span_s = max(row["curve"][-1][0] for row in rows) or 1.0
    long = [row for row in rows if row["curve"][-1][0] >= _SHORT * span_s]
    limits = [row["limit"] for row in long if row["limit"] is not None]
    most = max([value for row in long for _, value in row["curve"]] + limits)
    bottom = y + _HEAD + _HEIGHT

    def place(at_s: float, value: float) -> tuple[float, float]:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * at_s / span_s, bottom - _HEIGHT * value / most

    parts = [text(12, y + 20, f"{long[0]['unit']} over seconds", "soft")]
    for value in ticks(most):
        _, at = place(0, value)
        parts.append(f'<path class="grid" d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(text(_LEFT - 6, at + 4, f"{value:g}", "soft", anchor="end", size=11))
    parts += [text(place(at, 0)[0], bottom + 15, f"{at:g}", "soft", anchor="middle", size=11) for at in ticks(span_s)]
    for limit in limits[:1]:
        _, at = place(0, limit)
        parts.append(f'<path class="d-line" stroke-dasharray="4 3" d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}"/>')
    y = bottom + 20
    for row, colour in zip(long, _COLOURS, strict=False):
        parts.append(polyline([place(at, value) for at, value in row["curve"]], colour))
        parts += [f'<rect class="{colour}" x="{_LEFT}" y="{y + 5:.1f}" width="12" height="12"/>']
        parts += [text(_LEFT + 18, y + 15, row["name"])]
        y += 19
    return parts, y + 6
