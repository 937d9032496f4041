"""What all drawings share: a document that is readable on light and dark pages, round ticks, and text in its place.

Text in, text out; no library, no file. Colours are classes, so that a reader's dark page gets other ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal
from xml.sax.saxutils import escape

Anchor = Literal["start", "middle", "end"]
_STEPS: Final = (1, 2, 5)
_TICKS_MAX: Final = 8
_LIGHT: Final = {
    "page": "#ffffff", "ink": "#1f2328", "soft": "#59636e", "grid": "#d8dee4",
    "a": "#0b6bcb", "b": "#8c959f", "c": "#c4610b", "d": "#cf222e",
}  # fmt: skip
_DARK: Final = {
    "page": "#0d1117", "ink": "#e6edf3", "soft": "#9198a1", "grid": "#30363d",
    "a": "#4c9be8", "b": "#6e7681", "c": "#e0823d", "d": "#ff7b72",
}  # fmt: skip
_MARKS: Final = ("a", "b", "c", "d")


def document(width: int, height: int, parts: Sequence[str]) -> str:
    """A whole SVG document, on a ground of its own."""
    light, dark = _colours(_LIGHT), _colours(_DARK)
    box, font = f'viewBox="0 0 {width} {height}"', 'font-family="sans-serif" font-size="12"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {box} {font}>',
            f"<style>{light} @media (prefers-color-scheme: dark) {{ {dark} }}</style>",
            f'<rect class="page" width="{width}" height="{height}"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _colours(of: dict[str, str]) -> str:
    """Rules: `page`, `ink` and `soft` fill, `grid` is a thin line; a to d are areas and, with `-line`, lines."""
    rules = [f".{name} {{ fill: {of[name]} }}" for name in ("page", "ink", "soft", *_MARKS)]
    rules += [f".{name}-line {{ stroke: {of[name]}; fill: none; stroke-width: 2 }}" for name in _MARKS]
    rules += [f"text {{ paint-order: stroke; stroke: {of['page']}; stroke-width: 3px }}"]  # legible on lines
    return " ".join([*rules, f".grid {{ stroke: {of['grid']}; fill: none }}"])


def text(x: float, y: float, said: str, colour: str = "ink", *, anchor: Anchor = "start", size: int = 12) -> str:
    """Text that begins, is centred, or ends at a place."""
    at = f'x="{x:.1f}" y="{y:.1f}"'
    return f'<text {at} class="{colour}" text-anchor="{anchor}" font-size="{size}">{escape(said)}</text>'


def polyline(points: Sequence[tuple[float, float]], colour: str) -> str:
    """A line with corners."""
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{corners}" class="{colour}-line"/>'


def ticks(span: float) -> list[float]:
    """Round numbers from 0 to `span`, at most eight steps of 1, 2 or 5 times a power of ten."""
    power = 1e-9
    while True:
        for step in _STEPS:
            if span / (step * power) <= _TICKS_MAX:
                return [number * step * power for number in range(int(span / (step * power)) + 1)]
        power *= 10
