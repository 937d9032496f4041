"""Random groups of which no two devices are ever online together, after one meeting: all goes through mailboxes (L2).

Rings are as small as they can be, disks are restored, and words are kept for a copy that never comes back only as long
as a lease of 20 minutes.
"""

from __future__ import annotations

import random
from typing import Final

from hcom_replica.core.settings import Settings
from hcom_replica.testing.checkers import Violation
from hcom_replica.testing.stage import Stage
from hcom_replica.wire.event import Draft

LEASE_MS: Final = 20 * 60_000
_VISIT_MS: Final = 90_000
_APART_MS: Final = 6_000
_ROUNDS_MAX: Final = 40


class Turns:
    """One run; equal seeds give equal runs.

    Args:
        seed: its name.
    """

    def __init__(self, seed: int) -> None:
        rng = self._rng = random.Random(seed)
        self._seed = seed
        self.stage = Stage(seed, settings=Settings(mailbox_slots=4, lease_ms=LEASE_MS))
        self._names = ["A", "B", "C"][: rng.choice((2, 2, 3))]
        for name in self._names:
            self.stage.join(name)
        self._past = {name: self.stage.snapshot(name) for name in self._names}

    def run(self) -> int:
        """Run it; return how many rounds of visits it took in the end until all had all.

        Raises:
            Violation: an invariant was broken; L2 when 40 rounds were not enough.
        """
        self._meet()
        for _ in range(self._rng.randint(4, 10)):
            self._visit(self._rng.choice(self._names))
        for number in range(_ROUNDS_MAX):
            for name in self._names:
                self._come_and_go(name, _VISIT_MS)
            if not any(map(self.stage.checkers.lacking, self._names)):
                self.stage.check_logs()
                return number
        lacking = {name: self.stage.checkers.lacking(name) for name in self._names}
        raise Violation("L2", f"turns {self._seed}: after {_ROUNDS_MAX} rounds they lack {lacking}")

    def _meet(self) -> None:
        """Come to know each other, and keep copies of disks as they were then."""
        for name in self._names:
            self.stage[name].start()
        self.stage.run(5_000)
        for name in self._names:
            self._append(name)
        self.stage.run_until_converged()
        for name in self._names:
            self.stage[name].stop()
        self.stage.run(_APART_MS)
        self._past = {name: self.stage.snapshot(name) for name in self._names}

    def _visit(self, name: str) -> None:
        """Perhaps be restored, write before or after coming, and go."""
        rng, stage = self._rng, self.stage
        if rng.random() < 0.25:
            stage.put_back(name, self._past[name])
        if rng.random() < 0.2:
            self._past[name] = stage.snapshot(name)
        if rng.random() < 0.35:
            self._append(name)
        stage[name].start()
        stage.run(rng.choice((20_000, 60_000)))
        if rng.random() < 0.6:
            self._append(name)
        stage.run(5_000)
        stage[name].stop()
        stage.run(_APART_MS)

    def _come_and_go(self, name: str, visit_ms: int) -> None:
        self.stage[name].start()
        self.stage.run(visit_ms)
        self.stage[name].stop()
        self.stage.run(_APART_MS)

    def _append(self, name: str) -> None:
        rng = self._rng
        size = rng.choice((20, 300))
        events = rng.choice((1, 3, 30, 300))
        self.stage.append(name, [Draft("t", None, None, rng.randbytes(size)) for _ in range(events)])
