"""`python -m tests.fuzz.run --count 1000000` (`make fuzz COUNT=...`): hostile bytes for every decoder.

Runs on all processors. Prints what each target did and every failure, with what repeats it; exit status 1 when there
was one. Killed, it has said each minute how far it came.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context
from typing import Final

from tests.fuzz.loop import RSS_GROWTH_BYTES_MAX, Outcome, chunks, rss_bytes, run_chunk
from tests.fuzz.targets import TARGETS

_TELL_EVERY_S: Final = 60
_WARM_UP: Final = 40
"""Chunks after which a process has taken what it needs at all: all targets have been loaded and run once."""


class _Worker:
    """One process: its memory when it was warm."""

    chunks = 0
    warm_bytes = 0


def _run(job: tuple[int, str, int, int]) -> Outcome:
    outcome = run_chunk(*job)
    _Worker.chunks += 1
    if _Worker.chunks <= _WARM_UP:
        _Worker.warm_bytes = rss_bytes()
    elif rss_bytes() > _Worker.warm_bytes + RSS_GROWTH_BYTES_MAX:
        outcome.failures.append(f"{job[1]}: the process has grown to {rss_bytes():,} bytes (chunk {job[2]})")
        _Worker.warm_bytes = rss_bytes()
    return outcome


def _outcomes(jobs: list[tuple[int, str, int, int]], processes: int) -> Iterator[Outcome]:
    if processes == 1:
        yield from map(_run, jobs)
        return
    with get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(_run, jobs)


def _show(outcome: Outcome, started: float) -> None:
    for one in TARGETS:
        ran = outcome.ran[one.name]
        if ran:
            peak = outcome.peak_bytes.get(one.name, 0)
            refused = outcome.refused[one.name] / ran
            sys.stdout.write(f"{one.name:45} {ran:>10,} inputs, {refused:4.0%} refused, at most {peak:>10,} bytes\n")
    taken_s = time.monotonic() - started
    sys.stdout.write(f"{outcome.inputs:,} inputs in {taken_s:,.0f} s, {len(outcome.failures)} failures\n")


def main(arguments: list[str]) -> int:
    """Fuzz; see above."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description="hostile bytes for every decoder")
    parser.add_argument("--count", type=int, default=200_000, help="inputs, over all targets")
    parser.add_argument("--seed", type=int, default=1, help="equal seeds give equal inputs")
    parser.add_argument("--target", choices=[one.name for one in TARGETS], help="only this one")
    parser.add_argument("--chunk", type=int, help="only this chunk of the target: repeats a failure")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    plan = chunks(given.count, given.target)
    if given.chunk is not None:
        plan = [(given.target, given.chunk, 1_000)]
    total, started, told = Outcome(), time.monotonic(), time.monotonic()
    for outcome in _outcomes([(given.seed, *chunk) for chunk in plan], given.processes):
        total.add(outcome)
        for failure in outcome.failures[:3]:
            sys.stdout.write(f"FAILED {failure}\n")
        if time.monotonic() - told >= _TELL_EVERY_S:
            told = time.monotonic()
            sys.stdout.write(f"{total.inputs:,} inputs in {told - started:,.0f} s, {len(total.failures)} failures\n")
            sys.stdout.flush()
    _show(total, started)
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
