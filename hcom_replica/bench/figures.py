"""Figures: a number that was measured, beside its floor of the same run, against its target.

Owns how they are judged, printed and turned into JSON. A figure without a target is shown for orientation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

Sense = Literal["more", "less"]
"""Which way is better."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is held to.

    Attributes:
        limit: the least when more is better, the most when less is.
        of: whether the value or the ratio to the floor is held to it.
    """

    limit: float
    of: Literal["value", "ratio"] = "value"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        name: what was measured, lower case.
        value: how much, in `unit`.
        unit: of value and floor; `events/s`, `ms`, `bytes`, `MiB`.
        sense: which way is better.
        floor: the same thing done with as little as can be, in the same run; None when there is no such thing.
        floor_name: what that was.
        target: None for a number shown for orientation.
    """

    name: str
    value: float
    unit: str
    sense: Sense = "more"
    floor: float | None = None
    floor_name: str = ""
    target: Target | None = None

    @property
    def ratio(self) -> float | None:
        """Value to floor when more is better, or when less bytes are; floor to value for times. None without floor."""
        if not self.floor or not self.value:
            return None
        return self.floor / self.value if self.unit in _TIMES else self.value / self.floor

    @property
    def passed(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        judged = self.value if self.target.of == "value" else self.ratio
        if judged is None:
            return False
        ratio_of_time = self.target.of == "ratio" and self.unit in _TIMES
        more = self.sense == "more" or ratio_of_time
        return judged >= self.target.limit if more else judged <= self.target.limit

    def as_json(self) -> dict[str, Any]:
        """Everything, with its judgement."""
        return {
            "name": self.name,
            "value": round(self.value, 6),
            "unit": self.unit,
            "floor": None if self.floor is None else round(self.floor, 6),
            "floor_name": self.floor_name or None,
            "ratio": None if self.ratio is None else round(self.ratio, 4),
            "target": self._target_text() or None,
            "passed": self.passed,
        }

    def cells(self) -> tuple[str, ...]:
        """One row of the table."""
        floor = "" if self.floor is None else f"{_number(self.floor)} {self.floor_name}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        verdict = {None: "", True: "pass", False: "MISS"}[self.passed]
        return self.name, f"{_number(self.value)} {self.unit}", floor, ratio, self._target_text(), verdict

    def _target_text(self) -> str:
        if self.target is None:
            return ""
        more = self.sense == "more" or (self.target.of == "ratio" and self.unit in _TIMES)
        what = "ratio " if self.target.of == "ratio" else ""
        return f"{what}{'>=' if more else '<='} {_number(self.target.limit)}"


class Fallen(NamedTuple):
    """A ratio to the floor that is much worse than it was."""

    name: str
    before: float
    now: float

    def __str__(self) -> str:
        return f"{self.name}: {self.now:.2f} of its floor, {self.before:.2f} before"


def fallen(figures: Sequence[Figure], earlier: Sequence[Mapping[str, Any]], share: float) -> list[Fallen]:
    """Compare ratios, which say more of a program than of the machine it runs on, with those of an earlier run.

    Args:
        figures: of this run.
        earlier: `as_json` of another's; what only one of the two has is left out.
        share: how much of a ratio may be lost.
    """
    known = {_what(row): row for row in earlier}
    found = []
    for figure in figures:
        row = figure.as_json()
        now, before = row["ratio"], known.get(_what(row), {}).get("ratio")
        if now is None or before is None:
            continue
        bytes_grew = figure.sense == "less" and figure.unit not in _TIMES
        left = before / now if bytes_grew else now / before
        if left < 1 - share:
            found.append(Fallen(figure.name, before, now))
    return found


def _what(row: Mapping[str, Any]) -> tuple[str, str | None]:
    return str(row["name"]), row["floor_name"]


_TIMES: Final = frozenset({"us", "ms", "s"})
_HEAD: Final = ("figure", "value", "floor", "ratio", "target", "")


def table(figures: Sequence[Figure]) -> str:
    """Aligned columns, one figure a row."""
    rows = [_HEAD, *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _number(value: float) -> str:
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
