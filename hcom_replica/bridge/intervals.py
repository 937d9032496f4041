"""Sets of whole numbers, kept as runs: which rows of a database are in the log. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

RUNS_MAX: Final = 1_024

_encode = msgspec.msgpack.encode


class Intervals:
    """A set of numbers from 1, in runs.

    Args:
        data: what `encode` gave; None is the empty set.
    """

    def __init__(self, data: bytes | None = None) -> None:
        self._runs: list[tuple[int, int]] = msgspec.msgpack.decode(data, type=list[tuple[int, int]]) if data else []

    def encode(self) -> bytes:
        """Bytes of it."""
        return _encode(self._runs)

    @property
    def last(self) -> int:
        """The greatest number; 0 when there is none."""
        return self._runs[-1][1] if self._runs else 0

    def reach(self, base: int) -> int:
        """The last number of the run that goes on behind `base`; `base` when none does."""
        return next((high for low, high in self._runs if low <= base < high), base)

    def next_low(self, number: int) -> int | None:
        """Where the next run begins above a number; None when there is none."""
        return next((low for low, _ in self._runs if low > number), None)

    def __contains__(self, number: int) -> bool:
        return any(low < number <= high for low, high in reversed(self._runs))

    def add(self, low: int, high: int) -> None:
        """Add the numbers above `low` up to `high`; none when that is no run."""
        if high <= low:
            return
        kept = [run for run in self._runs if run[1] < low or run[0] > high]
        joined = [run for run in self._runs if not (run[1] < low or run[0] > high)]
        low = min([low, *(run[0] for run in joined)])
        high = max([high, *(run[1] for run in joined)])
        self._runs = sorted([*kept, (low, high)])
        if len(self._runs) > RUNS_MAX:  # only somebody who lies has so many: what he wrote between is lost to hcom
            self._runs[:2] = [(self._runs[0][0], self._runs[1][1])]
