"""When to connect again: growing pauses with jitter, so that a broker that comes back is not met by all at once."""

from __future__ import annotations

from typing import Final, Protocol

FIRST_MS: Final = 1_000
LONGEST_MS: Final = 16_000
"""While there is no way to the broker: whoever comes out of a tunnel waits no longer. A try costs little."""

REFUSED_MS: Final = 60_000
"""After the broker said no: soon again would only be refused again."""

STEADY_MS: Final = 2_000
"""A connection that lived this long was hardly ended by what we said on it."""

_DOUBLINGS_MAX: Final = 4


class Random(Protocol):
    """A source of jitter; `random.Random` is one."""

    def random(self) -> float:
        """From 0 up to 1."""


class Backoff:
    """The pauses between connections: 0.5 to 1 s at first, 8 to 16 s at last; 30 to 60 s after a refusal.

    They grow while nothing answers; and, by themselves, while connections come up and end at once, as they do with a
    broker that does not like what it is told. A link that comes and goes makes neither grow.

    Args:
        rng: jitter.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._dead = 0
        self._short = 0

    def after(self, up_ms: int | None, *, refused: bool) -> int:
        """Return the pause in ms after a connection has ended.

        Args:
            up_ms: how long it was up; None when it never was.
            refused: the broker said no.
        """
        if up_ms is None:
            doublings, self._dead = self._dead, self._dead + 1
        else:
            self._dead = 0
            self._short = self._short + 1 if up_ms < STEADY_MS else 0
            doublings = max(0, self._short - 1)
        longest = REFUSED_MS if refused else min(FIRST_MS << min(doublings, _DOUBLINGS_MAX), LONGEST_MS)
        return int(longest * (1 + self._rng.random()) / 2)

    def reset(self) -> None:
        """Forget what failed: something has changed that makes a new try worth it."""
        self._dead = self._short = 0
