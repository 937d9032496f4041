"""When to connect again: growing pauses with jitter, so that a broker that comes back is not met by all at once."""

from __future__ import annotations

from typing import Final, Protocol

FIRST_MS: Final = 1_000
LONGEST_MS: Final = 16_000
"""While there is no way to the broker: whoever comes out of a tunnel waits no longer, and a try costs next to nothing."""

REFUSED_MS: Final = 60_000
"""After the broker said no: soon again would only be refused again."""

STEADY_MS: Final = 2_000
"""A connection that lived this long was of use, and not ended by what we did: the next pause is short again."""

_DOUBLINGS_MAX: Final = 4


class Random(Protocol):
    """A source of jitter; `random.Random` is one."""

    def random(self) -> float:
        """From 0 up to 1."""


class Backoff:
    """The pauses between connections: 0.5 to 1 s at first, 8 to 16 s at last; 30 to 60 s after a refusal.

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
            refused: the broker said no.
        """
        if up_ms is not None and up_ms >= STEADY_MS:
            self._failures = 0
        longest = REFUSED_MS if refused else min(FIRST_MS << self._failures, LONGEST_MS)
        self._failures = min(self._failures + 1, _DOUBLINGS_MAX)
        return int(longest * (1 + self._rng.random()) / 2)

    def reset(self) -> None:
        """Forget the failures: something has changed that makes a new try worth it."""
        self._failures = 0
