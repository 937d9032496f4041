"""All printing: tables, JSON lines, escaping, colour, warnings.

Owns stdout and stderr. Text that came from peers never reaches a terminal unescaped: every command prints it through
`escape` or a `table`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

from hcom_replica.api.escaping import escape as escape  # noqa: PLC0414 - handed on to all commands

_TINTS: Final = (33, 35, 208, 170, 142, 37, 203, 99, 71, 178, 67, 131)
"""Colours of the terminal's 256 that stand out on a dark and on a light ground, and from each other."""

_CODES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def line(text: str = "") -> None:
    """Print a line that holds nothing from elsewhere, or only what was escaped."""
    raw(text.encode("utf-8", "backslashreplace"))


def raw(data: bytes) -> None:
    """Print a line of bytes, which must hold no newline."""
    sys.stdout.buffer.write(data + b"\n")


def json_line(value: Any) -> None:
    """Print an object, a msgspec struct or a list as one line of JSON; no control character stands in it as such."""
    import msgspec

    from hcom_replica.api.body import disarmed

    raw(disarmed(msgspec.json.encode(value)))


def flush() -> None:
    """Hand what was printed to whoever reads it."""
    sys.stdout.buffer.flush()


def warn(text: str) -> None:
    """Print a warning for people; what it says is escaped."""
    note(f"{paint('warning', 'yellow', sys.stderr)}: {escape(text)}")


def note(text: str) -> None:
    """Print a line for people on stderr; what may come from elsewhere is escaped by the caller."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def failure(kind: str, message: str, hint: str = "") -> None:
    """Print what went wrong and what to do."""
    note(f"{paint(f'error[{kind}]', 'red', sys.stderr)}: {escape(message)}")
    if hint:
        note(f"{paint('hint', 'bold', sys.stderr)}: {escape(hint)}")


def paint(text: str, colour: str, stream: Any = None) -> str:
    """Colour text, if the stream (stdout by default) is a terminal and NO_COLOR is not set."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if _has_colour(stream) else text


def tint(text: str, number: int) -> str:
    """Give text on stdout the colour of a number, from 0, on a terminal as `paint` does."""
    return f"\x1b[38;5;{_TINTS[number % len(_TINTS)]}m{text}\x1b[0m" if _has_colour(None) else text


def _has_colour(stream: Any) -> bool:
    stream = sys.stdout if stream is None else stream
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and bool(stream.isatty())


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns under lower-case headers; numbers to the right, None as `-`; cells are escaped."""
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = (
        [all(isinstance(value, int | float | None) for value in column) for column in zip(*rows, strict=True)]
        if isinstance(rows, Sequence) and rows
        else [False] * len(headers)
    )
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    for number, row in enumerate([list(headers), *cells]):
        padded = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numeric, strict=True)
        ]
        text = "  ".join(padded).rstrip()
        line(paint(text, "dim") if number == 0 else text)


def facts(rows: Iterable[tuple[str, object]]) -> None:
    """Print one fact a row: a lower-case label and its value; cells are escaped, None is `-`."""
    listed = [(label, _cell(value)) for label, value in rows]
    width = max((len(label) for label, _ in listed), default=0)
    for label, value in listed:
        line(f"{label.ljust(width)}  {value}".rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(str(value))
