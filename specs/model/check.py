#!/usr/bin/env python3
"""Check the protocol's models with spin, and that every deliberate fault in them is found.

Owns how the models are built, run and judged; which sizes are checked is in `cases.toml`. Needs spin and a C
compiler, and nothing else. Every search is exhaustive at its size: one that was cut short (memory, depth) is a
failure, not a pass.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from enum import Enum
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
MEMORY_MB = 6_000
DEPTH_MAX = 2_000_000
TRAIL_LINES = 60


class Mode(Enum):
    """What a search looks for."""

    SAFETY = "safety"
    """Assertions, in every reachable state."""
    LIVENESS = "liveness"
    """The model's LTL property, under weak fairness; and its assertions."""


BUILD = {
    Mode.SAFETY: ["-DSAFETY", "-DNOCLAIM"],
    Mode.LIVENESS: ["-DNFAIR=3"],
}
RUN = {Mode.SAFETY: [], Mode.LIVENESS: ["-a", "-f"]}


class Failure(Exception):
    """The models cannot be checked; the message says why."""


class Case(NamedTuple):
    """One model at one size.

    Attributes:
        name: for people.
        model: the file, without `.pml`.
        mode: what the search looks for.
        defines: the size, as macros; for a mutant with its switch.
        quick: part of the quick run.
        mutant: a fault was put in on purpose, and has to be found.
    """

    name: str
    model: str
    mode: Mode
    defines: tuple[str, ...]
    quick: bool
    mutant: bool


class Verdict(NamedTuple):
    """What one search found.

    Attributes:
        found: "" when nothing is wrong, else "assertion", "cycle" or "unfinished".
        states: distinct states stored.
        depth: longest path searched, in steps.
        seconds: processor time of the search.
        trail: the last lines of the run that shows the fault.
    """

    found: str
    states: int
    depth: int
    seconds: float
    trail: str


def cases() -> list[Case]:
    """Read `cases.toml`: the checks, then the mutants."""
    table = tomllib.loads((HERE / "cases.toml").read_text())
    checks = [
        Case(c["name"], c["model"], Mode(c["mode"]), tuple(c["defines"]), c.get("quick", False), mutant=False)
        for c in table["check"]
    ]
    mutants = [
        Case(
            f"{m['model']} {m['switch']}",
            m["model"],
            Mode(m["mode"]),
            (*m["defines"], m["switch"]),
            m.get("quick", False),
            mutant=True,
        )
        for m in table["mutant"]
    ]
    return checks + mutants


def search(case: Case, folder: Path) -> Verdict:
    """Build a model and search all its states, in an empty folder.

    Raises:
        Failure: it does not build, or the search says something that is not understood.
    """
    for source in HERE.glob("*.pml"):
        shutil.copy(source, folder)
    flags = [f"-D{name}" for name in case.defines]
    said = _run(["spin", *flags, "-a", f"{case.model}.pml"], folder)
    if not (folder / "pan.c").exists():
        raise Failure(f"{case.name}: spin made no verifier\n{said}")
    effort = "-O1" if case.quick or case.mutant else "-O2"  # a small search is over before -O2 is
    _run(["cc", "-w", effort, "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MB}", *BUILD[case.mode], "-o", "pan", "pan.c"], folder)
    before = _children_seconds()
    report = _run(["./pan", f"-m{DEPTH_MAX}", "-w25", *RUN[case.mode]], folder)
    seconds = _children_seconds() - before
    trail = ""
    if (folder / f"{case.model}.pml.trail").exists():
        shown = _run(["spin", *flags, "-t", "-p", "-g", f"{case.model}.pml"], folder)
        trail = "\n".join(shown.splitlines()[-TRAIL_LINES:])
    return judge(report, seconds, trail)


def judge(report: str, seconds: float = 0.0, trail: str = "") -> Verdict:
    """Read a verifier's report.

    Raises:
        Failure: it is not one.
    """
    errors = re.search(r"errors: (\d+)", report)
    states = re.search(r"([0-9.e+]+) states, stored", report)
    depth = re.search(r"depth reached (\d+)", report)
    if errors is None or states is None or depth is None:
        raise Failure(f"not a report of a search:\n{report[-2000:]}")
    return Verdict(_found(report, int(errors[1])), int(float(states[1])), int(depth[1]), seconds, trail)


def _found(report: str, errors: int) -> str:
    if "assertion violated" in report:
        return "assertion"
    if "acceptance cycle" in report:
        return "cycle"
    cut_short = "Search not completed" in report or "max search depth too small" in report
    return "unfinished" if errors or cut_short else ""


def _children_seconds() -> float:
    """Processor time of all children that have ended: a busy machine makes no search look larger."""
    times = os.times()
    return times.children_user + times.children_system


def _run(command: list[str], folder: Path) -> str:
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode and command[0] == "cc":
        raise Failure(result.stderr)
    return result.stdout + result.stderr


def passes(case: Case) -> bool:
    """Run one case and print its line: True when a check holds, or a mutant is found for what it is."""
    with tempfile.TemporaryDirectory() as folder:
        verdict = search(case, Path(folder))
    expected = ("assertion" if case.mode is Mode.SAFETY else "cycle") if case.mutant else ""
    passed = verdict.found == expected
    word = {"": "holds"}.get(verdict.found, verdict.found)
    _say(f"{'' if passed else 'FAILED '}{case.name:<52} {_figures(verdict)}  {word}")
    if not passed:
        _say(verdict.trail)
    return passed


def _figures(verdict: Verdict) -> str:
    return f"{verdict.states:>10,} states  depth {verdict.depth:>6,}  {verdict.seconds:>6.1f} s"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Run what is asked for; 0 when every check holds and every mutant is caught, 1 when not, 2 without spin."""
    parser = argparse.ArgumentParser(description="Check the protocol's models.")
    parser.add_argument("--quick", action="store_true", help="the small sizes and mutants: under a minute")
    parser.add_argument("--only", default="", metavar="TEXT", help="only checks and mutants whose name contains TEXT")
    options = parser.parse_args(arguments)
    missing = [name for name in ("spin", "cc") if shutil.which(name) is None]
    if missing:
        sys.stderr.write(f"not found: {', '.join(missing)}\nhint: on Debian, apt install spin gcc\n")
        return 2
    os.nice(10)
    chosen = [case for case in cases() if (case.quick or not options.quick) and options.only in case.name]
    failed = [case.name for case in chosen if not passes(case)]
    mutants = sum(case.mutant for case in chosen)
    _say(f"{len(chosen) - mutants} checks, {mutants} mutants, {len(failed)} failed")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as failure:
        sys.exit(str(failure))
