"""Planning the ring, for any ring: nothing that serves is given up, no slot is used twice, the tip is reached."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcom_replica.core.mailbox import Mailbox
from hcom_replica.core.ring import Need, RingRun, covered, extend, split
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from tests.unit.core.builders import ROOM, TOPICS, Device, Parts, at, draft, noise

OWN = OriginId(b"own-----")
SLOTS = 16
PLACES: st.SearchStrategy[list[int]] = st.permutations(range(SLOTS))


@st.composite
def rings(draw: st.DrawFn) -> list[RingRun]:
    """Runs of one origin in distinct slots, in order, with holes and overlaps."""
    free, position = draw(PLACES), draw(st.integers(1, 5))
    runs: list[RingRun] = []
    while len(free) > 0 and draw(st.integers(0, 9)) > 0:
        size = min(len(free), draw(st.sampled_from([1, 1, 1, 2, 3])))
        last = position + draw(st.integers(0, 4))
        raw = draw(st.sampled_from([100, 1_000, 60_000, 250_000]))
        runs.append(RingRun(OWN, position, last, raw, tuple(free[:size])))
        free, position = free[size:], last + 1 + draw(st.sampled_from([0, 0, 0, 3]))
    return runs


@given(rings(), st.integers(0, 30))
def test_covered_is_what_a_reader_can_go_on_to(runs: list[RingRun], above: int) -> None:
    held = {seq for run in runs for seq in range(run.first, run.last + 1)}
    reached = above
    while reached + 1 in held:
        reached += 1
    assert covered(runs, OWN, above) == reached


@given(rings(), st.integers(0, 30), st.integers(0, SLOTS))
def test_split_leaves_nothing_out_and_serves_without_a_hole(runs: list[RingRun], low: int, half: int) -> None:
    serving, newest = split(runs, OWN, low, half)
    assert sorted([*serving, *newest]) == [run for run in runs if run.last > low]
    assert sum(len(run.slots) for run in serving) <= half
    if serving:
        assert covered(serving, OWN, low) == max(run.last for run in serving)


@given(
    rings(), st.integers(0, 30), st.integers(0, 40), st.integers(0, 300_000), st.one_of(st.none(), st.integers(1, 80))
)
def test_step_uses_free_slots_and_keeps_what_serves(
    runs: list[RingRun], low: int, more: int, due: int, skip: int | None
) -> None:
    serving, newest = split(runs, OWN, low, SLOTS // 2)
    tail = newest or serving
    upto = max(tail[-1].last if tail else low, low) + more
    used = {slot for run in [*serving, *newest] for slot in run.slots}
    free = tuple(slot for slot in range(SLOTS) if slot not in used)
    step = extend(serving, newest, Need(OWN, low, upto), due, free, skip_to=skip)
    if step is None:
        return
    assert set(step.free) <= set(free)
    assert set(step.drop) <= {*serving, *newest}
    assert step.free or step.drop
    assert step.first > low or step.first in {run.first for run in step.drop}, "below that only what it takes in"
    lost = [run for run in serving if run in step.drop]
    for run in lost:
        assert run.first >= step.first, "what serves is given up only to a run that takes it in"
    if lost:
        assert step.drop == tuple(tail[-len(step.drop) :])


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, int, bool]]:
    """Appends: (events, bytes of each, compressible), few bytes in all."""
    sizes = st.sampled_from([10, 300, 5_000, 20_000, 31_000, 47_000])
    return draw(st.lists(st.tuples(st.integers(1, 4), sizes, st.booleans()), min_size=1, max_size=7))


@pytest.mark.slow
@given(histories(), st.sampled_from([2_000, 16_000, ROOM]))
def test_ring_with_room_for_all_covers_the_tip_whatever_was_written(
    history: list[tuple[int, int, bool]], room: int
) -> None:
    """P8.3, P8.4, L2: with bodies that compress and bodies that do not, under any packet size"""
    device = Device("BOXE")
    device.append()
    parts = Parts(device, Settings(mailbox_slots=1_000))
    mailbox = Mailbox(parts.outbox, parts.slots, TOPICS, parts.settings)
    mailbox.opened(at(0))
    for number, (count, size, compressible) in enumerate(history):
        device.append(*([draft(bytes(size))] * count if compressible else noise(count, size, seed=number)))
        parts.knowledge.reload()
        mailbox.tick(at(1 + 60_000 * number), parts.knowledge, device.signer, room, urgent=True)
        parts.answer_all()
        assert covered(mailbox.runs(), device.own.id, 0) == device.own.seq
        slots = [slot for run in mailbox.runs() for slot in run.slots]
        assert len(slots) == len(set(slots))
