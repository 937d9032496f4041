"""Times as people and JSON write them: ISO 8601, and spans like `10m`.

Owns their reading and printing. Times without a zone are UTC, as everything printed is.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from hcom_replica.errors import UsageError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOWEST_US: Final = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_HIGHEST_US: Final = (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_SPAN: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d|w)")
_SPAN_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def iso_us(us: int) -> str | None:
    """Print microseconds since 1970; with milliseconds when they are whole; None beyond the years 1 to 9999."""
    if not _LOWEST_US <= us <= _HIGHEST_US:
        return None
    moment = _EPOCH + timedelta(microseconds=us)
    return moment.isoformat(timespec="microseconds" if us % 1_000 else "milliseconds").removesuffix("+00:00") + "Z"


def iso_ms(ms: int) -> str | None:
    """Print milliseconds since 1970."""
    return iso_us(ms * 1_000)


def read_iso(text: str) -> int:
    """Read ISO 8601 as microseconds since 1970.

    Raises:
        UsageError: it is not a time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"not a time: {text!r}", hint="write 2026-01-31T09:30:00Z, or 2026-01-31") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def read_span_ms(text: str) -> int | None:
    """Read a span like `500ms`, `30s`, `10m`, `2h`, `3d`, `1w`; None when it is not one."""
    match = _SPAN.fullmatch(text)
    return int(match[1]) * _SPAN_MS[match[2]] if match else None


def read_when_us(text: str, now_ms: int) -> int:
    """Read a time, or a span before now, as microseconds since 1970.

    Raises:
        UsageError: it is neither.
    """
    span = read_span_ms(text)
    if span is not None:
        return (now_ms - span) * 1_000
    try:
        return read_iso(text)
    except UsageError as error:
        raise UsageError(error.message, hint="write a time like 2026-01-31T09:30:00Z, a span like 10m or 2h") from None
