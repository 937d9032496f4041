"""Planning the ring: what to write next, and where (protocol-v1 section 8)."""

from __future__ import annotations

from hcom_replica.core.ring import Need, RingRun, Step, covered, extend, runs_of, serve, split
from hcom_replica.ids import OriginId
from hcom_replica.limits import BATCH_RAW_BYTES_AIM
from hcom_replica.wire.messages import Segment

OWN = OriginId(b"own-----")
OTHER = OriginId(b"other---")


def run(first: int, last: int, *slots: int, raw: int = 1000, origin: OriginId = OWN) -> RingRun:
    return RingRun(origin, first, last, raw, slots or (first,))


def need(above: int, upto: int, origin: OriginId = OWN) -> Need:
    return Need(origin, above, upto)


def segment(slot: int, first: int, last: int, part: int = 0, parts: int = 1) -> Segment:
    return Segment(slot, OWN, first, last, bytes(8), part, parts, 1000)


def test_lines_of_an_index_group_into_runs_and_incomplete_ones_are_left_out() -> None:
    lines = [segment(5, 3, 3, 1, 2), segment(4, 3, 3, 0, 2), segment(0, 1, 2), segment(7, 4, 4, 0, 3)]
    assert runs_of(lines) == [run(1, 2, 0), run(3, 3, 4, 5)]


def test_covered_goes_as_far_as_runs_follow_each_other() -> None:
    runs = [run(8, 9), run(1, 3), run(3, 6), run(1, 9, origin=OTHER)]
    assert covered(runs, OWN, 0) == 6
    assert covered(runs, OWN, 4) == 6
    assert covered(runs, OWN, 7) == 9
    assert covered([], OWN, 7) == 7


def test_split_serves_what_ascends_from_the_lowest_and_calls_the_rest_newest() -> None:
    """P8.3"""
    runs = [run(1, 2), run(3, 4), run(5, 6), run(9, 12)]
    assert split(runs, OWN, 0, 9) == (runs[:3], runs[3:])
    assert split(runs, OWN, 0, 2) == (runs[:2], runs[2:]), "no more than half of the slots"
    assert split(runs, OWN, 3, 9) == (runs[1:3], runs[3:]), "what all have is not needed"
    assert split(runs, OWN, 12, 9) == ([], [])


def test_empty_ring_begins_above_what_all_have() -> None:
    assert extend([], [], need(3, 9), 500, (0, 1), skip_to=None) == Step(OWN, 4, (0, 1), ())


def test_ring_that_reaches_the_tip_needs_nothing() -> None:
    assert extend([run(1, 9)], [], need(0, 9), 0, (3,), skip_to=None) is None


def test_segments_no_larger_than_what_is_due_are_taken_in() -> None:
    """P8.4: like adding one to a binary number"""
    tail = [run(1, 4, raw=4000), run(5, 6, raw=2000), run(7, 7, raw=1000)]
    step = extend(tail, [], need(0, 8), 1000, (9,), skip_to=None)
    assert step == Step(OWN, 1, (9,), tuple(tail))
    step = extend(tail, [], need(0, 8), 500, (9,), skip_to=None)
    assert step == Step(OWN, 8, (9,), ())


def test_segments_that_together_are_too_much_for_one_message_stay_apart() -> None:
    large = [run(1, 4, raw=BATCH_RAW_BYTES_AIM)]
    assert extend(large, [], need(0, 8), BATCH_RAW_BYTES_AIM, (9,), skip_to=None) == Step(OWN, 5, (9,), ())
    in_parts = [run(1, 1, 0, 1, raw=10)]
    assert extend(in_parts, [], need(0, 8), 1000, (9,), skip_to=None) == Step(OWN, 2, (9,), ())


def test_full_ring_gives_up_the_oldest_of_the_newest_half_and_nothing_that_serves() -> None:
    """P8.3"""
    serving = [run(1, 1, raw=9999), run(2, 2, raw=9999)]
    newest = [run(7, 7, raw=9999), run(8, 8, raw=9999)]
    assert extend(serving, newest, need(0, 9), 10, (), skip_to=None) == Step(OWN, 9, (), (newest[0],))
    assert extend(serving, [], need(0, 9), 10, (), skip_to=None) is None


def test_newest_half_that_cannot_hold_what_is_due_begins_further_on() -> None:
    """P8.3"""
    serving, newest = [run(1, 1)], [run(5, 6), run(7, 8)]
    assert extend(serving, newest, need(0, 99), 10, (), skip_to=50) == Step(OWN, 50, (), tuple(newest))
    assert extend(serving, [], need(0, 99), 10, (), skip_to=50) is None


def test_gap_between_the_halves_is_filled_when_there_is_room() -> None:
    serving, newest = [run(1, 2)], [run(8, 9)]
    assert extend(serving, newest, need(0, 9), 0, (4, 5), skip_to=None) == Step(OWN, 3, (4, 5), ())
    assert extend(serving, newest, need(0, 9), 0, (), skip_to=None) is None


def test_need_of_others_is_served_from_where_no_ring_goes_on() -> None:
    """P8.3: only what no index covers"""
    wanted = need(2, 9, OTHER)
    mine, theirs = [run(3, 4, origin=OTHER)], [run(5, 6, origin=OTHER)]
    assert serve(mine, wanted, theirs, (1,)) == Step(OTHER, 7, (1,), ())
    assert serve(mine, wanted, [*theirs, run(7, 9, origin=OTHER)], (1,)) is None
    assert serve(mine, wanted, theirs, ()) is None
