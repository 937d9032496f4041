"""The gate: whether ratios to the floors fell since an earlier run. Absolute times say too much of the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from hcom_replica.bench.figures import TIMES, Figure

MAY_FALL: Final = 0.3
"""How much of a ratio may be lost."""


class Fallen(NamedTuple):
    """A ratio to the floor that is much worse than it was; `part` measures it."""

    part: str
    name: str
    before: float
    now: float

    def __str__(self) -> str:
        return f"{self.name}: {self.now:.3g} of its floor, {self.before:.3g} before"


def fallen(figures: Sequence[Figure], earlier: Sequence[Mapping[str, Any]], share: float = MAY_FALL) -> list[Fallen]:
    """Compare ratios with those of an earlier run.

    Args:
        figures: of this run.
        earlier: `as_json` of another's, or of several: the worst counts. What only one of both has is left out.
        share: how much of a ratio may be lost.
    """
    found = []
    for figure in figures:
        now, what = figure.as_json()["ratio"], _what(figure.as_json())
        known = [row["ratio"] for row in earlier if row.get("ratio") and _what(row) == what]
        before = (max if _is_cost(figure) else min)(known, default=None)
        if now and before and _left(figure, before, now) < 1 - share:
            found.append(Fallen(figure.part, figure.name, before, now))
    return found


def _is_cost(figure: Figure) -> bool:
    """Whether its ratio grows when it gets worse: of bytes, which should be few, it does."""
    return figure.sense == "less" and figure.unit not in TIMES


def _left(figure: Figure, before: float, now: float) -> float:
    """What is left of a ratio, as a share."""
    return before / now if _is_cost(figure) else now / before


def best(first: Sequence[Figure], again: Sequence[Figure]) -> list[Figure]:
    """Of each figure that was measured twice, the one with the better ratio: another program may have disturbed one."""
    others = {_what(figure.as_json()): figure for figure in again}
    return [_better(figure, others.get(_what(figure.as_json()), figure)) for figure in first]


def _better(one: Figure, other: Figure) -> Figure:
    if one.ratio is None or other.ratio is None:
        return one
    return other if _left(one, one.ratio, other.ratio) > 1 else one


def _what(row: Mapping[str, Any]) -> tuple[str, str | None]:
    return str(row["name"]), row["floor_name"]
