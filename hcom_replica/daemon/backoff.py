"""When to connect again: growing pauses with jitter, so that a broker that comes back is not met by all at once."""

from __future__ import annotations

from typing import Final, Protocol

FIRST_MS: Final = 1_000
LONGEST_MS: Final = 60_000
STEADY_MS: Final = 60_000
"""A connection that lived this long was a good one: the next pause is short again."""

_DOUBLINGS_MAX: Final = 6


class Random(Protocol):
    """A source of jitter; `random.Random` is one."""

    def random(self) -> float:
        """From 0 up to 1."""


class Backoff:
    """The pauses between connections: 0.5 to 1 s at first, 30 to 60 s at last.

    Args:
        rng: jitter.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._failures = 0

    def after(self, up_ms: int | None, *, refused: bool) -> int:
        """Return the pause in ms after a connection has ended.

        Args:
            up_ms: how long it was up; None when it never was.
            refused: the broker said no: soon again would only be refused again, so the pause is long at once.
        """
        if up_ms is not None and up_ms >= STEADY_MS:
            self._failures = 0
        if refused:
            self._failures = _DOUBLINGS_MAX
        longest = min(FIRST_MS << self._failures, LONGEST_MS)
        self._failures = min(self._failures + 1, _DOUBLINGS_MAX)
        return int(longest * (1 + self._rng.random()) / 2)

    def reset(self) -> None:
        """Forget the failures: something has changed that makes a new try worth it."""
        self._failures = 0
