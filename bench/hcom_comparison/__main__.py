"""`python -m bench.hcom_comparison [--quick] [--json] [CASE ...]`: both sides, one table.

Exit code 0 when every case ran and hcom with hcom-replica lost nothing, 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.hcom_comparison.cases import CASES, FULL, QUICK, Case, Outcome, Scale
from bench.hcom_comparison.sides import Alone, Bridged, Side
from hcom_replica.bench import machine
from hcom_replica.testing.real.brokers import MosquittoBroker, mosquitto_path
from hcom_replica.testing.real.hcom import hcom_path

SIDES: tuple[type[Side], ...] = (Alone, Bridged)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.hcom_comparison", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; none is all of them")
    parser.add_argument("--quick", action="store_true", help="small amounts: does it work?")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    given = parser.parse_args(arguments)
    if mosquitto_path() is None or hcom_path() is None:
        parser.error("mosquitto and hcom must be installed")
    scale = QUICK if given.quick else FULL
    rows: list[dict[str, Any]] = []
    if not given.json:
        print(f"| case | {' | '.join(side.title for side in SIDES)} |\n|---|---|---|", flush=True)
    for name in given.cases or CASES:
        title, case = CASES[name]
        outcomes = [_run(side, case, scale) for side in SIDES]
        row = {"case": name, "title": title.format(many=scale.many, few=scale.few)}
        rows.append({**row, **{side.title: one.numbers for side, one in zip(SIDES, outcomes, strict=True)}})
        if not given.json:
            print(f"| {row['title']} | {' | '.join(one.text for one in outcomes)} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        facts = machine.facts(Path(folder))
    if given.json:
        print(json.dumps({"machine": facts, "cases": rows}, indent=2))
    return int(any("failed" in row[Bridged.title] or _lost(row[Bridged.title]) for row in rows))


def _run(side: type[Side], case: Case, scale: Scale) -> Outcome:
    """Play a case on one side, in folders and on a broker of its own."""
    with tempfile.TemporaryDirectory(prefix="hc-") as folder:
        place = Path(folder)
        with MosquittoBroker(place / "broker") as broker:
            played = side(place, broker)
            try:
                begin = time.monotonic()
                outcome = case(played, scale)
                print(f"{side.title}: {outcome.text} ({time.monotonic() - begin:.0f} s)", file=sys.stderr, flush=True)
                return outcome
            except AssertionError as error:
                traceback.print_exc()
                return Outcome(f"failed: {str(error).partition(chr(10))[0]}", {"failed": str(error)[:500]})
            finally:
                played.close()


def _lost(numbers: dict[str, Any]) -> bool:
    return numbers.get("got") != numbers.get("of") or bool(numbers.get("deleted")) or bool(numbers.get("order_breaks"))


if __name__ == "__main__":
    sys.exit(main())
