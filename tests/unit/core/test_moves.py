"""Which broker the group meets at, and whose word counts (protocol-v1 section 16)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hcom_replica.core.announce import PresenceSlot
from hcom_replica.core.book import Book, Moved
from hcom_replica.core.hello import MOVE, Move, read_system
from hcom_replica.core.membership import Membership, Viewer, judge
from hcom_replica.core.moves import Word, counting_moves, move_draft, present_move, stay_drafts
from hcom_replica.core.moving import Moving
from hcom_replica.core.settings import Settings
from hcom_replica.errors import LimitError, ProtocolError, UsageError
from hcom_replica.ids import OriginId
from hcom_replica.limits import MOVES_MAX
from hcom_replica.wire.codec import encode
from hcom_replica.wire.epoch import certify
from hcom_replica.wire.event import Draft
from hcom_replica.wire.frame import Author
from hcom_replica.wire.messages import Gone, decode_gone
from tests.unit.core.builders import KEYS, TOPICS, Device, Parts, at

A, B, C, THIEF = (Device(name) for name in "ABCT")
INCARNATION = (1).to_bytes(4, "big") + bytes(8)
X, Y, Z = "mqtt://x:1883", "mqtts://y:8883", "mqtt://[::1]:1"


def group(**moves: tuple[int, int, str]) -> Membership:
    """A has founded it and let B and C in; each has said (number, hlc, broker)."""
    book = Book()
    book.certificates.update(
        certify(KEYS.group, A.key, number, device.key.public) for number, device in enumerate((B, C), 1)
    )
    devices = {"a": A, "b": B, "c": C, "t": THIEF}
    for name, (number, hlc, broker) in moves.items():
        book.moves[devices[name].key.public] = moved(number, hlc, broker)
    hellos = [device.key.public for device in (A, B, C, THIEF)]
    return judge(Viewer(A.key, KEYS, A.key.public), book, hellos, ())


def moved(number: int, hlc: int, broker: str) -> Moved:
    return Moved(number, hlc, OriginId(bytes(8)), broker)


def broker_of(membership: Membership) -> str | None:
    found = present_move(membership)
    return None if found is None else found.broker


def said(draft: Draft) -> object:
    return read_system(draft.kind, draft.body)


def gone(number: int, broker: str, *certificates: tuple[Device, Device]) -> bytes:
    made = [certify(KEYS.group, admitter.key, 9, device.key.public) for admitter, device in certificates]
    return encode(Gone(1, 0, number, 5, bytes(8), broker, made))


def moving(membership: Membership, place: str = X) -> tuple[Moving, Parts]:
    device = Device("V")
    device.append()
    parts = Parts(device)
    parts.knowledge.membership = membership
    made = Moving(
        parts.outbox, parts.slots, TOPICS, parts.settings, parts.knowledge,
        PresenceSlot(parts.outbox, parts.slots, TOPICS),
    )  # fmt: skip
    made.place = (place,)
    return made, parts


def author(device: Device) -> Author:
    return Author(device.key.public, INCARNATION, OriginId(device.key.public[:8]))


def test_highest_number_counts_then_the_last_in_the_unified_order() -> None:
    """P16.1"""
    assert broker_of(group()) is None
    assert broker_of(group(b=(1, 9, X))) == X
    assert broker_of(group(b=(2, 1, X), c=(1, 9, Y))) == X
    assert broker_of(group(b=(1, 8, X), c=(1, 9, Y))) == Y


def test_moves_of_strangers_and_of_revoked_devices_do_not_count() -> None:
    """P16.1"""
    assert broker_of(group(b=(1, 1, X), t=(5, 9, Y))) == X
    known = group(b=(1, 1, X), c=(5, 9, Y))
    assert broker_of(known) == Y
    assert broker_of(replace(known, revoked={C.key.public: A.key.public})) == X


def test_word_of_a_device_that_the_log_does_not_know_counts_with_its_certificates() -> None:
    """P16.4"""
    known = group()
    word = moved(1, 1, Y)
    chain = (certify(KEYS.group, B.key, 1, THIEF.key.public),)
    assert counting_moves(known, {THIEF.key.public: Word(word)}) == []
    assert counting_moves(known, {THIEF.key.public: Word(word, chain)}) == [word]
    without_b = replace(known, revoked={B.key.public: A.key.public})
    assert counting_moves(without_b, {THIEF.key.public: Word(word, chain)}) == []


def test_later_move_of_one_device_counts_whatever_its_clock_said() -> None:
    """P16.1"""
    book = Book()
    device = Device("D")
    device.append()
    for number, hlc in ((2, 10), (1, 20)):
        book.note(device.own, number, Move(number, X if number == 2 else Y), hlc)
    assert book.moves[device.key.public].broker == X


def test_writer_takes_the_number_behind_the_highest_that_counts() -> None:
    """P16.1"""
    assert said(move_draft(group(), X)) == Move(1, X)
    assert said(move_draft(group(b=(7, 1, Y), t=(99, 1, Z)), X)) == Move(8, X)
    with pytest.raises(LimitError, match="as often as can be"):
        move_draft(group(b=(MOVES_MAX, 1, Y)), X)
    stranger = replace(group(), viewer=Viewer(THIEF.key, KEYS, A.key.public))
    for who in (stranger, replace(group(), shut_out="revoked")):
        with pytest.raises(UsageError, match="no admitted member"):
            move_draft(who, X)


def test_revocation_of_who_moved_the_group_leaves_it_where_it_is() -> None:
    """P16.7: even where it had taken the highest number there is."""
    known = group(b=(3, 1, Y), c=(MOVES_MAX, 1, Z))
    assert stay_drafts(known, [B.key.public]) == ()
    (stay,) = stay_drafts(known, [C.key.public])
    assert said(stay) == Move(4, Z)
    assert stay_drafts(group(), [C.key.public]) == ()


@pytest.mark.parametrize("broker", ["http://x", "mqtt://a b", "mqtt://x\n", "mqtt://", "", "mqtt://" + "x" * 300])
def test_broker_that_could_not_stand_in_a_token_is_refused(broker: str) -> None:
    """P16.1"""
    assert read_system(MOVE, b'{"number":1,"broker":"%s"}' % broker.replace("\n", "\\n").encode()) is None
    with pytest.raises(ProtocolError):
        decode_gone(gone(1, broker))


def test_word_of_strangers_is_dropped_and_does_not_push_out_that_of_members() -> None:
    """P16.4"""
    part, _ = moving(group())
    part.hear("t", author(B), gone(1, Y))
    for number in range(40):
        with pytest.raises(ProtocolError):
            part.hear("t", author(Device(f"N{number}")), gone(9, Z))
    assert part.bound_for == Y


def test_earlier_word_of_a_device_does_not_take_back_its_later_one() -> None:
    """P16.4"""
    part, _ = moving(group())
    part.hear("t", author(B), gone(2, Y))
    part.hear("t", author(B), gone(1, Z))
    assert part.bound_for == Y


def test_only_so_many_authors_are_remembered_those_of_the_greatest_moves() -> None:
    """P16.4"""
    part, _ = moving(group())
    part.hear("t", author(B), gone(900, Y))
    for number in range(40):
        device = Device(f"N{number}")
        part.hear("t", author(device), gone(number + 1, Z, (B, device)))
    assert part.bound_for == Y


def test_device_that_is_shut_out_goes_nowhere() -> None:
    """P12.16, P16.3"""
    assert moving(group(b=(1, 1, Y)))[0].bound_for == Y
    assert moving(replace(group(b=(1, 1, Y)), shut_out="revoked"))[0].bound_for is None


def test_place_of_the_move_is_home_and_without_a_place_nothing_moves() -> None:
    """P16.3"""
    known = group(b=(1, 1, Y))
    assert moving(known, Y)[0].bound_for is None
    part, _ = moving(known)
    assert part.place == (X,)
    part.place = ()
    assert part.bound_for is None


@pytest.mark.parametrize(
    ("now_ms", "sought_ms", "may_go"),
    [
        (10, 0, False),
        (Settings().leave_quiet_ms, 10, False),
        (Settings().leave_quiet_ms, None, True),
        (Settings().leave_quiet_ms + 10, 10, True),
        (Settings().leave_ms_max, Settings().leave_ms_max, True),
    ],
)
def test_missing_events_hold_a_departure_until_nothing_of_them_comes(
    now_ms: int, sought_ms: int | None, may_go: bool
) -> None:
    """P16.3"""
    part, parts = moving(group(b=(1, 1, Y)))
    signer = parts.device.signer
    part.tick(at(0), signer, 0)
    parts.answer_all()
    part.tick(at(now_ms), signer, sought_ms)
    assert not part.may_go, "it has yet to say that it is offline"
    parts.answer_all()
    assert part.may_go is may_go
