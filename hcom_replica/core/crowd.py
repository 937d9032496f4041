"""When to leave the air to others: in a large group everybody hears each want, and many lack the same (P7.7).

A broker lets few messages be under way to each of its clients. Where a thousand devices ask whenever something is
lacked, their wants and the answers fill those queues; nobody hears in time that somebody else has asked already, all
ask, and most of what comes is held. So each waits longer the more there are, and as long as enough is asked for.
"""

from __future__ import annotations

from typing import Final

from hcom_replica.core.effects import Now
from hcom_replica.core.pace import Waits

_BETWEEN_MS: Final = 5
"""Between two wants, for each device of the group."""

_MANY: Final = 100
"""In a larger group it is listened before something is asked for."""

_LISTEN_MS: Final = 1_500
_BUSY: Final = 256
"""Origins named in a second by wants of others and by fills: more would only be in their way."""

_HELD_BACK_MS_MAX: Final = 60_000
"""A member that floods the others with wants keeps none of them from asking for longer than this."""


class Crowd:
    """Decides whether this device may ask now.

    Args:
        waits: of this device; knows how many devices there are.
    """

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._next_ms = self._listens_until = self._second = 0
        self._named = [0, 0]
        """Origins that were named in this second, and in the one before."""
        self._since_ms: int | None = None

    def link_up(self, now: Now) -> None:
        """A new connection: who is there, and how much they ask, is not known yet."""
        self._listens_until = now.mono_ms + _LISTEN_MS

    def heard(self, now: Now, origins: int) -> None:
        """A want for so many origins, or a fill of one, has come."""
        self._turn(now)
        self._named[0] += origins

    def asked(self, now: Now) -> None:
        """A device is being asked."""
        self._since_ms = None
        if not self._waits.are_few:
            self._next_ms = now.mono_ms + _BETWEEN_MS * self._waits.devices

    def held_back(self, now: Now) -> int | None:
        """When to look again whether to ask; None for now."""
        if (devices := self._waits.devices) > _MANY:
            self._turn(now)
            self._next_ms = max(self._next_ms, self._listens_until)
            if max(self._named) > _BUSY and self._may_wait(now):
                self._next_ms = max(self._next_ms, now.mono_ms + self._waits.draw() * devices // _MANY)
        return self._next_ms if now.mono_ms < self._next_ms else None

    def _may_wait(self, now: Now) -> bool:
        self._since_ms = now.mono_ms if self._since_ms is None else self._since_ms
        return now.mono_ms - self._since_ms < _HELD_BACK_MS_MAX

    def _turn(self, now: Now) -> None:
        second = now.mono_ms // 1_000
        if second != self._second:
            self._named = [0, self._named[0] if second == self._second + 1 else 0]
            self._second = second
