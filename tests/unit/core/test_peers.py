"""What others say in their slots (protocol-v1 6.2 to 6.5)."""

from __future__ import annotations

import msgspec
import pytest

from hcom_replica.core import peers as module
from hcom_replica.core.peers import Peers
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import Author, Kind
from hcom_replica.wire.messages import Ack, Index, Presence, Segment, Standing, VectorPage, WantItem, pack_entries
from tests.unit.core.builders import KEYS, WALL, Device, Parts, at, draft

OTHER = OriginId(b"other---")


@pytest.fixture
def nova() -> Device:
    device = Device("NOVA")
    device.append(draft())
    return device


@pytest.fixture
def parts() -> Parts:
    device = Device("BOXE")
    device.append()
    return Parts(device)


def page(nova: Device, number: int, pages: int, entries: dict[OriginId, Ack], counter: int) -> VectorPage:
    return VectorPage(counter, WALL, pages, True, pack_entries(entries.items()))


def test_highest_counter_counts_whatever_the_order_of_arrival(parts: Parts, nova: Device) -> None:
    """P6.2"""
    old, new = Presence(5, WALL, online=False), Presence(6, WALL, online=True)
    assert parts.hear(nova, Kind.PRESENCE, new)
    assert not parts.hear(nova, Kind.PRESENCE, old)
    assert not parts.hear(nova, Kind.PRESENCE, new)
    peer = parts.peers.get(nova.own.id)
    assert peer is not None
    assert peer.presence == new


def test_counters_of_kinds_and_pages_are_apart(parts: Parts, nova: Device) -> None:
    """P6.2: of one author, kind and page"""
    assert parts.hear(nova, Kind.PRESENCE, Presence(9, WALL, online=True))
    assert parts.hear(nova, Kind.VECTOR, page(nova, 0, 2, {OTHER: Ack(1, bytes(8))}, 3), page=0)
    assert parts.hear(nova, Kind.VECTOR, page(nova, 1, 2, {nova.own.id: Ack(2, bytes(8))}, 2), page=1)
    peer = parts.peers.get(nova.own.id)
    assert peer is not None
    assert set(peer.acks) == {OTHER, nova.own.id}


def test_pages_beyond_the_number_stated_count_no_more(parts: Parts, nova: Device) -> None:
    parts.hear(nova, Kind.VECTOR, page(nova, 1, 2, {OTHER: Ack(7, bytes(8))}, 1), page=1)
    parts.hear(nova, Kind.VECTOR, page(nova, 0, 1, {}, 2), page=0)
    peer = parts.peers.get(nova.own.id)
    assert peer is not None
    assert peer.acks == {}
    assert parts.peers.claims(None) == {}


def test_origin_on_two_pages_counts_with_the_higher_of_its_seqs(parts: Parts, nova: Device) -> None:
    """P7.5: while pages double, the new one stands before the old one is written without what has moved."""
    for number, seq in ((0, 7), (1, 3)):
        parts.hear(nova, Kind.VECTOR, page(nova, number, 2, {OTHER: Ack(seq, bytes(8))}, 1 + number), page=number)
    assert parts.peers.claims(None) == {OTHER: 7}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seq": 9}, "signature"),
        ({"cum": 9}, "signature"),
        ({"hlc": 9}, "signature"),
        ({"tip": bytes(32)}, "signature"),
        ({"signature": bytes(64)}, "signature"),
        ({"system": 3}, "format"),
    ],
)
def test_head_that_lies_is_refused(parts: Parts, nova: Device, change: dict[str, object], reason: str) -> None:
    """P6.3: seq, hlc, tip and sum are under the commit's signature; system events are among the events."""
    with pytest.raises(ProtocolError) as error:
        parts.hear(nova, Kind.HEAD, msgspec.structs.replace(nova.head(), **change))
    assert error.value.reason == reason
    assert parts.peers.get(nova.own.id) is None


def test_head_of_another_group_is_refused(nova: Device) -> None:
    with pytest.raises(ProtocolError):
        Peers(bytes(16)).accept(Kind.HEAD, nova.author, 0, encode(nova.head()), live=False, now=at(0))


def test_kind_that_is_no_slot_is_refused(parts: Parts, nova: Device) -> None:
    with pytest.raises(ProtocolError) as error:
        parts.peers.accept(Kind.WANT, nova.author, 0, b"", live=False, now=at(0))
    assert error.value.reason == "kind"


def test_entries_cut_in_the_middle_are_refused(parts: Parts, nova: Device) -> None:
    with pytest.raises(ProtocolError) as error:
        parts.hear(nova, Kind.VECTOR, VectorPage(1, WALL, 1, True, bytes(25)))
    assert error.value.reason == "format"


def test_clock_is_judged_by_what_comes_live_only(parts: Parts, nova: Device) -> None:
    """P6.5"""
    hour = 3_600_000
    parts.hear(nova, Kind.PRESENCE, Presence(1, WALL + hour, online=True))
    peer = parts.peers.get(nova.own.id)
    assert peer is not None
    assert (peer.skew_ms, peer.clock_off_ms) == (None, 0)
    assert peer.heard_ms == WALL, "a clock that is ahead is not believed"
    parts.hear(nova, Kind.PRESENCE, Presence(2, WALL + hour, online=True), now=at(0))
    assert (peer.skew_ms, peer.clock_off_ms) == (hour, hour)
    parts.hear(nova, Kind.PRESENCE, Presence(3, WALL + 59_000, online=True), now=at(0))
    assert peer.clock_off_ms == 0


def test_peer_is_online_by_its_presence_or_because_it_was_just_heard(parts: Parts, nova: Device) -> None:
    """P7.10"""
    peer = parts.peers.heard(nova.author, at(0))
    assert peer is not None
    assert peer.online(at(1_000), 90_000)
    assert not peer.online(at(90_000), 90_000)
    parts.hear(nova, Kind.PRESENCE, Presence(1, WALL, online=True), now=at(0))
    assert peer.online(at(900_000), 90_000)
    parts.hear(nova, Kind.PRESENCE, Presence(2, WALL, online=False), now=at(0))
    assert not peer.online(at(1), 90_000)


def test_new_connection_forgets_who_was_there_and_what_mailboxes_held(parts: Parts, nova: Device) -> None:
    segment = Segment(0, OTHER, 1, 9, bytes(8), 0, 1, 100)
    parts.hear(nova, Kind.PRESENCE, Presence(1, WALL, online=True), now=at(0))
    parts.hear(nova, Kind.INDEX, Index(1, WALL, 32, [segment]), now=at(0))
    parts.hear(nova, Kind.STANDING, Standing(1, WALL, [WantItem(OTHER, 1, 0)]), now=at(0))
    parts.hear(nova, Kind.HEAD, nova.head(), now=at(0))
    assert parts.peers.claims(None)[OTHER] == 9
    parts.peers.new_connection()
    peer = parts.peers.get(nova.own.id)
    assert peer is not None
    assert (peer.presence, peer.index, peer.standing) == (None, None, None)
    assert peer.head is not None
    assert parts.peers.claims(None) == {}


@pytest.mark.parametrize("kind", [Kind.VECTOR, Kind.INDEX, Kind.STANDING])
def test_slot_that_is_cleared_says_nothing_any_more(parts: Parts, nova: Device, kind: Kind) -> None:
    """P6.8"""
    parts.hear(nova, Kind.VECTOR, nova.vector())
    parts.hear(nova, Kind.INDEX, Index(1, WALL, 32, []))
    parts.hear(nova, Kind.STANDING, Standing(1, WALL, []))
    parts.peers.emptied(kind, lambda origin: origin == nova.own.id)
    peer = parts.peers.get(nova.own.id)
    assert peer is not None
    gone = {Kind.VECTOR: not peer.acks, Kind.INDEX: peer.index is None, Kind.STANDING: peer.standing is None}
    assert gone == {every: every is kind for every in gone}


def test_only_the_newest_incarnation_of_a_device_is_current(parts: Parts, nova: Device) -> None:
    """P6.4"""
    old = nova.author
    parts.hear(nova, Kind.HEAD, nova.head())
    nova.log.open_incarnation("test", WALL)
    parts.hear(nova, Kind.HEAD, nova.head())
    assert [peer.origin for peer in parts.peers.current(parts.knowledge.own)] == [nova.own.id]
    assert parts.peers.get(old.origin) is not None


def test_what_is_kept_of_peers_is_there_after_a_restart_and_junk_is_passed_over(parts: Parts, nova: Device) -> None:
    parts.hear(nova, Kind.HEAD, nova.head(), now=at(5))
    parts.hear(nova, Kind.VECTOR, nova.vector(), now=at(5))
    notes = parts.peers.take_notes()
    assert parts.peers.take_notes() == ()
    parts.device.log.note_peers([*notes, (99, OTHER, 0, 0, bytes(50)), (1, OTHER, 0, 0, b"cut")])
    before, peer = parts.peers.get(nova.own.id), Peers(KEYS.group, parts.device.log.peers()).get(nova.own.id)
    assert before is not None
    assert peer is not None
    assert (peer.author, peer.head, peer.acks) == (nova.author, before.head, before.acks)
    assert peer.heard_ms == WALL + 5
    assert Peers(KEYS.group, parts.device.log.peers()).get(OTHER) is None


def test_authors_are_bounded(parts: Parts, nova: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """P5.4: a member can make up as many incarnations as it likes."""
    monkeypatch.setattr(module, "_PEERS_MAX", 2)
    for number in range(3):
        parts.peers.heard(Author(nova.own.key, bytes(12), OriginId(b"%08d" % number)), at(0))
    assert len(list(parts.peers)) == 2
    with pytest.raises(ProtocolError) as error:
        parts.hear(nova, Kind.PRESENCE, Presence(1, WALL, online=True))
    assert error.value.reason == "limit"
    parts.peers.left_ring(nova.author, Index(1, WALL, 32, []))
    assert parts.peers.get(nova.own.id) is None


def test_ring_that_was_left_behind_stays_known_whatever_becomes_of_its_index(parts: Parts, nova: Device) -> None:
    """P8.5: a clone may clear the index in between; the slots lie there all the same"""
    index = Index(1, WALL, 32, [])
    parts.peers.left_ring(nova.author, index)
    parts.peers.emptied(Kind.INDEX, lambda origin: origin == nova.own.id)
    parts.peers.new_connection()
    peer = parts.peers.get(nova.own.id)
    assert peer is not None
    assert peer.index == index


def test_ring_that_was_left_behind_in_another_epoch_is_none_of_the_present(parts: Parts, nova: Device) -> None:
    """P12.15: it lies under other topics"""
    parts.peers.left_ring(nova.author, Index(1, WALL, 32, []))
    parts.peers.forget_left()
    parts.peers.new_connection()
    peer = parts.peers.get(nova.own.id)
    assert peer is not None
    assert peer.index is None


def test_authors_that_were_kept_are_bounded_too(parts: Parts, nova: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """P5.4: a version that took more of them may have kept them."""
    for number in range(3):
        author = Author(nova.own.key, bytes(12), OriginId(b"%08d" % number))
        parts.peers.accept(Kind.PRESENCE, author, 0, encode(Presence(1, WALL, online=True)), live=False, now=at(0))
    notes = parts.peers.take_notes()
    assert len(notes) == 3
    monkeypatch.setattr(module, "_PEERS_MAX", 2)
    assert len(list(Peers(KEYS.group, notes))) == 2


def test_claimants_are_the_writer_and_those_whose_vectors_reach_so_far_in_the_order_they_were_heard_of(
    parts: Parts, nova: Device
) -> None:
    """P7.7"""
    luna, mona = Device("LUNA", draw=5), Device("MONA", draw=6)
    for device in (luna, mona):
        device.append()
    parts.hear(luna, Kind.VECTOR, page(luna, 0, 1, {nova.own.id: Ack(nova.own.seq, bytes(8))}, 1), page=0)
    parts.hear(nova, Kind.HEAD, nova.head())
    parts.hear(mona, Kind.VECTOR, page(mona, 0, 1, {nova.own.id: Ack(nova.own.seq, bytes(8))}, 1), page=0)

    def named(first: int, own: Device | None = None) -> list[OriginId]:
        state = own.own if own is not None else None
        return [peer.origin for peer in parts.peers.claimants(state, nova.own.id, first)]

    assert named(nova.own.seq) == [luna.own.id, nova.own.id, mona.own.id]
    assert named(nova.own.seq, own=mona) == [luna.own.id, nova.own.id]
    assert named(nova.own.seq + 1) == []


def test_earlier_ring_counts_as_its_index_with_the_highest_counter_says(parts: Parts, nova: Device) -> None:
    """P6.2, P12.13"""

    def told(counter: int, last: int) -> bool:
        index = Index(counter, WALL, 32, [Segment(0, OTHER, 1, last, bytes(8), 0, 1, 100)])
        return parts.peers.ring_at("before", nova.author, encode(index))

    assert told(5, 7)
    assert not told(5, 9)
    assert not told(4, 9)
    assert parts.peers.claims(None) == {OTHER: 7}
    assert told(6, 9)
    assert parts.peers.claims(None) == {OTHER: 9}


@pytest.mark.parametrize(("bound", "most"), [("_PEERS_MAX", 1), ("CLAIMS_MAX", 2)])
def test_earlier_ring_that_finds_no_room_is_refused_and_leaves_nothing(
    parts: Parts, nova: Device, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    """Section 9: authors, and lines of indexes, whatever the epoch"""
    monkeypatch.setattr(module, bound, most)
    luna = Device("LUNA")
    luna.append()
    index = encode(Index(1, WALL, 32, [Segment(slot, OTHER, 1, 9, bytes(8), 0, 1, 100) for slot in range(2)]))
    assert parts.peers.ring_at("before", luna.author, index)
    with pytest.raises(ProtocolError) as error:
        parts.peers.ring_at("before", nova.author, index)
    assert error.value.reason == "limit"
    assert ([peer.origin for peer in parts.peers], parts.peers.claims_count) == ([luna.own.id], 2)
