"""A line drawn as SVG: the share of all events held, over virtual time. Text in, text out; no library, no file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

_WIDTH: Final = 720
_HEIGHT: Final = 360
_LEFT: Final = 56
_RIGHT: Final = 16
_TOP: Final = 36
_BOTTOM: Final = 44
_STYLE: Final = 'font-family="sans-serif" font-size="12" fill="#333"'
_STEPS: Final = (1, 2, 5)
_TICKS_MAX: Final = 8


def convergence_svg(title: str, curve: Sequence[tuple[float, float]]) -> str:
    """Draw a curve.

    Args:
        title: above it.
        curve: (seconds, share from 0 to 1), ascending in time; at least one point.

    Returns:
        A whole SVG document.
    """
    span_s = max(curve[-1][0], 0.001)
    points = " ".join(f"{_x(at, span_s):.1f},{_y(share):.1f}" for at, share in _thinned([(0.0, 0.0), *curve]))
    grid = [_across(number / 4) for number in range(5)] + [_upright(at, span_s) for at in ticks(span_s)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {_STYLE}>',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
            f'<text x="{_LEFT}" y="22" font-size="14">{escape(title)}</text>',
            *grid,
            f'<polyline points="{points}" fill="none" stroke="#0b6bcb" stroke-width="2"/>',
            f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 8}" text-anchor="end">virtual seconds</text>',
            "</svg>",
            "",
        ]
    )


def ticks(span_s: float) -> list[float]:
    """Round times from 0 to `span_s`, at most eight steps of 1, 2 or 5 times a power of ten."""
    power = 0.001
    while True:
        for step in _STEPS:
            if span_s / (step * power) <= _TICKS_MAX:
                return [number * step * power for number in range(int(span_s / (step * power)) + 1)]
        power *= 10


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
    return (
        f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>'
    )


def _upright(at_s: float, span_s: float) -> str:
    x, bottom = _x(at_s, span_s), _HEIGHT - _BOTTOM
    return (
        f'<path d="M{x:.1f} {_TOP}V{bottom}" stroke="#eee"/>'
        f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{at_s:g}</text>'
    )
