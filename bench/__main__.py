"""`python -m bench [--quick] [--json] [--dir DIR] [NAME ...]`: measure, print each figure beside its floor, judge it.

Exit code 0 when every figure that has a target meets it, 1 when one misses it, 2 on a wrong argument. With `--quick`
amounts are tiny and nothing is judged: it only shows that everything works and that results are right.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import Final

from bench import journeys, machine, parts, trickle
from bench.corpus import Corpus, load
from bench.figures import Figure, table
from bench.parts import FULL, QUICK, Scale
from hcom_replica.errors import ReplicaError

Part = Callable[[Corpus, Path, Scale], list[Figure]]

PARTS: Final[dict[str, Part]] = {
    "append-many": parts.append_many,
    "append-one": parts.append_one,
    "ingest": parts.ingest,
    "scan": parts.scan,
    "codec": parts.codec,
    "catch-up": journeys.catch_up,
    "live": journeys.live,
    "wire": journeys.wire,
    "trickle": trickle.trickle,
    "talk": trickle.talk,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for; return the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    scale, corpus, begin = QUICK if given.quick else FULL, load(), time.monotonic()
    figures: list[Figure] = []
    try:
        with machine.scratch(Path(given.dir), memory=given.quick) as folder:
            about = {**machine.facts(folder), "corpus": corpus.name, "quick": given.quick}
            if not given.json:
                _print_facts(about)
            for name in given.names or PARTS:
                made = PARTS[name](corpus, folder, scale)
                made = [replace(figure, target=None) for figure in made] if given.quick else made
                figures += made
                if not given.json:
                    print(f"\n{table(made)}", flush=True)
    except ReplicaError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        print(f"error[{error.kind}]: {error.message}{hint}", file=sys.stderr)
        return error.exit_code
    if given.json:
        print(json.dumps({"machine": about, "figures": [figure.as_json() for figure in figures]}, indent=2))
    return _verdict(figures, given, time.monotonic() - begin)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure hcom-replica beside its floors.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PARTS)}; none is all of them")
    parser.add_argument("--quick", action="store_true", help="tiny amounts, nothing judged: does it work?")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument(
        "--dir", default=gettempdir(), help="a folder on a disk; the default is the system's for temporary files"
    )
    return parser


def _print_facts(about: dict[str, object]) -> None:
    width = max(map(len, about))
    for name, value in about.items():
        print(f"{name.ljust(width)}  {value}")


def _verdict(figures: Sequence[Figure], given: argparse.Namespace, taken_s: float) -> int:
    missed = [figure.name for figure in figures if figure.passed is False]
    judged = sum(figure.passed is not None for figure in figures)
    if not given.json:
        summary = "quick: nothing is judged" if given.quick else f"{judged - len(missed)} of {judged} targets met"
        print(f"\n{summary}; {taken_s:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
