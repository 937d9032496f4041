"""`python -m bench.ratios NOW.json ... --before BEFORE.json ...`: what pytest-benchmark measured, as ratios.

Each group has one part of ours or several, and one whose name ends in `_raw`: their floor. Exit code 1 when a ratio
fell by 30 % beside the runs before, of which the worst counts; of the runs now it is the best.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from hcom_replica.bench.figures import Figure, table
from hcom_replica.bench.gate import best, fallen

_RAW: Final = "_raw"
_MS: Final = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the ratios; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.ratios", description=__doc__)
    parser.add_argument("now", nargs="+", type=Path, help="what --benchmark-json wrote")
    parser.add_argument("--before", nargs="*", type=Path, default=[], help="the same, of another commit")
    given = parser.parse_args(arguments)
    now = reduce(best, map(_read, given.now))
    print(table(now))
    worse = fallen(now, [figure.as_json() for path in given.before for figure in _read(path)])
    for one in worse:
        print(f"fallen: {one}", file=sys.stderr)
    return 1 if worse else 0


def _read(path: Path) -> list[Figure]:
    return list(figures(json.loads(path.read_bytes())["benchmarks"]))


def figures(benchmarks: Iterable[Mapping[str, Any]]) -> Iterator[Figure]:
    """The median round of each of ours beside that of its floor; groups without a floor are left out."""
    in_order = sorted(benchmarks, key=lambda one: (one["group"] or "", one["name"]))
    for group, some in groupby(in_order, key=lambda one: one["group"] or ""):
        times = {one["name"]: one["stats"]["median"] * _MS for one in some}
        floors = [name for name in times if name.endswith(_RAW)]
        for name, value in times.items():
            if floors and name not in floors:
                yield Figure(f"{name}: {group}", value, "ms", "less", floor=times[floors[0]], floor_name=floors[0])


if __name__ == "__main__":
    sys.exit(main())
