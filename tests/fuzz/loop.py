"""The mutation loop: inputs in chunks, each repeatable from its seed, target and number alone.

Judges each input: nothing is raised but the target's own errors, and of one in so many the memory that it takes at
once. Chunks are independent, so they are shared between processes in any order.
"""

from __future__ import annotations

import faulthandler
import resource
import sys
import traceback
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tests.fuzz.target import Run, Target
from tests.fuzz.targets import TARGETS, target

CHUNK: Final = 1_000
MEASURE_EVERY: Final = 97
"""Of one input in so many the memory is measured, which takes long; a prime, so that no kind of seed is left out."""

RSS_GROWTH_BYTES_MAX: Final = 256 << 20
"""What a process may take beyond what it took at first: libraries allocate where nothing can be traced."""

_HANG_S: Final = 300
_KEPT: Final = 20


@dataclass(slots=True)
class Outcome:
    """What some inputs did.

    Attributes:
        inputs: how many.
        refused: how many were refused, by target.
        ran: how many there were, by target.
        peak_bytes: the most memory that a measured one took at once, by target.
        failures: what was wrong, and how to see it again.
    """

    inputs: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    ran: Counter[str] = field(default_factory=Counter)
    peak_bytes: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Take over what others did."""
        self.inputs += other.inputs
        self.refused.update(other.refused)
        self.ran.update(other.ran)
        for name, peak in other.peak_bytes.items():
            self.peak_bytes[name] = max(peak, self.peak_bytes.get(name, 0))
        self.failures += other.failures[: max(0, _KEPT - len(self.failures))]


def chunks(count: int, only: str | None = None) -> list[tuple[str, int, int]]:
    """(target, number, inputs) of so many inputs over all targets, by their weights, or over one."""
    chosen = [one for one in TARGETS if only in (None, one.name)]
    total = sum(one.weight for one in chosen)
    found = []
    for one in chosen:
        left, number = -(-count * one.weight // total), 0
        while left > 0:
            found.append((one.name, number, min(CHUNK, left)))
            left, number = left - CHUNK, number + 1
    return sorted(found, key=lambda chunk: chunk[1])


def run_chunk(seed: int, name: str, number: int, inputs: int) -> Outcome:
    """Run one chunk. What a bug does is caught and told, not raised."""
    one = target(name)
    rng, run, outcome = Random(f"{seed}/{name}/{number}"), one.make(), Outcome()
    faulthandler.dump_traceback_later(_HANG_S, exit=True)
    try:
        for at in range(inputs):
            data = one.draw(rng)
            problem = _judged(one, run, data, outcome, measured=at % MEASURE_EVERY == number % MEASURE_EVERY)
            if problem:
                again = f"--seed {seed} --target {name!r} --chunk {number}, input {at}: {data[:200].hex()}"
                outcome.failures.append(f"{name}: {problem}\n  {again}")
                run = one.make()
    finally:
        faulthandler.cancel_dump_traceback_later()
    outcome.inputs = outcome.ran[name] = inputs
    return outcome


def _judged(one: Target, run: Run, data: bytes, outcome: Outcome, *, measured: bool) -> str:
    """Run one input; say what is wrong with what it did."""
    if measured:
        tracemalloc.start()
    try:
        run(data)
    except one.errors:
        outcome.refused[one.name] += 1
    except Exception as error:  # noqa: BLE001 - whatever else is raised is what is looked for
        return _place(error)
    finally:
        peak = _peak() if measured else 0
    outcome.peak_bytes[one.name] = max(peak, outcome.peak_bytes.get(one.name, 0))
    if peak > one.may_peak_bytes(data):
        return f"{peak:,} bytes of memory for {len(data):,} bytes"
    return ""


def _peak() -> int:
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def _place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"


def rss_bytes() -> int:
    """The most memory that this process has had."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
