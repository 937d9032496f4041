"""The defences matter: each mutant takes one away from the core, and a scenario or a schedule must notice.

A mutant that lives would mean that a rule is written down, and carried out, and that nobody would see it go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hcom_replica.core import append, peers, vectors
from hcom_replica.core.demand import Demand
from hcom_replica.core.effects import Now
from hcom_replica.core.fence import Fence, Stage
from hcom_replica.core.hlc import pack
from hcom_replica.core.inbox import Inbox
from hcom_replica.core.intake import Intake
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.mailbox import Mailbox
from hcom_replica.core.members import Members
from hcom_replica.core.nudge import Nudge
from hcom_replica.core.origin import OriginState
from hcom_replica.core.outbox import Done
from hcom_replica.core.ownslots import OwnSlots
from hcom_replica.core.peers import Peer, SlotMessage
from hcom_replica.core.place import Fork, Gap, Held, New, Placement, TipAt, place
from hcom_replica.core.pull import Puller
from hcom_replica.core.reader import OwnTip
from hcom_replica.core.standing import StandingSlot
from hcom_replica.core.verify import Run
from hcom_replica.ids import OriginId
from hcom_replica.store import ingest, meta, writer
from hcom_replica.store.ingest import Ingest
from hcom_replica.store.kv import WriteTxn
from hcom_replica.store.log import Log
from hcom_replica.store.schema import Meta
from hcom_replica.testing.scenario import play
from hcom_replica.wire.frame import Kind, Signer
from hcom_replica.wire.messages import Ack, Payload, Presence, pack_entries

SCENARIOS = Path(__file__).parent / "scenarios"
Mutant = Callable[[pytest.MonkeyPatch], None]


def promise_that_is_not_durable(patch: pytest.MonkeyPatch) -> None:
    """A head is published with a promise that a crash forgets."""
    honest = Log.promise

    def promise(self: Log, now_ms: int) -> OwnTip | None:
        tip = honest(self, 0)
        return None if tip is None else replace(tip, promise=pack(now_ms))

    patch.setattr(Log, "promise", promise)


def slot_written_before_the_fence(patch: pytest.MonkeyPatch) -> None:
    """Own slots are written as soon as there is a connection."""
    patch.setattr(Fence, "open", property(lambda fence: fence.stage is not Stage.DOWN))


def segment_written_before_its_index_is_taken(patch: pytest.MonkeyPatch) -> None:
    """The index is on its way, and the slot is overwritten in the same breath."""
    honest = OwnSlots.write

    def write(
        self: OwnSlots, now: Now, topic: str, kind: Kind, signer: Signer, message: Payload, done: Done | None = None
    ) -> int:
        size = honest(self, now, topic, kind, signer, message)
        if done is not None:
            done(True)
        return size

    patch.setattr(OwnSlots, "write", write)


def mailbox_cleared_too_early(patch: pytest.MonkeyPatch) -> None:
    """A ring is cleared though somebody has not acknowledged what it holds."""
    patch.setattr(Demand, "is_over", lambda self, segment: True)


def flush_without_reading_back(patch: pytest.MonkeyPatch) -> None:
    """What the broker took is called safe there."""
    patch.setattr(Mailbox, "safe_upto", lambda self, origin, above: 1 << 40)


def acknowledgement_by_number_alone(patch: pytest.MonkeyPatch) -> None:
    """Whoever says to hold a seq is believed, whatever its hash is."""

    def acked(self: Knowledge, peer: Peer, origin: OriginId) -> int:
        ack = peer.acks.get(origin)
        return ack.seq if ack is not None else 0

    patch.setattr(Knowledge, "acked", acked)


def vector_ahead_of_the_disk(patch: pytest.MonkeyPatch) -> None:
    """What is expected to come is acknowledged already."""

    def pages_of(states: Mapping[OriginId, OriginState]) -> list[bytes]:
        return [pack_entries(sorted((origin, Ack(s.seq + 1, s.tip[:8])) for origin, s in states.items()))]

    patch.setattr(vectors, "pages_of", pages_of)


def stale_counter_accepted(patch: pytest.MonkeyPatch) -> None:
    """The word heard last counts, not the word said last."""
    honest = peers._put

    def put(peer: Peer, page: int, message: SlotMessage) -> bool:
        if page in peer.pages:
            del peer.pages[page]
        return honest(peer, page, message)

    patch.setattr(peers, "_put", put)


def second_branch_dropped(patch: pytest.MonkeyPatch) -> None:
    """Events whose numbers are held are taken to be held."""

    def blind(held: OriginState, run: Run, tip_at: TipAt) -> Placement:
        placement = place(held, run, tip_at)
        return Held() if isinstance(placement, Fork) else placement

    patch.setattr(ingest, "place", blind)


def rollback_not_noticed(patch: pytest.MonkeyPatch) -> None:
    """What the broker and the others hold of the own log beyond the disk means nothing."""
    patch.setattr(Inbox, "_beyond", lambda self, message: False)
    patch.setattr(Ingest, "_notice_own", lambda self, held, reason: None)


def high_water_not_stored(patch: pytest.MonkeyPatch) -> None:
    """The clock of the log is not kept with what it stamped."""
    honest = meta.write_number

    def write_number(txn: WriteTxn, name: Meta, value: int) -> None:
        if name is not Meta.HIGH_WATER:
            honest(txn, name, value)

    patch.setattr(writer, "write_number", write_number)


def drifting_clock_merged(patch: pytest.MonkeyPatch) -> None:
    """A device follows whatever clock is furthest ahead."""
    patch.setattr(ingest, "merge", lambda high_water, remote, now_ms: max(high_water, remote))
    patch.setattr(ingest, "drift_ms", lambda hlc, now_ms: 0)


def clock_correction_ignored(patch: pytest.MonkeyPatch) -> None:
    """A device goes on from its wrong time after its clock was put right."""
    patch.setattr(writer, "drift_ms", lambda hlc, now_ms: 0)
    patch.setattr(append, "drift_ms", lambda hlc, now_ms: 0)


def dead_holder_waited_for(patch: pytest.MonkeyPatch) -> None:
    """A source that brings nothing is never given up."""
    patch.setattr(Puller, "_check", lambda self, now, origin: None)


def standing_want_not_said(patch: pytest.MonkeyPatch) -> None:
    """Who needs something and meets nobody keeps it to himself."""
    patch.setattr(StandingSlot, "tick", lambda self, now, signer, known, missing: None)


def spoilt_slot_left_alone(patch: pytest.MonkeyPatch) -> None:
    """What others put into an own slot stays there."""
    patch.setattr(OwnSlots, "seen", lambda self, now, topic, payload: None)


def lost_vector_not_asked_for(patch: pytest.MonkeyPatch) -> None:
    """An acknowledgement that got lost is never said again."""
    patch.setattr(Nudge, "tick", lambda self, *_: None)


def lag_without_heads(patch: pytest.MonkeyPatch) -> None:
    """Only what was seen of the events themselves is known to be missing."""
    patch.setattr(Knowledge, "behind", lambda self: {})


def every_slot_for_the_newest(patch: pytest.MonkeyPatch) -> None:
    """A mailbox that is too small keeps what is newest, and nothing of what is needed next."""
    patch.setattr(Demand, "low", property(lambda demand: max(0, demand.own.seq - 300)))


def gap_stored(patch: pytest.MonkeyPatch) -> None:
    """What comes beyond a gap is stored there and then."""

    def eager(held: OriginState, run: Run, tip_at: TipAt) -> Placement:
        placement = place(held, run, tip_at)
        return New(0) if isinstance(placement, Gap) else placement

    patch.setattr(ingest, "place", eager)
    patch.setattr(ingest, "_fault", lambda before, run, skip: None)
    patch.setattr(Intake, "have", lambda self, origin: 1 << 40)


def retired_device_waited_for(patch: pytest.MonkeyPatch) -> None:
    """A device that is said to have left counts as before."""
    patch.setattr(Members, "cap", lambda self, origin: None)


def late_will_believed(patch: pytest.MonkeyPatch) -> None:
    """What the broker says on behalf of a connection that is dead for long outdoes what the device says now."""
    honest = peers._put

    def put(peer: Peer, page: int, message: SlotMessage) -> bool:
        if isinstance(message, Presence):
            peer.presence = None
        return honest(peer, page, message)

    patch.setattr(peers, "_put", put)
    patch.setattr(OwnSlots, "seen", lambda self, now, topic, payload: None)


CAUGHT_BY: dict[Mutant, str] = {
    promise_that_is_not_durable: "idle_device_moves_the_frontier",
    slot_written_before_the_fence: "rolled_back_folder",
    segment_written_before_its_index_is_taken: "mailbox_smaller_than_the_gap",
    mailbox_cleared_too_early: "flushed_to_the_broker_then_deleted",
    flush_without_reading_back: "broker_that_keeps_nothing",
    acknowledgement_by_number_alone: "false_acknowledgement",
    vector_ahead_of_the_disk: "never_online_together",
    stale_counter_accepted: "false_acknowledgement",
    second_branch_dropped: "fork_two_branches",
    rollback_not_noticed: "rolled_back_folder",
    high_water_not_stored: "clock_that_was_ahead",
    drifting_clock_merged: "clock_that_was_ahead",
    clock_correction_ignored: "clock_that_was_ahead",
    dead_holder_waited_for: "want_to_a_holder_that_died",
    standing_want_not_said: "standing_want_answered_later_by_another",
    spoilt_slot_left_alone: "outsider_spoils_slots",
    lost_vector_not_asked_for: "lossy_link_repeats_and_reorders",
    lag_without_heads: "announced_and_lost",
    every_slot_for_the_newest: "mailbox_smaller_than_the_gap",
    gap_stored: "mailbox_smaller_than_the_gap",
    retired_device_waited_for: "announced_and_lost",
    late_will_believed: "late_will_after_reconnect",
}


@pytest.mark.parametrize("mutant", CAUGHT_BY, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught_by_its_scenario(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (SCENARIOS / f"{CAUGHT_BY[mutant]}.scenario").read_text()
    mutant(monkeypatch)
    try:
        played = play(text)
    except AssertionError:
        return
    assert played != text
