"""`python -m bench.page`: the page of measured figures, and its drawings, from bench/measured.json.

Owns docs/reference/performance.md and docs/images/bench, which nobody edits by hand: `make bench-docs` measures anew
and writes them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hcom_replica.bench.figures import number
from hcom_replica.bench.plot import drawn
from hcom_replica.bench.run import PARTS

ROOT: Final = Path(__file__).resolve().parents[1]
MEASURED: Final = ROOT / "bench" / "measured.json"
PAGE: Final = ROOT / "docs" / "reference" / "performance.md"
PICTURES: Final = ROOT / "docs" / "images" / "bench"

Row = Mapping[str, Any]

_HEAD: Final = """\
# Performance, measured

<!-- written by `make bench-docs` from bench/measured.json: do not edit -->

All figures are of one run, each beside its floor in the same run: the same done with as little as can be. Ratios say
more than numbers: your machine differs. What is measured and how: [benchmarks](../../bench/README.md). Why the figures
are what they are, and what stands in the way of targets that are missed: [performance](../explanation/performance.md).
`make bench-docs` measures anew and writes this page.

| measured on | |
|---|---|"""
_FULLER: Final = """\
## Beside fuller floors

The floors above leave out what makes events a log that others can trust, or what puts them on disk at both ends. These
do that, too, in plain loops, and nothing else. How far one stands from the floor above is how near to that anything can
come; the last column is ours beside it.

| what | measured | fuller floor, same run | that beside the floor above | ours beside it |
|---|---|---|---|---|"""
_PEERS: Final = """\
## Beside what else could be taken

In parentheses: how many times better ours is. The amounts differ; what each of them does not do is in
[benchmarks](../../bench/README.md#peers). Again with `hcom-replica bench --peers`.
"""


def main() -> int:
    """Write the page and its drawings."""
    run = json.loads(MEASURED.read_bytes())
    PAGE.write_text(page(run), encoding="utf-8")
    PICTURES.mkdir(exist_ok=True)
    for old in PICTURES.glob("*.svg"):
        old.unlink()
    for name, picture in drawn(run["figures"]).items():
        (PICTURES / name).write_text(picture, encoding="utf-8")
    return 0


def page(run: Mapping[str, Any]) -> str:
    """The page of a run, as Markdown."""
    rows = run["figures"]
    return "\n".join([*_head(run), *_targets(rows), *_fuller(rows), *_peers(rows, run["left_out"]), *_parts(rows)])


def _head(run: Mapping[str, Any]) -> Iterator[str]:
    yield _HEAD
    for name, value in run["machine"].items():
        yield f"| {name.replace('_', ' ')} | {_cell(value)} |"
    yield ""


def _targets(rows: Sequence[Row]) -> Iterator[str]:
    judged = [row for row in rows if row["passed"] is not None]
    met = sum(row["passed"] for row in judged)
    yield f"## Targets: {met} of {len(judged)} met\n"
    yield "Beside the floor: a ratio (of times the floor's to ours: 1 is as good), or how many times the floor.\n"
    yield "| what | measured | floor, same run | beside it | target | met | again with |\n|---|---|---|---|---|---|---|"
    for row in judged:
        met_text = "yes" if row["passed"] else "**no**"
        again = f"`hcom-replica bench {row['part']}`" + (" with `--peers`" if row["unit"] == "times" else "")
        yield (
            f"| {row['name'].strip()} | {_value(row)} | {_floor(row)} | {row['beside'] or ''} | {row['target']} | "
            f"{met_text} | {again} |"
        )
    yield ""


def _fuller(rows: Sequence[Row]) -> Iterator[str]:
    """Figures that are judged by one floor, beside those of their other floors that do more than it."""
    yield _FULLER
    judged = {row["name"]: row["floor"] for row in rows if row["passed"] is not None and row["floor"]}
    for row in rows:
        bare = judged.get(row["name"])
        if row["passed"] is None and row["floor"] and bare and (row["floor"] < bare) is (row["sense"] == "more"):
            yield (
                f"| {row['name'].strip()} | {_value(row)} | {_floor(row)} | {number(row['floor'] / bare)} times | "
                f"{row['beside']} |"
            )
    yield ""


def _peers(rows: Sequence[Row], left_out: Mapping[str, str]) -> Iterator[str]:
    theirs = [row for row in rows if row["who"]]
    names = list(dict.fromkeys(row["who"] for row in theirs))
    yield _PEERS
    if names:
        yield f"| | ours | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}"
    ours = {row["same"]: row for row in reversed(rows) if row["same"] and not row["who"]}
    for same in dict.fromkeys(row["same"] for row in rows if not row["who"]):
        beside = [row for row in theirs if row["same"] == same]
        if beside and same in ours:
            cells = (_their_cell(ours[same], [row for row in beside if row["who"] == name]) for name in names)
            yield f"| {same} | {_value(ours[same])} | {' | '.join(cells)} |"
    for name, what in left_out.items():
        yield f"\nNot measured: {name}, for lack of {what}."
    yield ""


def _their_cell(ours: Row, theirs: Sequence[Row]) -> str:
    if not theirs:
        return ""
    more = ours["sense"] == "more"
    times = ours["value"] / theirs[0]["value"] if more else theirs[0]["value"] / ours["value"]
    return f"{_value(theirs[0])} ({number(times)})"


def _parts(rows: Sequence[Row]) -> Iterator[str]:
    yield "## Each part\n"
    for part in dict.fromkeys(row["part"] for row in rows if row["part"] in PARTS):
        yield f"### {part}\n"
        yield f"{_says(part)}\n\n![bars of what {part} measures](../images/bench/{part}.svg)\n"


def _says(part: str) -> str:
    return (PARTS[part].__doc__ or "").strip().partition("\n\n")[0].replace("\n    ", " ")


def _value(row: Row) -> str:
    return f"{number(row['value'])} {row['unit']}"


def _floor(row: Row) -> str:
    return "" if row["floor"] is None else f"{number(row['floor'])}: {row['floor_name']}"


def _cell(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.exit(main())
