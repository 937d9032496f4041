"""Planning a mailbox ring: what to write next, and where (protocol-v1 section 8).

Pure functions of what the ring holds. A ring holds *runs*: one batch in one slot, or the parts of one oversized commit
in several. Runs of the own origin split in two: the serving half ascends from the lowest position that somebody holds;
the newest half rolls along with the tip.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hcom_replica.ids import OriginId
from hcom_replica.limits import BATCH_RAW_BYTES_AIM
from hcom_replica.wire.messages import Segment


class RingRun(NamedTuple):
    """One run in the ring: the slots that its parts are in, and its encoded bytes."""

    origin: OriginId
    first: int
    last: int
    raw: int
    slots: tuple[int, ...]


class Step(NamedTuple):
    """One run to write: begin at `first`, use `free` slots, then those of `drop` (which the new run makes needless)."""

    origin: OriginId
    first: int
    free: tuple[int, ...]
    drop: tuple[RingRun, ...]


class Need(NamedTuple):
    """What is to be served of an origin: everything after `above`, up to `upto`.

    Contested: there is another history of it; what rings of others hold may be that one.
    """

    origin: OriginId
    above: int
    upto: int
    contested: bool = False


def runs_of(segments: Iterable[Segment]) -> list[RingRun]:
    """Group the lines of an index into runs, incomplete ones left out; ordered by origin and first."""
    groups: dict[tuple[OriginId, int, int], dict[int, Segment]] = {}
    for segment in segments:
        key = (OriginId(segment.origin), segment.first, segment.last)
        groups.setdefault(key, {})[segment.part] = segment
    return sorted(
        RingRun(*key, next(iter(parts.values())).raw, tuple(parts[number].slot for number in sorted(parts)))
        for key, parts in groups.items()
        if len(parts) == next(iter(parts.values())).parts
    )


def covered(runs: Iterable[RingRun], origin: OriginId, above: int) -> int:
    """The highest seq such that the runs hold everything after `above` up to it."""
    position = above
    for run in sorted(run for run in runs if run.origin == origin):
        if run.first <= position + 1 <= run.last:
            position = run.last
    return position


def split(runs: Iterable[RingRun], origin: OriginId, low: int, half: int) -> tuple[list[RingRun], list[RingRun]]:
    """The own runs that matter above `low`: (those that ascend from it within `half` slots, all others)."""
    serving: list[RingRun] = []
    newest: list[RingRun] = []
    position, used = low, 0
    for run in sorted(run for run in runs if run.origin == origin and run.last > low):
        if run.first <= position + 1 and used + len(run.slots) <= half and not newest:
            serving.append(run)
            position, used = max(position, run.last), used + len(run.slots)
        else:
            newest.append(run)
    return serving, newest


def extend(
    serving: list[RingRun],
    newest: list[RingRun],
    need: Need,
    due_raw: int,
    free: tuple[int, ...],
    *,
    skip_to: int | None,
) -> Step | None:
    """The next run that brings the ring closer to the tip.

    Args:
        serving: from `split`.
        newest: from `split`.
        need: the own origin: `above` is the lowest acknowledged seq, `upto` the tip.
        due_raw: encoded bytes after the last run.
        free: slots that nothing needs.
        skip_to: where the newest half has to begin because what is due does not fit it; None when it fits.

    Returns:
        The step; None when the tip is covered or there is no room.
    """
    tail = newest or serving
    end = tail[-1].last if tail else need.above
    if end >= need.upto:
        return _gap(serving, newest, need, free)
    if skip_to is not None and skip_to > end + 1:
        return Step(need.origin, skip_to, free, tuple(newest)) if free or newest else None
    first, drop, raw = end + 1, list[RingRun](), due_raw
    for run in reversed(tail):
        if len(run.slots) > 1 or run.raw > raw or run.raw + raw > BATCH_RAW_BYTES_AIM:
            break
        first, raw = run.first, raw + run.raw
        drop.insert(0, run)
    if not free and not drop and newest:
        drop = newest[:1]
    return Step(need.origin, first, free, tuple(drop)) if free or drop else None


def serve(runs: Iterable[RingRun], need: Need, others: Iterable[RingRun], free: tuple[int, ...]) -> Step | None:
    """The next run that answers a need, unless rings of others hold it already; None when there is nothing to do."""
    position = covered([*runs, *others], need.origin, need.above)
    if position >= need.upto or not free:
        return None
    return Step(need.origin, position + 1, free, ())


def _gap(serving: list[RingRun], newest: list[RingRun], need: Need, free: tuple[int, ...]) -> Step | None:
    """The tip is covered; go on ascending towards the newest half while there is room."""
    position = covered(serving, need.origin, need.above)
    position = covered(newest, need.origin, position)
    if position >= need.upto or not free:
        return None
    return Step(need.origin, position + 1, free, ())
