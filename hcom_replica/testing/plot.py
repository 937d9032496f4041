"""A line drawn as SVG: the share of all events held, over virtual time. Text in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hcom_replica.testing.svg import document, polyline, text, ticks

_WIDTH: Final = 720
_HEIGHT: Final = 360
_LEFT: Final = 56
_RIGHT: Final = 16
_TOP: Final = 36
_BOTTOM: Final = 44


def convergence_svg(title: str, curve: Sequence[tuple[float, float]]) -> str:
    """Draw a curve.

    Args:
        title: above it.
        curve: (seconds, share from 0 to 1), ascending in time; at least one point.

    Returns:
        A whole SVG document.
    """
    span_s = max(curve[-1][0], 0.001)
    points = [(_x(at, span_s), _y(share)) for at, share in _thinned([(0.0, 0.0), *curve])]
    grid = [_across(number / 4) for number in range(5)] + [_upright(at, span_s) for at in ticks(span_s)]
    parts = [
        text(_LEFT, 22, title, size=14),
        *grid,
        polyline(points, "a"),
        text(_WIDTH - _RIGHT, _HEIGHT - 8, "virtual seconds", "soft", anchor="end"),
    ]
    return document(_WIDTH, _HEIGHT, parts)


def _thinned(curve: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out what lies on a level line: a long wait is two points."""
    inner = [
        here for before, here, after in zip(curve, curve[1:], curve[2:], strict=False) if before[1] != after[1]
        or here[1] != before[1]
    ]  # fmt: skip
    return [curve[0], *inner, curve[-1]]


def _x(at_s: float, span_s: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * at_s / span_s


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share


def _across(share: float) -> str:
    y = _y(share)
    return f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>' + text(
        _LEFT - 6, y + 4, f"{share:.0%}", "soft", anchor="end"
    )


def _upright(at_s: float, span_s: float) -> str:
    x, bottom = _x(at_s, span_s), _HEIGHT - _BOTTOM
    return f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/>' + text(
        x, bottom + 16, f"{at_s:g}", "soft", anchor="middle"
    )
