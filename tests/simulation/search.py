"""Search for a seed that breaks the promise: `python -m tests.simulation.search --count 100000` runs short schedules.

Prints what was done and suffered, and each seed that failed; exit status 1 when one did. Only schedules of at least 200
steps in which at least three kinds of faults struck are counted. Killed, it says how far it came.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import Final

from hcom_replica.testing.checkers import Violation
from hcom_replica.testing.epochschedule import EpochSchedule
from hcom_replica.testing.faults import Kind
from hcom_replica.testing.forgingschedule import ForgingSchedule
from hcom_replica.testing.schedule import ACTS, Schedule
from hcom_replica.testing.shared import shared_checks
from hcom_replica.testing.stableschedule import StableSchedule

STEPS_MIN: Final = 200
KINDS_MIN: Final = 3
_CHUNK: Final = 25
_TELL_EVERY_S: Final = 60


@dataclass(slots=True)
class Found:
    """What some schedules did.

    Attributes:
        runs: how many were run.
        counted: those that were long and bad enough.
        steps: of all.
        happened: how often each act was done and each fault struck.
        failed: seed -> what was wrong.
    """

    runs: int = 0
    counted: int = 0
    steps: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)

    def add(self, other: Found) -> None:
        """Take over what others found."""
        self.runs += other.runs
        self.counted += other.counted
        self.steps += other.steps
        self.happened.update(other.happened)
        self.failed.update(other.failed)

    def unseen(self) -> list[str]:
        """Acts and faults that never happened."""
        everything = {*ACTS, *(kind.value for kind in Kind), "full", "before-commit", "after-commit"}
        return sorted(everything - self.happened.keys())


KINDS: Final[dict[str, Callable[[int], Schedule]]] = {
    "short": Schedule.short,
    "full": Schedule,
    "redact": Schedule.redacting,
    "epoch": EpochSchedule.brief,
    "stable": StableSchedule.brief,
    "forge": ForgingSchedule.brief,
}


def search(seeds: Iterable[int], *, kind: str = "short") -> Found:
    """Run the schedules of some seeds, of one of KINDS."""
    found = Found()
    with shared_checks():
        for seed in seeds:
            found.runs += 1
            try:
                outcome = KINDS[kind](seed).run()
            except Violation as violation:
                found.failed[seed] = str(violation)
                continue
            except Exception as error:  # noqa: BLE001 - a crash of the machine is a finding like others
                found.failed[seed] = repr(error)
                continue
            found.counted += outcome.steps >= STEPS_MIN and len(outcome.fault_kinds) >= KINDS_MIN
            found.steps += outcome.steps
            found.happened.update(outcome.acts)
            found.happened.update(outcome.faults)
    return found


def main(arguments: list[str]) -> int:
    """Run a search; 1 when a schedule failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.search", description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=2_000, help="how many seeds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument(
        "--full",
        action="store_const",
        const="full",
        dest="kind",
        help="full schedules: up to six devices, four minutes",
    )
    parser.add_argument(
        "--redact", action="store_const", const="redact", dest="kind", help="schedules in which events are redacted"
    )
    parser.add_argument(
        "--epochs",
        action="store_const",
        const="epoch",
        dest="kind",
        help="schedules in which devices are revoked and the key is changed",
    )
    parser.add_argument(
        "--stable",
        action="store_const",
        const="stable",
        dest="kind",
        help="schedules in which devices are retired, and read the stable stream",
    )
    parser.add_argument(
        "--forgers",
        action="store_const",
        const="forge",
        dest="kind",
        help="schedules with a member who lies and an outsider who writes to any topic",
    )
    parser.set_defaults(kind="short")
    options = parser.parse_args(arguments)
    last = options.first + options.count
    chunks = [range(low, min(low + _CHUNK, last)) for low in range(options.first, last, _CHUNK)]
    found, began_s, told_s = Found(), time.monotonic(), 0.0
    with get_context("spawn").Pool(options.jobs) as pool:
        for part in pool.imap_unordered(partial(search, kind=options.kind), chunks):
            found.add(part)
            for seed, why in part.failed.items():
                _say(f"FAILED seed {seed}: {why}")
            if time.monotonic() - told_s > _TELL_EVERY_S:
                told_s = time.monotonic()
                _say(_summary(found, told_s - began_s))
    _say(_summary(found, time.monotonic() - began_s))
    _say(" ".join(f"{name}={times:,}" for name, times in found.happened.most_common()))
    if found.unseen():
        _say(f"never happened: {', '.join(found.unseen())}")
    return 1 if found.failed else 0


def _summary(found: Found, took_s: float) -> str:
    return (
        f"{found.runs:,} schedules, {found.counted:,} of them with {STEPS_MIN} steps and {KINDS_MIN} kinds of faults, "
        f"{found.steps:,} steps, {len(found.failed)} failed; {took_s:.0f} s"
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
