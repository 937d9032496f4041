"""Figures: a number that was measured, beside its floor of the same run, against its targets.

Owns how they are judged, printed and turned into JSON. A figure without a target is shown for orientation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

Sense = Literal["more", "less"]
"""Which way is better."""

Curve = tuple[tuple[float, float], ...]
"""A number over time: (seconds, value), ascending in time."""

TIMES: Final = frozenset({"us", "ms", "s"})
"""Units of time."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is held to.

    Attributes:
        limit: the least when more is better, the most when less is.
        of: what is held to it: the value; its ratio to the floor, see `Figure.ratio`; or, of a time, how many times
            the floor it is.
    """

    limit: float
    of: Literal["value", "ratio", "times"] = "value"


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
        targets: none for a number shown for orientation.
        part: of the bench, that measured it.
        same: names what can be compared with a peer's figure of the same name here; empty for what cannot.
        who: the peer whose figure it is; empty for ours.
        curve: the number over time, where that says more than one number.
    """

    name: str
    value: float
    unit: str
    sense: Sense = "more"
    floor: float | None = None
    floor_name: str = ""
    targets: tuple[Target, ...] = ()
    part: str = ""
    same: str = ""
    who: str = ""
    curve: Curve = ()

    @property
    def ratio(self) -> float | None:
        """Value to floor when more is better, or when less bytes are; floor to value for times. None without floor."""
        if not self.floor or not self.value:
            return None
        return self.floor / self.value if self.unit in TIMES else self.value / self.floor

    @property
    def passed(self) -> bool | None:
        """Whether all targets are met; None without one."""
        return all(self._meets(target) for target in self.targets) if self.targets else None

    def _meets(self, target: Target) -> bool:
        judged = {"value": self.value, "ratio": self.ratio, "times": self._times}[target.of]
        if judged is None:
            return False
        return judged >= target.limit if self._wants_more(target) else judged <= target.limit

    def _wants_more(self, target: Target) -> bool:
        ratio_of_time = target.of == "ratio" and self.unit in TIMES
        return ratio_of_time or (self.sense == "more" and target.of != "times")

    @property
    def _times(self) -> float | None:
        return self.value / self.floor if self.floor else None

    @property
    def limit(self) -> float | None:
        """The value at which the strictest target is just met; None without one."""
        limits = [self._limit(target) for target in self.targets if target.of == "value" or self.floor]
        strictest = max if self.sense == "more" else min
        return strictest(limits) if limits else None

    def _limit(self, target: Target) -> float:
        if target.of == "value":
            return target.limit
        share = 1 / target.limit if target.of == "ratio" and self.unit in TIMES else target.limit
        return (self.floor or 0.0) * share

    def as_json(self) -> dict[str, Any]:
        """Everything, with its judgement."""
        return {
            "part": self.part,
            "name": self.name,
            "value": round(self.value, 6),
            "unit": self.unit,
            "sense": self.sense,
            "floor": None if self.floor is None else round(self.floor, 6),
            "floor_name": self.floor_name or None,
            "ratio": None if self.ratio is None else round(self.ratio, 6),
            "beside": self.beside() or None,
            "target": self._target_text() or None,
            "limit": None if self.limit is None else round(self.limit, 6),
            "passed": self.passed,
            "same": self.same or None,
            "who": self.who or None,
            "curve": [[round(at, 3), round(value, 3)] for at, value in self.curve],
        }

    def cells(self) -> tuple[str, ...]:
        """One row of the table."""
        floor = "" if self.floor is None else f"{number(self.floor)} {self.floor_name}"
        verdict = {None: "", True: "pass", False: "MISS"}[self.passed]
        return self.name, f"{number(self.value)} {self.unit}", floor, self.beside(), self._target_text(), verdict

    def beside(self) -> str:
        """How it stands to its floor: a ratio, or how many times the floor where that is what it is held to."""
        if self.ratio is None:
            return ""
        in_times = any(target.of == "times" for target in self.targets)
        if in_times and self.floor:
            return f"{self.value / self.floor:.2f} times"
        return f"{self.ratio:.2f}" if self.ratio >= _SMALL else f"{self.ratio:.2g}"

    def _target_text(self) -> str:
        return ", ".join(self._one_target(target) for target in self.targets)

    def _one_target(self, target: Target) -> str:
        text = f"{'>=' if self._wants_more(target) else '<='} {number(target.limit)}"
        return {"value": text, "ratio": f"ratio {text}", "times": f"{text} times"}[target.of]


_SMALL: Final = 0.1
_HEAD: Final = ("figure", "value", "floor", "ratio", "target", "")


def table(figures: Sequence[Figure]) -> str:
    """Aligned columns, one figure a row."""
    rows = [_HEAD, *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def number(value: float) -> str:
    """Three digits, or all before the point."""
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
