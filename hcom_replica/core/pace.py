"""How asking is paced: the random wait before a want, and what was learnt about pulling one origin (P7.7, P7.8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import Final

from hcom_replica.core.effects import Now
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.settings import Settings
from hcom_replica.core.sources import Failures, Source

_GROW_BELOW_MS: Final = 1_000

_FEW: Final = 8
"""Where more others are known, many may come back at once and lack the same: none of them asks at once."""


@dataclass(slots=True)
class Pace:
    """What has been learnt about pulling one origin.

    Attributes:
        window: bytes asked for at a time.
        timeout_ms: how long a source may bring nothing.
        due_ms: when to ask next.
        failures: of its sources.
    """

    window: int
    timeout_ms: int
    due_ms: int
    failures: Failures = field(default_factory=Failures)

    def slower(self, now: Now, sources: list[Source], longest_ms: int, settings: Settings) -> None:
        """The sources have brought nothing in time: half the window, twice the patience.

        Where others answer quickly, silence means that something was lost, and more patience would only cost time.

        Args:
            now: the time.
            sources: what was tried.
            longest_ms: that a source is given, by what answers take on this connection.
            settings: bounds.
        """
        self.fail(now, sources)
        self.window = max(self.window // 2, settings.window_bytes_min)
        self.timeout_ms = min(2 * self.timeout_ms, longest_ms)

    def faster(self, took_ms: int, settings: Settings) -> None:
        """An answer came whole; more at a time, when it was quick."""
        if took_ms < _GROW_BELOW_MS:
            self.window = min(2 * self.window, settings.window_bytes_max)
            self.timeout_ms = max(self.timeout_ms // 2, settings.pull_ms_quick)

    def fail(self, now: Now, sources: list[Source]) -> None:
        """The sources do not have what is missing."""
        self.failures.times.update(dict.fromkeys(sources, now.mono_ms))


class Waits:
    """The random waits before asking.

    Where many lack the same, few should ask: each waits for a time whose density grows towards the end of the span, the
    more steeply the larger the group is, and whoever hears a want for what it lacks waits for the answer. So about as
    many ask in a group of a thousand as in one of ten.

    Attributes:
        devices: how many may lack the same, this one among them.
    """

    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        self._least, self._span = settings.ask_ms_min, settings.ask_ms_max - settings.ask_ms_min
        self._at_once_ms = 4 * settings.fence_grace_ms
        self._outbox = outbox
        self._at_once_until = 0
        self._until = 0
        self.devices = 1

    def link_up(self, now: Now) -> None:
        """A new connection: nothing is waited for in its first moments."""
        self._at_once_until = now.mono_ms + self._at_once_ms

    @property
    def are_few(self) -> bool:
        """Whether there are so few devices that each may ask as it likes."""
        return self.devices <= 1 + _FEW

    def draw(self) -> int:
        """Draw a wait in ms."""
        chance, devices = self._outbox.rng.random(), self.devices
        late = log(1 + chance * (devices - 1)) / log(devices) if devices > 1 else chance
        return self._least + int(late * self._span)

    def due(self, now: Now) -> int:
        """When to ask for what was found missing now: at once, where the connection is new and few others are known.

        Else together with what was found missing a moment ago, if it fits.
        """
        if now.mono_ms < self._at_once_until and self.are_few:
            return now.mono_ms
        if not now.mono_ms + self._least <= self._until <= now.mono_ms + self._least + self._span:
            self._until = now.mono_ms + self.draw()
        return self._until
