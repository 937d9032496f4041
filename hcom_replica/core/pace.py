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
_PATIENCE: Final = 8
"""So many times as long as an answer took is waited for the next one, within bounds."""


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

    def slower(self, now: Now, sources: list[Source], answer_ms: int | None, settings: Settings) -> None:
        """The sources have brought nothing in time: half the window, twice the patience.

        Where others answer quickly, silence means that something was lost, and more patience would only cost time.

        Args:
            now: the time.
            sources: what was tried.
            answer_ms: how long answers take on this connection; None when none has come.
            settings: bounds.
        """
        self.fail(now, sources)
        self.window = max(self.window // 2, settings.window_bytes_min)
        self.timeout_ms = min(2 * self.timeout_ms, patience_ms(answer_ms, settings))

    def faster(self, took_ms: int, settings: Settings) -> None:
        """An answer came whole; more at a time, when it was quick."""
        if took_ms < _GROW_BELOW_MS:
            self.window = min(2 * self.window, settings.window_bytes_max)
            self.timeout_ms = max(self.timeout_ms // 2, settings.pull_ms_quick)

    def fail(self, now: Now, sources: list[Source]) -> None:
        """The sources do not have what is missing."""
        self.failures.times.update(dict.fromkeys(sources, now.mono_ms))


def patience_ms(answer_ms: int | None, settings: Settings) -> int:
    """The longest that a source is given.

    Args:
        answer_ms: how long answers take on this connection; None when none has come: one that comes late says more.
        settings: bounds.
    """
    if answer_ms is None:
        return 2 * settings.pull_ms_min
    return min(max(_PATIENCE * answer_ms, settings.pull_ms_quick), settings.pull_ms_max)


class Waits:
    """The random waits before asking.

    Where many lack the same, few should ask: each waits for a time whose density grows towards the end of the span, the
    more steeply the larger the group is, and whoever hears a want for what it lacks waits for the answer. So about as
    many ask in a group of a thousand as in one of ten.
    """

    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        self._least, self._span = settings.ask_ms_min, settings.ask_ms_max - settings.ask_ms_min
        self._outbox = outbox
        self._until = 0

    def draw(self, devices: int) -> int:
        """Draw a wait in ms; `devices` may all lack the same."""
        chance = self._outbox.rng.random()
        late = log(1 + chance * (devices - 1)) / log(devices) if devices > 1 else chance
        return self._least + int(late * self._span)

    def due(self, now: Now, devices: int) -> int:
        """When to ask for what was found missing now: together with what was found missing a moment ago, if it fits."""
        if not now.mono_ms + self._least <= self._until <= now.mono_ms + self._least + self._span:
            self._until = now.mono_ms + self.draw(devices)
        return self._until
