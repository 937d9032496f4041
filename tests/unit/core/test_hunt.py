"""Hunts for where a claimed history leaves the one that is held (P4.8, P4.9)."""

from __future__ import annotations

from hcom_replica.core.hunt import NEAR_EVENTS, Hunt
from hcom_replica.ids import OriginId
from hcom_replica.wire.messages import Segment

NOVA, LUNA = OriginId(b"nova----"), OriginId(b"luna----")


def line(first: int, last: int) -> Segment:
    return Segment(0, NOVA, first, last, bytes(8), 0, 1, 100)


def test_run_that_begins_where_was_asked_from_is_news_and_a_later_one_is_not() -> None:
    """P4.8: twice as far back for each asking, not for each message of an answer"""
    hunt = Hunt(back=50, differs=60)
    assert not hunt.doubts(58)
    assert not hunt.doubts(51)
    assert hunt.differs == 51
    assert hunt.doubts(50)


def test_somebody_who_is_away_is_asked_from_behind_what_both_have() -> None:
    """P4.9: that is known from what came; until something has, from where asking has come to"""
    hunt = Hunt(back=50, differs=60)
    assert hunt.begins == 50
    hunt.compared(NOVA, 20)
    hunt.compared(NOVA, 0)
    assert hunt.begins == 20
    for held in (60, 99):  # holds what is held here: not where it differs
        hunt.compared(LUNA, held)
        assert hunt.begins == 20


def test_what_a_source_had_too_counts_no_more_when_it_differs_before() -> None:
    hunt = Hunt(back=50, differs=60)
    hunt.compared(NOVA, 20)
    hunt.compared(LUNA, 99)
    hunt.doubts(40)
    assert hunt.agreed == {NOVA: 20}


def test_segments_that_are_held_too_or_begin_behind_the_difference_show_nothing() -> None:
    hunt = Hunt(back=50, differs=60)
    hunt.compared(NOVA, 20)
    assert [hunt.may_show(NOVA, line(*ends)) for ends in ((1, 20), (1, 21), (61, 70), (62, 70))] == [
        False,
        True,
        True,
        False,
    ]
    assert hunt.may_show(LUNA, line(1, 20))


def test_what_lies_between_what_both_have_and_what_differs_is_halved_until_little_is_left() -> None:
    """P4.9: the number of questions is logarithmic"""
    hunt, difference, asked = Hunt(back=0, differs=1_000_000), 707_070, list[int]()
    hunt.compared(NOVA, 200)
    while hunt.is_far(NOVA):
        asked.append(hunt.first_to_ask(NOVA, 2_000_000))
        if asked[-1] <= difference:
            hunt.compared(NOVA, min(asked[-1] + 100, difference))
        else:
            assert not hunt.doubts(asked[-1] - 1)
    assert len(asked) <= 11
    first = hunt.first_to_ask(NOVA, 2_000_000)
    assert first <= difference + 1 <= first + NEAR_EVENTS, "the rest is fetched from what both have on"


def test_source_is_asked_from_behind_what_it_has_too_where_another_differs_before() -> None:
    """P4.9: several may have left the history, each somewhere else"""
    hunt = Hunt(back=100, differs=5_000)
    assert hunt.first_to_ask(NOVA, 9_000) == 101, "nothing of it was compared yet"
    hunt.compared(NOVA, 8_000)
    assert hunt.first_to_ask(NOVA, 9_000) == 8_001
    assert hunt.first_to_ask(NOVA, 8_000) == 101, "it claims no more than that"
    assert not hunt.is_far(NOVA)
