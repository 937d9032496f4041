"""How long a source is given to bring something (P7.8): what answers took lately on this connection says it.

An answer that comes after it was given up counts, too: on a slow link answers come late, not never.
"""

from __future__ import annotations

from typing import Final

from hcom_replica.core.effects import Now
from hcom_replica.core.flight import Flight
from hcom_replica.core.settings import Settings

_TIMES: Final = 8
"""So many times as long as an answer took is waited for the next one, within bounds."""

_GUESS_MS: Final = 500
"""The least that a device is given to bring what it is only guessed to have."""

_GIVEN_UP_MAX: Final = 64
"""So many wants are known by the time that their answers may still come."""


class Patience:
    """How long answers take on this connection, and which wants were given up."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._answer_ms: int | None = None
        self._given_up: dict[int, Flight] = {}

    def closed(self) -> None:
        """The link has ended: the next one may be a quicker or a slower one."""
        self._answer_ms = None
        self._given_up.clear()

    def longest_ms(self) -> int:
        """The longest that a source is given which says that it has what it is asked for.

        Before any answer has come it is not endless: one that comes late says more.
        """
        if self._answer_ms is None:
            return 2 * self._settings.pull_ms_min
        return min(max(_TIMES * self._answer_ms, self._settings.pull_ms_quick), self._settings.pull_ms_max)

    def guess_ms(self) -> int:
        """How long a device is given that may not have what it is asked for, once it has brought the rest."""
        return self._settings.ask_ms_max if self._answer_ms is None else max(_GUESS_MS, 2 * self._answer_ms)

    def answered(self, now: Now, flight: Flight, *, ours: bool) -> None:
        """A holder's message came; how long the first took says what to expect of others.

        Args:
            now: the time.
            flight: what it answers.
            ours: it bears the number of that very want.
        """
        flight.progress_ms = now.mono_ms
        if ours and flight.own and not flight.answered:
            self._answer_ms = max(now.mono_ms - flight.started_ms, (self._answer_ms or 0) * 7 // 8)
        flight.answered = True

    def gave_up(self, flight: Flight) -> None:
        """A want has brought nothing in time."""
        self._given_up = dict([*self._given_up.items(), (flight.want, flight)][-_GIVEN_UP_MAX:])

    def came(self, now: Now, want: int, sender: bytes | None) -> None:
        """A fill came: what was given up and comes all the same was given too little time.

        Args:
            now: the time.
            want: the number that the fill bears.
            sender: its author's key; None for none.
        """
        flight = self._given_up.get(want)
        if flight is not None and flight.holder == sender:
            self._answer_ms = max(now.mono_ms - flight.started_ms, self._answer_ms or 0)
            del self._given_up[want]
