"""All printing: tables, JSON lines, escaping, colour, warnings.

Owns stdout and stderr. Text that came from peers never reaches a terminal unescaped: every command prints it through
`escape` or a `table`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

_UNSAFE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CODES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def escape(text: str) -> str:
    """Make text from elsewhere safe for a terminal and a single line: controls and invisible marks are spelled out."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


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
    stream = sys.stdout if stream is None else stream
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


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
