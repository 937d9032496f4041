"""Replay: the unified stream in canonical order, at the pace at which it was written, or faster.

Owns the pace, and which events a person is told came late. Late is what this device saw, so it stands apart from the
events, which are the same everywhere.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from hcom_replica.api.event import Event
from hcom_replica.api.progress import Progress
from hcom_replica.api.times import read_span_ms
from hcom_replica.core.hlc import millis
from hcom_replica.errors import UsageError
from hcom_replica.store.log import Log

GAP_MAX_MS: Final = 5_000
"""How long a replay stands still at most, unless asked otherwise."""

_TOLD_EVENTS: Final = 1_000

_SPEED: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)x?")

Shortened = Callable[[int, int], None]
"""Told that a gap of so many ms takes so many ms only."""


def read_speed(text: str) -> float | None:
    """Read `1x`, `10x`, `0.5x` or `max`; None is max.

    Raises:
        UsageError: it is none of these.
    """
    if text == "max":
        return None
    match = _SPEED.fullmatch(text)
    if match is None or not float(match[1]):
        raise UsageError(f"--speed {text}: not a speed", hint="write 1x for the real pace, 10x, 0.5x, or max")
    return float(match[1])


def read_gap_ms(text: str) -> int:
    """Read the longest wait.

    Raises:
        UsageError: it is no span.
    """
    span = read_span_ms(text)
    if span is None:
        raise UsageError(f"--gap {text}: not a span", hint="write how long to wait at most, like 500ms, 5s or 10m")
    return span


@dataclass(frozen=True)
class Pace:
    """How fast events are replayed: as the times that they show follow each other.

    Attributes:
        speed: 1 is the real pace, 10 ten times as fast; None does not wait at all.
        gap_max_ms: the longest wait, after `speed`.
        shortened: told of each gap that would have taken longer.
        sleep: waits so many seconds.
        now: a clock that only moves forwards, seconds.
    """

    speed: float | None = None
    gap_max_ms: int = GAP_MAX_MS
    shortened: Shortened = field(default=lambda _gap_ms, _wait_ms: None)
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic

    def paced(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield events, each when it is due. One that shows an earlier time than the one before it is due at once."""
        if self.speed is None:
            yield from events
            return
        before_us: int | None = None
        due = self.now()
        for event in events:
            if before_us is not None:
                due += self._wait_ms((event.time_us - before_us) / 1_000, self.speed) / 1_000
                self._wait_until(due)
            before_us = event.time_us
            yield event

    def _wait_ms(self, gap_ms: float, speed: float) -> float:
        wait_ms = max(0.0, gap_ms / speed)
        if wait_ms > self.gap_max_ms:
            self.shortened(int(gap_ms), self.gap_max_ms)
            return self.gap_max_ms
        return wait_ms

    def _wait_until(self, due: float) -> None:
        left = due - self.now()
        if left > 0:
            self.sleep(left)


def counted(events: Iterable[Event], tell: Progress, total: int) -> Iterator[Event]:
    """Yield events, and tell now and then how many of how many have passed."""
    for number, event in enumerate(events, 1):
        if not number % _TOLD_EVENTS:
            tell("writing", number, total)
        yield event


def late_arrivals(log: Log) -> dict[bytes, int]:
    """The events that arrived here after something that sorts behind them.

    Returns:
        16-byte key in the canonical order -> how long after it was written it arrived, ms by the two devices' clocks.
    """
    return {
        row.key: max(0, row.received_ms - millis(int.from_bytes(row.key[:8], "big")))
        for row in log.received()
        if row.late
    }


def told_span(ms: int) -> str:
    """A span as people say it, in its two largest units: `3 d 4 h`, `2 min`, `5 s`, `20 ms`."""
    if ms < 1_000:
        return f"{ms} ms"
    seconds = ms // 1_000
    parts = [(seconds // 86_400, "d"), (seconds // 3_600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    first = next(at for at, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)
