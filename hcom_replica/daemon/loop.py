"""THE loop: wait for a socket or the time, step the engine, answer who asked; again.

Owns the selector. It must do nothing else: all work is in the engine, the control server and the caretaker. One thread;
links and signal handlers ring the bell.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable
from typing import Final, Protocol

from hcom_replica.core.effects import Now
from hcom_replica.daemon.bell import Bell
from hcom_replica.daemon.clock import SystemClock
from hcom_replica.daemon.engine import Engine

LOOK_MS: Final = 1_000
"""The longest wait: an appender may have died between its commit and its wake."""

JUMP_MS: Final = 5_000
"""A wait this much longer than asked for, or a wall clock set by this much: the machine, or we, have slept."""


class Caretaker(Protocol):
    """What is to be done now and then beside the engine."""

    def poll(self, now: Now) -> None:
        """Look around; called after every step."""

    def wake_at(self) -> int | None:
        """Monotonic ms at which `poll` is wanted at the latest."""


class Loop:
    """Runs an engine on real sockets and time.

    Args:
        engine: what is stepped.
        clock: real time.
        bell: ends a wait.
    """

    def __init__(self, engine: Engine, clock: SystemClock, bell: Bell) -> None:
        self.selector = selectors.DefaultSelector()
        self._engine = engine
        self._clock = clock
        self._bell = bell
        self._caretakers: list[Caretaker] = []
        self._before = clock.now()
        self.listen(bell.fileno(), bell.hear)

    def listen(self, fd: int, hear: Callable[[], None]) -> None:
        """Call `hear` when there is something to read from `fd`."""
        self.selector.register(fd, selectors.EVENT_READ, lambda _events: hear())

    def add(self, caretaker: Caretaker) -> None:
        """Call upon it after every step."""
        self._caretakers.append(caretaker)

    def run(self, done: Callable[[Now], bool]) -> None:
        """Work until `done`, which is asked after every step."""
        while True:
            now = self._clock.now()
            self._notice_sleep(now)
            wake_ms = self._engine.step(now)
            for caretaker in self._caretakers:
                caretaker.poll(now)
            if done(now):
                return
            self._wait(now, wake_ms)

    def close(self) -> None:
        """Free the selector."""
        self.selector.close()

    def _wait(self, now: Now, wake_ms: int | None) -> None:
        wishes = [wake_ms, *(caretaker.wake_at() for caretaker in self._caretakers)]
        until_ms = min([now.mono_ms + LOOK_MS, *(wish for wish in wishes if wish is not None)])
        self._before = self._clock.now()
        for key, events in self.selector.select(max(0, until_ms - self._before.mono_ms) / 1_000):
            key.data(events)

    def _notice_sleep(self, now: Now) -> None:
        """After a sleep the connection may be dead with nobody to say so: do not wait for its keepalive."""
        slept_ms = now.mono_ms - self._before.mono_ms
        set_ms = abs(now.wall_ms - self._before.wall_ms - slept_ms)
        if slept_ms > LOOK_MS + JUMP_MS or set_ms > JUMP_MS:
            self._engine.renew(now, "the machine slept, or its clock was set")
        self._before = now
