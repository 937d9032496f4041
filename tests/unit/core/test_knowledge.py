"""What is missing here, who has it, and who lacks what is written here (P6.4)."""

from __future__ import annotations

import pytest

from hcom_replica.core import knowledge as module
from hcom_replica.core.hello import RETIRE, Retire, system_draft
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.origin import OriginState
from hcom_replica.ids import OriginId
from hcom_replica.store.log import Log
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Ack, Index, Segment
from hcom_replica.wire.signing import device_id
from tests.unit.core.builders import WALL, Device, Parts, at, draft

WEEK_MS = 7 * 24 * 3_600_000


@pytest.fixture
def nova() -> Device:
    device = Device("NOVA")
    device.append(*[draft()] * 9)
    return device


@pytest.fixture
def parts() -> Parts:
    device = Device("BOXE")
    device.append(*[draft()] * 4)
    return Parts(device)


def test_signed_head_sets_what_is_missing(parts: Parts, nova: Device) -> None:
    """P6.3, S7"""
    parts.hear(nova, Kind.HEAD, nova.head())
    assert parts.knowledge.behind() == {nova.own.id: 10}
    nova.send_to(parts.device)
    parts.knowledge.reload()
    assert parts.knowledge.behind() == {}


def test_what_a_reload_has_found_is_judged_though_a_transaction_follows_it(parts: Parts, nova: Device) -> None:
    """After a reload any origin may have changed, whichever a transaction names before the next look."""
    luna = Device("LUNA")
    luna.append(draft())
    for peer in (nova, luna):
        parts.hear(peer, Kind.HEAD, peer.head())
    assert parts.knowledge.behind() == {nova.own.id: nova.own.seq, luna.own.id: luna.own.seq}
    luna.send_to(parts.device)
    parts.knowledge.reload()
    parts.knowledge.update(parts.device.log.ingest([nova.run()], WALL).states)
    assert parts.knowledge.behind() == {}


def test_what_is_missing_is_named_in_the_order_in_which_it_was_heard_of(parts: Parts) -> None:
    """An order that differs from process to process would let a seed name more than one run."""
    names = [f"D{number}" for number in range(8)]
    heard = []
    for name in names:
        device = Device(name)
        device.append()
        parts.hear(device, Kind.HEAD, device.head())
        heard.append(device.own.id)
    assert list(parts.knowledge.behind()) == heard


def test_claim_of_a_vector_is_asked_for_and_is_never_lag(parts: Parts, nova: Device) -> None:
    """P6.4: a hint"""
    origin = OriginId(b"origin--")
    parts.hear(nova, Kind.VECTOR, nova.vector(entries={origin: Ack(5, bytes(8))}))
    assert parts.knowledge.wanted() == {origin: 5}
    assert parts.knowledge.behind() == {}
    assert parts.knowledge.target(origin) == 0


def test_acknowledgement_counts_when_its_bytes_are_ours(parts: Parts, nova: Device) -> None:
    """P6.4: other bytes are evidence of a fork"""
    own = parts.device.own
    peer = parts.peers.heard(nova.author, at(0))
    assert peer is not None
    assert parts.knowledge.acked(peer, own.id) == 0
    for seq in (5, 3):
        digest = parts.device.log.tip_at(own.id, seq)[:8]
        parts.hear(nova, Kind.VECTOR, nova.vector(entries={own.id: Ack(seq, digest)}))
        assert parts.knowledge.acked(peer, own.id) == seq
    for wrong in (Ack(3, bytes(8)), Ack(6, own.tip[:8]), Ack(1 << 60, bytes(8)), Ack(0, bytes(8))):
        parts.hear(nova, Kind.VECTOR, nova.vector(entries={own.id: wrong}))
        assert parts.knowledge.acked(peer, own.id) == 0


def test_vector_that_is_not_durable_acknowledges_nothing(parts: Parts, nova: Device) -> None:
    """P6.4, S6"""
    own = parts.device.own
    parts.hear(nova, Kind.VECTOR, nova.vector(durable=False, entries={own.id: Ack(own.seq, own.tip[:8])}))
    peer = parts.peers.get(nova.own.id)
    assert peer is not None
    assert parts.knowledge.acked(peer, own.id) == 0


def forked(parts: Parts) -> tuple[Device, OriginState, OriginState]:
    """The device and a clone of it have both gone on; both hold both branches: (clone, kept, derived)."""
    boxe = parts.device
    twin = boxe.clone()
    boxe.append(draft(b"here"))
    twin.append(draft(b"there"), draft(b"there too"))
    twin.send_to(boxe)
    boxe.send_to(twin)
    parts.knowledge.reload()
    derived = next(state for state in boxe.log.origins() if state.forks)
    kept = next(state for state in boxe.log.origins() if not state.forks and state.generation == 1)
    return twin, kept, derived


def test_acknowledgement_of_a_derived_origin_counts_above_its_base(parts: Parts, nova: Device) -> None:
    """P4.6: its seqs go on from there"""
    _, _, derived = forked(parts)
    peer = parts.peers.heard(nova.author, at(0))
    assert peer is not None
    expected = {derived.base: derived.base, derived.base - 1: 0, derived.seq: derived.seq}
    for seq, acked in expected.items():
        digest = derived.tip[:8] if seq == derived.seq else bytes(8)
        parts.hear(nova, Kind.VECTOR, nova.vector(entries={derived.id: Ack(seq, digest)}))
        assert parts.knowledge.acked(peer, derived.id) == acked


def test_acknowledgement_of_what_a_fork_has_moved_counts_no_more() -> None:
    """S6: the same origin and seq name other events after a fork; what was remembered of it must go."""
    for draw in range(1, 9):
        boxe = Device("BOXE")
        boxe.append(*[draft()] * 4)
        parts, nova = Parts(boxe), Device("NOVA")
        nova.append()
        twin = boxe.clone(draw)
        boxe.append(*[draft(b"here %d" % draw)] * 3)
        twin.append(*[draft(b"there %d" % draw)] * 3)
        parts.knowledge.reload()
        origin, seq = boxe.own.id, boxe.own.seq - 1
        ours = boxe.log.tip_at(origin, seq)
        parts.hear(nova, Kind.VECTOR, nova.vector(entries={origin: Ack(seq, ours[:8])}))
        peer = parts.peers.get(nova.own.id)
        assert peer is not None
        assert parts.knowledge.acked(peer, origin) == seq
        twin.send_to(boxe)
        parts.knowledge.reload()
        held = boxe.log.tip_at(origin, seq)
        assert parts.knowledge.acked(peer, origin) == (seq if held == ours else 0)


def test_claim_of_what_has_another_name_by_now_is_no_other_history(parts: Parts, nova: Device) -> None:
    """P4.9: whoever says it did not know of the fork; another at the same seq is in dispute"""
    _, kept, derived = forked(parts)
    for ack, agrees in ((Ack(derived.seq, derived.tip[:8]), True), (Ack(kept.seq, b"another!"), False)):
        parts.hear(nova, Kind.VECTOR, nova.vector(entries={kept.id: ack}))
        peer = parts.peers.get(nova.own.id)
        assert peer is not None
        assert parts.knowledge.agrees(peer, kept.id) is agrees
        assert parts.knowledge.is_disputed(kept.id, ()) is not agrees
    assert not parts.knowledge.is_disputed(kept.id, {nova.own.id})


def test_head_of_a_branch_that_has_another_name_by_now_is_no_lag(parts: Parts) -> None:
    """P4.6: a clone goes on saying the head it wrote before both branches were known."""
    boxe = parts.device
    twin = boxe.clone()
    boxe.append(draft(b"here"))
    twin.append(*[draft(b"there")] * 9)
    author, head = twin.author, twin.head()
    twin.send_to(boxe)
    parts.knowledge.reload()
    parts.peers.accept(Kind.HEAD, author, 0, encode(head), live=False, now=at(0))
    assert parts.knowledge.behind() == {}


def test_retired_device_is_missed_up_to_what_counts_of_it(parts: Parts, nova: Device) -> None:
    last = {nova.own.id.hex(): 3}
    parts.device.append(system_draft(RETIRE, Retire(device_id(nova.key.public).hex(), last)))
    parts.knowledge.reload()
    parts.hear(nova, Kind.HEAD, nova.head(), now=at(0))
    assert parts.knowledge.behind() == {nova.own.id: 3}
    assert parts.knowledge.wanted() == {nova.own.id: 3}
    assert parts.knowledge.active(at(0)) == []


def test_active_are_those_heard_from_within_the_lease(parts: Parts, nova: Device) -> None:
    """P7.9, P8.5"""
    parts.hear(nova, Kind.HEAD, nova.head(), now=at(0))
    assert [peer.origin for peer in parts.knowledge.active(at(WEEK_MS - 1))] == [nova.own.id]
    assert parts.knowledge.active(at(WEEK_MS)) == []


def test_link_of_a_later_incarnation_tells_of_the_earlier_one(parts: Parts, nova: Device) -> None:
    """P6.4: signed by the same device"""
    old = nova.own
    nova.log.open_incarnation("test", WALL)
    parts.device.log.ingest([nova.run()], WALL)
    parts.knowledge.reload()
    assert parts.knowledge.behind() == {old.id: old.seq}


class Racing(Log):
    """A log on which another process opens an incarnation between two reads."""

    races = 1

    def origins(self) -> list[OriginState]:
        before = super().origins()
        if self.races:
            self.races -= 1
            self.open_incarnation("race", WALL)
        return before


def test_incarnation_opened_by_another_process_between_two_reads_is_noticed_with_the_next(parts: Parts) -> None:
    old = parts.device.own.id
    parts.device.log.__class__ = Racing
    knowledge = Knowledge(parts.device.log, parts.peers, 1)
    assert knowledge.own is not None
    assert knowledge.own.id == old
    assert [state.id for state in knowledge.own_origins()] == [old]
    knowledge.reload()
    assert knowledge.own.id != old
    assert knowledge.own_origins()[-1].generation == 2


def test_range_that_an_index_names_is_asked_for_and_is_never_lag(parts: Parts, nova: Device) -> None:
    """P7.11: a hint, as a vector is"""
    origin = OriginId(b"origin--")
    segment = Segment(3, origin, 1, 7, bytes(8), 0, 1, 100)
    parts.hear(nova, Kind.INDEX, Index(nova.counter(), WALL, 32, [segment]))
    assert parts.knowledge.wanted() == {origin: 7}
    assert parts.knowledge.behind() == {}
    parts.hear(nova, Kind.INDEX, Index(nova.counter(), WALL, 32, []))
    assert parts.knowledge.wanted() == {}


@pytest.mark.parametrize("later", [{}, {b"origin--": Ack(3, bytes(8))}], ids=["missing", "lower"])
def test_hint_is_taken_back_by_a_newer_vector_that_claims_less(
    parts: Parts, nova: Device, later: dict[bytes, Ack]
) -> None:
    """P7.11"""
    origin = OriginId(b"origin--")
    parts.hear(nova, Kind.VECTOR, nova.vector(entries={origin: Ack(5, bytes(8))}))
    assert parts.knowledge.wanted() == {origin: 5}
    parts.hear(nova, Kind.VECTOR, nova.vector(entries={OriginId(name): ack for name, ack in later.items()}))
    assert parts.knowledge.wanted() == ({origin: 3} if later else {})


def test_tips_are_remembered_in_bounded_memory(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers choose the seqs that their vectors name."""
    monkeypatch.setattr(module, "_TIPS_KEPT", 2)
    own = parts.device.own
    for seq in [*range(1, own.seq + 1), 1]:
        assert parts.knowledge.tip(own, seq) == parts.device.log.tip_at(own.id, seq)
        assert len(parts.knowledge._tips) <= 2
