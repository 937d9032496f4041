"""The system's clocks, in milliseconds: what the port `Clock` is outside of simulations."""

from __future__ import annotations

import time
from typing import Final

from hcom_replica.core.effects import Now

_SLEEPLESS: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Counts the time that the machine slept: Linux's CLOCK_BOOTTIME; elsewhere CLOCK_MONOTONIC does so or nothing does."""


class SystemClock:
    """Wall and monotonic time of this machine."""

    def wall_ms(self) -> int:
        """UTC wall clock since 1970, never negative."""
        return max(0, time.time_ns() // 1_000_000)

    def monotonic_ms(self) -> int:
        """A clock that only moves forwards, sleep included where the OS offers it."""
        return time.clock_gettime_ns(_SLEEPLESS) // 1_000_000

    def now(self) -> Now:
        """Both, as inputs are stamped."""
        return Now(self.wall_ms(), self.monotonic_ms())
