"""Who is waited for, what is closed, and where what came too late stands (protocol-v1 section 13)."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from hcom_replica.core.frontier import find_frontier
from hcom_replica.core.hello import ROSTER
from hcom_replica.core.hello import Roster as Body
from hcom_replica.core.origin import OriginState, fresh_origin
from hcom_replica.core.roster import START, Roster, read_roster
from hcom_replica.ids import OriginId, order_key
from hcom_replica.wire.batch import Descriptor
from hcom_replica.wire.event import Event

GROUP = bytes(16)
HLC_MAX = (1 << 64) - 1


def origin(number: int, generation: int = 1) -> OriginState:
    incarnation = generation.to_bytes(4, "big") + bytes(8)
    return msgspec.structs.replace(fresh_origin(GROUP, Descriptor(bytes([number]) * 32, incarnation, ())), seq=1, hlc=1)


A, B, C, D = (origin(number) for number in range(4))
B2 = origin(1, 2)


@dataclass
class Story:
    """What was said, by whom, in the order of hlcs that is given."""

    states: dict[OriginId, OriginState] = field(default_factory=lambda: {s.id: s for s in (A, B, C, D)})
    events: list[tuple[OriginId, int, Event]] = field(default_factory=list)
    promises: dict[OriginId, int] = field(default_factory=dict)

    def say(
        self,
        by: OriginState,
        hlc: int,
        *enter: OriginState,
        close: dict[OriginId, tuple[int, int]] | None = None,
        late: dict[OriginId, int] | None = None,
    ) -> Story:
        before = self.states[by.id]
        body = Body(
            [one.id.hex() for one in enter],
            {name.hex(): said for name, said in (close or {}).items()},
            {name.hex(): seq for name, seq in (late or {}).items()},
        )
        self.states[by.id] = msgspec.structs.replace(before, seq=before.seq + 1, hlc=hlc)
        self.events.append((by.id, before.seq + 1, Event(hlc, ROSTER, None, None, msgspec.json.encode(body))))
        self.events.sort(key=lambda item: order_key(item[2].hlc, item[0]))
        return self

    def grow(self, by: OriginState, seq: int, hlc: int) -> Story:
        self.states[by.id] = msgspec.structs.replace(self.states[by.id], seq=seq, hlc=hlc)
        return self

    def promise(self, **said: int) -> Story:
        self.promises |= {{"A": A, "B": B, "C": C, "D": D}[name].id: hlc for name, hlc in said.items()}
        return self

    def roster(self, *left: OriginState) -> Roster:
        return read_roster(self.events, self.states, A.key, [one.key for one in left])

    def frontier(self, own: OriginState) -> int | None:
        return find_frontier(self.roster(), self.states, self.promises, own.id).hlc

    def holder(self, own: OriginState) -> OriginId | None:
        return find_frontier(self.roster(), self.states, self.promises, own.id).held_by


def test_founder_alone_is_final_up_to_its_newest_event() -> None:
    """P13.1, P13.5"""
    story = Story().grow(A, 5, 50)
    assert story.roster().entries == {A.id: START}
    assert story.frontier(A) == 50
    assert story.promise(A=80).frontier(A) == 80


def test_group_without_a_founder_has_no_stable_order() -> None:
    """P13.1"""
    assert read_roster([], Story().states, b"") == Roster()


def test_founder_of_whom_a_later_incarnation_came_first_is_waited_for() -> None:
    """P13.1: were that one taken for the root, the order would begin otherwise once the first is here"""
    later = origin(0, 2)
    story = Story({later.id: later})
    story.say(later, 10, later)
    assert story.roster().root is None
    assert story.frontier(later) is None
    story.states[A.id] = A
    assert story.roster().root == A.id


def test_device_is_let_in_by_others_and_waited_for_from_there_on() -> None:
    """P13.2, P13.3, P13.5"""
    story = Story().say(A, 10, B).promise(A=100)
    assert story.roster().entries[B.id] == order_key(10, A.id)
    assert story.frontier(B) == 9, "what B wrote before is not known to be complete"
    assert story.holder(B) == B.id
    assert story.promise(B=30).frontier(A) == 30
    assert story.frontier(C) is None, "nobody has let it in"


def test_words_of_a_stranger_let_nobody_in() -> None:
    """P13.3"""
    assert Story().say(B, 10, B, C).roster().entries == {A.id: START}


def test_words_under_a_slow_clock_stand_where_their_writer_was_let_in() -> None:
    """P13.3"""
    roster = Story().say(A, 100, B).say(B, 5, C).roster()
    assert roster.entries[C.id] == roster.entries[B.id] == order_key(100, A.id)


def test_event_from_before_its_origin_was_let_in_stands_there() -> None:
    """P13.6"""
    roster = Story().say(A, 10, B).roster()
    assert roster.place(B.id, 1, order_key(3, B.id)) == order_key(10, A.id)
    assert roster.place(B.id, 2, order_key(12, B.id)) == order_key(12, B.id)
    assert roster.place(C.id, 1, order_key(3, C.id)) is None


def closing() -> Story:
    """A has let in B and C; B is gone, A and C hold different prefixes of it."""
    return Story().say(A, 10, B, C).promise(A=100, C=100, B=40)


def test_origin_is_closed_when_all_others_have_closed_it_at_the_most_that_any_holds() -> None:
    """P13.4"""
    story = closing().say(A, 60, close={B.id: (1, 40)})
    assert story.roster().closed == {}
    assert story.frontier(A) == 40
    assert story.holder(A) == C.id, "C has to close it, too"
    story.say(C, 61, close={B.id: (7, 45)})
    assert story.roster().closed == {B.id: 7}
    assert story.frontier(A) == 40, "what C holds of it is lacked: B:2..7"
    assert story.holder(A) == B.id
    assert story.grow(B, 7, 45).frontier(A) == 100


def test_who_has_closed_an_origin_believes_no_more_of_it() -> None:
    """P13.4"""
    story = closing().say(A, 60, close={B.id: (1, 40)}).promise(B=90)
    assert story.frontier(A) == 40
    assert story.frontier(C) == 90, "which it is going to state when it closes it"


def test_what_was_let_in_by_a_closed_origin_behind_the_cut_does_not_count() -> None:
    """P13.3, P13.4"""
    story = Story().say(A, 10, B).say(B, 20, C).say(A, 30, close={B.id: (1, 15)}).say(C, 31, close={B.id: (9, 25)})
    roster = story.roster()
    assert (roster.closed, C.id in roster.entries) == ({B.id: 1}, False)
    again = story.say(A, 40, C, late={B.id: 2}).roster()
    assert again.closed == {B.id: 1}, "C is let in behind the closing, and has no part in it"
    assert again.entries[C.id] == order_key(40, A.id)
    assert again.place(B.id, 2, order_key(20, B.id)) == order_key(40, A.id)


def test_founder_that_is_gone_is_closed_by_those_it_let_in() -> None:
    """P13.4"""
    story = Story().say(A, 10, B, C).say(B, 20, close={A.id: (2, 12)}).say(C, 21, close={A.id: (2, 14)})
    assert story.roster().closed == {A.id: 2}


def test_two_that_close_each_other_are_not_both_closed() -> None:
    """P13.4"""
    story = Story().say(A, 10, B).say(A, 20, close={B.id: (1, 9)}).say(B, 21, close={A.id: (2, 15)})
    assert story.roster().closed == {B.id: 1}


def test_later_incarnation_lets_itself_in_where_nobody_else_is_left() -> None:
    """P13.3"""
    story = Story().say(A, 10, B)
    story.states[B2.id] = B2
    story.say(B2, 40, B2, close={A.id: (2, 10), B.id: (1, 9)})
    assert B2.id not in story.roster().entries, "A is there to do it"
    roster = story.roster(A)
    assert roster.entries[B2.id] == order_key(40, B2.id)
    assert roster.closed == {A.id: 2, B.id: 1}


def test_place_of_something_late_that_is_not_held_yet_holds_the_frontier() -> None:
    """P13.5, P13.6"""
    story = Story().say(A, 10, late={D.id: 3}).promise(A=100)
    assert story.frontier(A) == 9
    assert story.grow(D, 3, 8).frontier(A) == 100


def test_texts_that_are_no_origins_are_passed_over() -> None:
    """P13.2"""
    story = Story()
    body = Body(["zz", "00"], {"": (1, 1)}, {"x" * 16: 2})
    story.events.append((A.id, 2, Event(5, ROSTER, None, None, msgspec.json.encode(body))))
    assert story.roster() == Roster(A.id, {A.id: START})


def test_promise_beyond_all_time_is_taken_for_the_end_of_time() -> None:
    story = closing().say(A, 60, close={B.id: (1, 1 << 70)})
    assert story.frontier(A) == min(100, HLC_MAX)


def test_founder_s_later_incarnation_that_is_to_be_closed_does_not_keep_the_first_open() -> None:
    """P13.4: whoever let itself in counts as far as those say to hold it whom it let in"""
    a2 = origin(0, 2)
    story = Story()
    story.states[a2.id] = a2
    story.say(a2, 10, a2, B, C, close={A.id: (1, 5)})
    story.say(B, 20, close={A.id: (1, 5)}).say(C, 21, close={A.id: (1, 5)})
    assert story.roster().closed == {A.id: 1}
    story.say(B, 30, close={a2.id: (2, 10)})
    assert story.roster().closed == {A.id: 1}, "C has not closed the second"
    story.say(C, 31, close={a2.id: (2, 10)})
    assert story.roster().closed == {A.id: 1, a2.id: 2}


def test_word_of_those_whom_a_closed_origin_let_in_behind_what_is_held_of_it_is_not_believed() -> None:
    """P13.5, S10: that may come to be behind the cut, and they with it"""
    story = Story().say(A, 10, B, C).promise(A=200, B=30, C=200, D=200)
    story.say(B, 50, D)
    story.say(C, 60, close={B.id: (1, 40)}).say(D, 61, close={B.id: (2, 100)})
    assert D.id in story.roster().needed(B.id)
    assert story.frontier(C) == 40


def test_word_of_others_about_an_origin_stays_believed_when_it_is_closed() -> None:
    """P13.5, S10: the cut may name more than is held here"""
    story = Story().say(A, 10, B, C, D).promise(A=100, C=100, D=100, B=40)
    story.say(A, 60, close={B.id: (1, 40)}).say(C, 61, close={B.id: (1, 70)})
    assert story.frontier(A) == 70
    story.say(D, 62, close={B.id: (7, 45)})
    assert story.roster().closed == {B.id: 7}
    assert story.frontier(A) == 70


def test_origin_of_which_nothing_is_held_holds_the_frontier_where_it_was_let_in() -> None:
    """P13.5: whatever those promise who close it, for they speak of more than is held here"""
    story = Story().say(A, 10, B, C).promise(A=100, C=100)
    del story.states[B.id]
    story.say(A, 60, close={B.id: (3, 40)})
    assert (story.frontier(C), story.holder(C)) == (9, C.id)
    story.say(C, 61, close={B.id: (0, 0)})
    assert story.roster().closed == {B.id: 3}
    assert (story.frontier(C), story.holder(C)) == (9, B.id)
    story.states[B.id] = B
    assert story.grow(B, 3, 30).frontier(C) == 100


def test_late_statement_about_an_origin_that_is_waited_for_moves_nothing() -> None:
    """P13.6: all that is before that place stands there already"""
    story = Story().say(A, 10, B).say(A, 20, late={B.id: 3}).say(A, 30, close={B.id: (2, 15)})
    place = order_key(20, A.id)
    assert story.roster().closed == {B.id: 2}
    assert story.roster().settled_before(B.id, place) == 2, "B:3 may stand at that place"
    open_yet = Story().say(A, 10, B).say(A, 20, late={B.id: 3}).roster()
    assert open_yet.settled_before(B.id, place) is None
    assert open_yet.place(B.id, 3, order_key(15, B.id)) == order_key(15, B.id)


def test_statement_that_speaks_of_nothing_of_an_origin_that_is_not_held_holds_nothing_back() -> None:
    """P13.5: only what speaks of more than is held does"""
    story = Story().say(A, 10, B).promise(A=100, B=100)
    del story.states[D.id]
    free = story.frontier(A)
    assert story.say(A, 20, late={D.id: 0}).frontier(A) == free
    assert story.say(A, 30, late={D.id: 1}).frontier(A) == 29
