"""A verified run compared with what is held (P4.5, P4.6, P4.8)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from hcom_replica.core.origin import OriginState, fresh_origin
from hcom_replica.core.place import Fork, Gap, Held, Misfit, New, Placement, place
from hcom_replica.core.verify import Run
from tests.unit.core.builders import KEYS, Device, draft

COUNT = 20


def run_of(*bodies: bytes) -> Run:
    device = Device("BOXE")
    device.append(*[draft(body) for body in bodies])
    return device.run()


BODIES = [b"%d" % number for number in range(COUNT)]
RUN = run_of(*BODIES)


def part(run: Run, first: int, last: int) -> Run:
    """Seqs first to last of a run."""
    return run._replace(
        first=first,
        prev=run.tips[first - 2] if first > 1 else run.prev,
        records=run.records[first - 1 : last],
        tips=run.tips[first - 1 : last],
        hlcs=run.hlcs[first - 1 : last],
    )


def held(run: Run, seq: int) -> tuple[OriginState, Callable[[int], bytes]]:
    """A state that holds a run up to a seq."""
    state = fresh_origin(KEYS.group, run.descriptor)
    tips = [state.hash, *run.tips]
    return msgspec.structs.replace(state, seq=seq, tip=tips[seq]), lambda at: tips[at]


def placed(seq: int, run: Run, of: Run = RUN) -> Placement:
    state, tip_at = held(of, seq)
    return place(state, run, tip_at)


@pytest.mark.parametrize(
    ("seq", "first", "last", "expected"),
    [
        (0, 1, 5, New(0)),
        (5, 6, 9, New(0)),
        (5, 3, 9, New(3)),
        (5, 1, 6, New(5)),
        (5, 1, 5, Held()),
        (5, 2, 4, Held()),
        (5, 7, 9, Gap(6)),
        (0, 2, 9, Gap(1)),
    ],
)
def test_run_of_the_same_history_is_new_held_or_beyond_a_gap(
    seq: int, first: int, last: int, expected: Placement
) -> None:
    """P4.5"""
    assert placed(seq, part(RUN, first, last)) == expected


@pytest.mark.parametrize("differs", range(2, COUNT + 2))
@pytest.mark.parametrize("seq", [COUNT + 1, COUNT // 2])
def test_run_that_differs_is_a_fork_at_the_first_event_that_differs(differs: int, seq: int) -> None:
    """P4.6: whatever follows it"""
    other = run_of(*BODIES[: differs - 2], b"other", *BODIES[differs - 1 :])
    expected: Placement = Fork(differs, RUN.tips[differs - 1], other.tips[differs - 1])
    if differs > seq:
        expected = New(seq)
    assert placed(seq, other) == expected


def test_run_that_differs_before_its_start_cannot_be_placed() -> None:
    """P4.8"""
    other = run_of(b"other", *BODIES[1:])
    assert placed(COUNT, part(other, 5, 9)) == Misfit(4)
    assert placed(4, part(other, 5, 9)) == Misfit(4)
    assert placed(3, part(other, 5, 9)) == Gap(4), "nothing can be said of it yet"
