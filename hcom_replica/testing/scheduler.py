"""Virtual time: one agenda of callbacks, one clock, one source of randomness.

Owns the simulated clock and the seeded `random.Random` that every other part of the fake world draws from. It
must never read a real clock. Invariants: time only moves forwards; callbacks due at the same millisecond run in
the order in which they were asked for; so a seed and a program give one run, always the same.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import TypeVarTuple

Ts = TypeVarTuple("Ts")


class Timer:
    """A callback that is due at a time; `cancel` takes it back."""

    __slots__ = ("_args", "_callback", "due_ms")

    def __init__(self, due_ms: int, callback: Callable[[*Ts], None], args: tuple[*Ts]) -> None:
        self.due_ms = due_ms
        self._callback: Callable[..., None] | None = callback
        self._args: tuple[object, ...] = args

    @property
    def pending(self) -> bool:
        """True until it has run or was cancelled."""
        return self._callback is not None

    def cancel(self) -> None:
        """Make it never run. Idempotent; harmless after it has run."""
        self._callback = None
        self._args = ()

    def fire(self) -> bool:
        """Run it unless it was cancelled or has run; only the scheduler calls this. True when it ran."""
        callback = self._callback
        if callback is None:
            return False
        self._callback = None
        callback(*self._args)
        return True


class Scheduler:
    """The clock and the agenda of a simulated world.

    Args:
        seed: names the run; equal seeds and equal programs give equal runs.

    Attributes:
        seed: as given, to be printed when a run fails.
        now_ms: virtual milliseconds since the world began. Read only.
        random: the one generator of the world.
        steps: how many callbacks have run.
    """

    __slots__ = ("_due", "_times", "now_ms", "random", "seed", "steps")

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now_ms = 0
        self.random = random.Random(seed)
        self.steps = 0
        self._times: list[int] = []
        self._due: dict[int, deque[Timer]] = {}  # by ms: in a large world many things happen in the same one

    def at(self, ms: int, callback: Callable[[*Ts], None], *args: *Ts) -> Timer:
        """Run `callback(*args)` at virtual time `ms`; a time that has passed means as soon as possible."""
        due_ms = max(self.now_ms, ms)
        timer = Timer(due_ms, callback, args)
        due = self._due.get(due_ms)
        if due is None:
            self._due[due_ms] = deque((timer,))
            heapq.heappush(self._times, due_ms)
        else:
            due.append(timer)
        return timer

    def after(self, ms: int, callback: Callable[[*Ts], None], *args: *Ts) -> Timer:
        """Run `callback(*args)` `ms` milliseconds from now."""
        return self.at(self.now_ms + ms, callback, *args)

    def next_due_ms(self) -> int | None:
        """When the next callback is due; None when nothing is left to happen."""
        while self._times:
            due = self._due[self._times[0]]
            while due:
                if due[0].pending:
                    return self._times[0]
                due.popleft()
            del self._due[heapq.heappop(self._times)]
        return None

    def step(self) -> bool:
        """Move the clock to the next due callback and run it. False when there is none."""
        due_ms = self.next_due_ms()
        if due_ms is None:
            return False
        self.now_ms = due_ms
        self.steps += 1
        return self._due[due_ms].popleft().fire()

    def run_until(self, ms: int) -> None:
        """Run everything due up to and including `ms`; the clock then shows `ms` unless it was past it."""
        while (due_ms := self.next_due_ms()) is not None and due_ms <= ms:
            self.now_ms = due_ms
            due = self._due[due_ms]
            while due:
                self.steps += due.popleft().fire()
        self.now_ms = max(self.now_ms, ms)

    def run_while(self, condition: Callable[[], bool], limit_ms: int) -> bool:
        """Step as long as `condition()` holds and nothing is due after `limit_ms` (absolute).

        Returns:
            True when the condition ended; the clock shows that moment. False when it still held with nothing
            more due: the clock then shows `limit_ms`.
        """
        while condition():
            due_ms = self.next_due_ms()
            if due_ms is None or due_ms > limit_ms:
                self.now_ms = max(self.now_ms, limit_ms)
                return False
            self.step()
        return True

    def between(self, span_ms: tuple[int, int]) -> int:
        """Draw an integer of `span_ms`, both ends included; a span of one value draws nothing."""
        low, high = span_ms
        return low if low >= high else low + int(self.random.random() * (high - low + 1))


class Alarm:
    """One thing that is due at a time: to set it takes back what it was set for before."""

    __slots__ = ("_scheduler", "_timer")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._timer: Timer | None = None

    @property
    def pending(self) -> bool:
        """Whether it is set, and has neither run nor been stopped."""
        return self._timer is not None and self._timer.pending

    def set(self, after_ms: int, callback: Callable[[*Ts], None], *args: *Ts) -> None:
        """Run `callback(*args)` `after_ms` milliseconds from now, and nothing else."""
        self.stop()
        self._timer = self._scheduler.after(after_ms, callback, *args)

    def stop(self) -> None:
        """Take it back. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
