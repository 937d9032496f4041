"""What the mailbox ring is to hold next, given what it holds and who lacks what (protocol-v1 P8.3, P8.4).

Decides; never packs, seals or sends anything. The rules of one step are in `ring`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from hcom_replica.core.demand import Demand
from hcom_replica.core.ring import Need, RingRun, Step, covered, extend, serve, split
from hcom_replica.ids import OriginId
from hcom_replica.limits import KIB

_SLOT_RAW_BYTES: Final = 64 * KIB
"""What a slot is taken to hold before any has been written: a cautious guess."""


class RingPlan:
    """One planning: ask for the `next` step, put it into the ring, and so on until there is none.

    Args:
        demand: who lacks what.
        slots: how many the ring has.
        unfit: origin -> seqs (first, last) of what fits in no ring: left out, and of the own origin all behind.
            It may change while planning.

    Attributes:
        merging: take small runs before the new one into it. What does not compress may not fit then; whoever finds
            that sets this to False, and the run is written behind the others.
        reserved: slots of runs that new ones take in, not to be overwritten before those are there (P8.1).
    """

    def __init__(self, demand: Demand, slots: int, unfit: Mapping[OriginId, tuple[int, int]]) -> None:
        self._demand = demand
        self._slots = slots
        self._half = slots // 2
        self._unfit = unfit
        self.merging = True
        self.reserved: set[int] = set()

    def next(self, runs: list[RingRun]) -> Step | None:
        """The next run to write into a ring that holds `runs`; None when it is as good as it gets."""
        demand = self._demand
        serving, newest = split(runs, demand.own.id, demand.low, self._half)
        standing = [run for run in runs if run.origin != demand.own.id and self._serves(run, runs)]
        free = self._free([*serving, *newest, *standing])
        step: Step | None = None
        unfit = self._unfit.get(demand.own.id)
        if unfit is None or covered(runs, demand.own.id, demand.low) < unfit[0] - 1:
            step = self._extend(runs, serving, newest, free, busy=len(serving) + len(standing))
        if step is not None and (unfit is None or step.first < unfit[0]):
            return step
        used = sum(len(run.slots) for run in [*serving, *standing])
        return self._serve(runs, free[: self._half - used]) if used < self._half else None

    def _extend(
        self, runs: list[RingRun], serving: list[RingRun], newest: list[RingRun], free: tuple[int, ...], *, busy: int
    ) -> Step | None:
        demand = self._demand
        tail = newest or serving
        end = tail[-1].last if tail else demand.low
        due = demand.raw_after(end)
        skip_to = self._skip(runs, end, due, busy)
        need = Need(demand.own.id, demand.low, demand.own.seq)
        step = extend(serving, newest, need, due if self.merging else 0, free, skip_to=skip_to)
        return step if step is not None or free else self._give_way(serving, newest, need)

    def _give_way(self, serving: list[RingRun], newest: list[RingRun], need: Need) -> Step | None:
        """The newest run gives up a slot where the serving half lacks one: a segment of it was lost (P8.3)."""
        position = covered([*serving, *newest], need.origin, need.above)
        if position >= need.upto or not newest or sum(len(run.slots) for run in serving) >= self._half:
            return None
        return Step(need.origin, position + 1, (), (newest[0],))

    def _skip(self, runs: list[RingRun], end: int, due: int, busy: int) -> int | None:
        """Where the newest half must begin, when what is due after `end` does not fit beside the serving half."""
        room_bytes = (self._slots - self._half) * _slot_raw(runs)
        if busy < self._half or due <= room_bytes:
            return None
        low, high = end + 1, self._demand.own.seq
        while low < high:
            middle = (low + high) // 2
            if self._demand.raw_after(middle - 1) <= room_bytes:
                high = middle
            else:
                low = middle + 1
        return low

    def _serve(self, runs: list[RingRun], free: tuple[int, ...]) -> Step | None:
        demand = self._demand
        steps = (serve(runs, need, () if need.contested else demand.others, free) for need in demand.needs)
        return next((step for step in steps if step is not None and not self._is_unfit(step)), None)

    def _is_unfit(self, step: Step) -> bool:
        first, last = self._unfit.get(step.origin, (0, 0))
        return first <= step.first <= last

    def _serves(self, run: RingRun, runs: list[RingRun]) -> bool:
        """Whether somebody needs a run, and can place it.

        In another history than the one claimed only what joins it is of use; of a derived origin nothing is, while
        nothing of the one that it forks from can be had (P4.6).
        """
        demand, root = self._demand, self._demand.forks_from(run.origin)
        if any(need.origin == root and covered(runs, root, need.above) <= need.above for need in demand.needs):
            return False
        return any(
            run.last > need.above and (not need.contested or run.first <= covered(runs, need.origin, need.above))
            for need in demand.needs
            if need.origin == run.origin
        )

    def _free(self, used: Iterable[RingRun]) -> tuple[int, ...]:
        busy = {slot for run in used for slot in run.slots} | self.reserved
        return tuple(slot for slot in range(self._slots) if slot not in busy)


def _slot_raw(runs: list[RingRun]) -> int:
    """Encoded bytes that a slot holds, as far as this ring's full runs tell."""
    return max((run.raw // len(run.slots) for run in runs), default=_SLOT_RAW_BYTES)
