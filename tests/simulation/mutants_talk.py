"""Mutants of what devices say to each other: slots, mailboxes, acknowledgements, asking.

Each takes one defence away; `test_mutants` shows that the scenario named in CAUGHT_BY notices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from hcom_replica.core import peer, peers, sources, vectors
from hcom_replica.core.announce import HeadSlot
from hcom_replica.core.demand import Demand
from hcom_replica.core.disputes import Disputes
from hcom_replica.core.effects import Now
from hcom_replica.core.fence import Fence, Stage
from hcom_replica.core.hunts import Hunts
from hcom_replica.core.inbox import Inbox
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.mailbox import Mailbox
from hcom_replica.core.members import Members
from hcom_replica.core.nudge import Nudge
from hcom_replica.core.origin import OriginState
from hcom_replica.core.outbox import Done
from hcom_replica.core.ownslots import OwnSlots
from hcom_replica.core.peer import Peer
from hcom_replica.core.pull import Puller
from hcom_replica.core.ringclock import RingClock
from hcom_replica.core.serve import Server, _Job
from hcom_replica.core.slotmessage import SlotMessage
from hcom_replica.core.standing import StandingSlot
from hcom_replica.ids import OriginId
from hcom_replica.wire import frame
from hcom_replica.wire.frame import Frame, Kind, Signer
from hcom_replica.wire.messages import Ack, Payload, Presence, pack_entries
from hcom_replica.wire.topics import Topics

Mutant = Callable[[pytest.MonkeyPatch], None]


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
    honest = peer.put

    def put(peer: Peer, page: int, message: SlotMessage) -> bool:
        if page in peer.pages:
            del peer.pages[page]
        return honest(peer, page, message)

    patch.setattr(peers, "put", put)


def dead_holder_waited_for(patch: pytest.MonkeyPatch) -> None:
    """A source that brings nothing is never given up."""
    patch.setattr(Puller, "_check", lambda self, now, origin: None)


def standing_want_not_said(patch: pytest.MonkeyPatch) -> None:
    """Who needs something and meets nobody keeps it to himself."""
    patch.setattr(StandingSlot, "tick", lambda self, *_: None)


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


def retired_device_waited_for(patch: pytest.MonkeyPatch) -> None:
    """A device that is said to have left counts as before."""
    patch.setattr(Members, "cap", lambda self, origin: None)


def late_will_believed(patch: pytest.MonkeyPatch) -> None:
    """What the broker says on behalf of a connection that is dead for long outdoes what the device says now."""
    honest = peer.put

    def put(peer: Peer, page: int, message: SlotMessage) -> bool:
        if isinstance(message, Presence):
            peer.presence = None
        return honest(peer, page, message)

    patch.setattr(peers, "put", put)
    patch.setattr(OwnSlots, "seen", lambda self, now, topic, payload: None)


def sender_signature_not_checked(patch: pytest.MonkeyPatch) -> None:
    """Any member speaks for any other."""
    patch.setattr(frame, "verify", lambda *_: None)


def slot_of_another_believed(patch: pytest.MonkeyPatch) -> None:
    """What stands in a device's slot counts, whoever has signed it."""

    def slot_page(self: Topics, topic: str, _group: str, _origin: OriginId) -> int | None:
        leaves = self.parse(topic)[1]
        return None if not leaves else int(leaves[1]) if len(leaves) == 2 else 0

    patch.setattr(Topics, "slot_page", slot_page)


def undurable_acknowledgement_believed(patch: pytest.MonkeyPatch) -> None:
    """A device whose disk does not keep what it holds acknowledges as any other."""
    honest = Knowledge.acked

    def acked(self: Knowledge, peer: Peer, origin: OriginId) -> int:
        pages, peer.pages = peer.pages, {}
        try:
            return honest(self, peer, origin)
        finally:
            peer.pages = pages

    patch.setattr(Knowledge, "acked", acked)


def hint_counted_as_lag(patch: pytest.MonkeyPatch) -> None:
    """What anybody claims to hold is missing."""

    def behind(self: Knowledge) -> dict[OriginId, int]:
        return {origin: seq - self.have(origin) for origin, seq in self.wanted().items()}

    patch.setattr(Knowledge, "behind", behind)


def equal_lengths_taken_for_equal_histories(patch: pytest.MonkeyPatch) -> None:
    """The hashes in a vector are not compared with what is held."""
    patch.setattr(Disputes, "of_peer", lambda self, peer: [])
    patch.setattr(Disputes, "of_origin", lambda self, state: [])


def no_way_further_back(patch: pytest.MonkeyPatch) -> None:
    """What does not fit is dropped, and nothing else is asked for."""
    patch.setattr(Puller, "misfit", lambda self, *_: None)


def one_answer_taken_for_all_there_is(patch: pytest.MonkeyPatch) -> None:
    """Whoever answers with what is held here is believed to hold nothing else."""
    honest = Peer.claimed
    patch.setattr(Peer, "claims", lambda self, origin, first: honest(self, origin) >= first)
    patch.setattr(Peer, "claimed", lambda self, origin: 0)


def another_history_asked_for_by_number(patch: pytest.MonkeyPatch) -> None:
    """Who meets nobody asks for what is beyond the highest seq that is held, and for nothing else."""
    patch.setattr(Hunts, "hunted", lambda self: {})


def rings_believed_by_number(patch: pytest.MonkeyPatch) -> None:
    """What any ring holds under the same numbers is what was asked for."""
    patch.setattr(Demand, "_contests", lambda self, *_: False)
    patch.setattr(Demand, "_has_mail", lambda self, *_: False)


def only_the_writer_is_asked(patch: pytest.MonkeyPatch) -> None:
    """A device serves its own events only."""

    def claims(peer: Peer, origin: OriginId, first: int) -> bool:
        return peer.origin == origin and peer.head is not None and peer.head.seq >= first

    patch.setattr(Peer, "claims", claims)


def mailbox_never_read(patch: pytest.MonkeyPatch) -> None:
    """Only devices are asked."""
    patch.setattr(sources.Sources, "slots", lambda self, *_: [])
    patch.setattr(sources.Sources, "other_slots", lambda self, *_: [])


def mailbox_written_when_asked_only(patch: pytest.MonkeyPatch) -> None:
    """Who does not flush leaves nothing behind."""
    patch.setattr(RingClock, "_has_come", lambda self, *_, **__: False)


def mailbox_forgotten_by_the_next_process(patch: pytest.MonkeyPatch) -> None:
    """What the broker says of the own mailbox means nothing."""
    patch.setattr(Mailbox, "adopt", lambda self, index: None)


def ring_of_an_earlier_incarnation_cleared_at_once(patch: pytest.MonkeyPatch) -> None:
    """What a device wrote before its newest incarnation is needed by nobody."""
    patch.setattr(Demand, "_earlier_origins", lambda self: [])


def head_not_written_anew_on_a_new_connection(patch: pytest.MonkeyPatch) -> None:
    """What a broker was told once it keeps."""
    patch.setattr(HeadSlot, "opened", lambda self, now: None)


def same_want_answered_as_often_as_it_is_asked(patch: pytest.MonkeyPatch) -> None:
    """Whoever asks is answered, whatever is on its way already."""

    def take_on(self: Server, asker: OriginId, job: _Job) -> None:
        self._jobs[asker, job.origin] = job

    patch.setattr(Server, "_take_on", take_on)


def clone_not_noticed(patch: pytest.MonkeyPatch) -> None:
    """Words of another process in the own slot are put right, and mean nothing."""
    honest = Inbox._own_slot

    def own_slot(self: Inbox, now: Now, topic: str, frame: Frame, payload: bytes, page: int) -> None:
        boot, self._c.outbox.boot = self._c.outbox.boot, 1 << 40
        try:
            honest(self, now, topic, frame, payload, page)
        finally:
            self._c.outbox.boot = boot

    patch.setattr(Inbox, "_own_slot", own_slot)


CAUGHT_BY: dict[Mutant, str] = {
    slot_written_before_the_fence: "rolled_back_folder",
    segment_written_before_its_index_is_taken: "mailbox_smaller_than_the_gap",
    mailbox_cleared_too_early: "flushed_to_the_broker_then_deleted",
    flush_without_reading_back: "broker_that_keeps_nothing",
    acknowledgement_by_number_alone: "false_acknowledgement",
    vector_ahead_of_the_disk: "never_online_together",
    stale_counter_accepted: "false_acknowledgement",
    dead_holder_waited_for: "want_to_a_holder_that_died",
    standing_want_not_said: "standing_want_answered_later_by_another",
    spoilt_slot_left_alone: "outsider_spoils_slots",
    lost_vector_not_asked_for: "lossy_link_repeats_and_reorders",
    lag_without_heads: "announced_and_lost",
    every_slot_for_the_newest: "mailbox_smaller_than_the_gap",
    retired_device_waited_for: "announced_and_lost",
    late_will_believed: "late_will_after_reconnect",
    sender_signature_not_checked: "words_in_the_name_of_another",
    slot_of_another_believed: "false_acknowledgement",
    undurable_acknowledgement_believed: "disk_that_is_not_synced",
    hint_counted_as_lag: "claim_beyond_every_head",
    equal_lengths_taken_for_equal_histories: "two_branches_of_equal_length",
    no_way_further_back: "fork_of_a_fork",
    one_answer_taken_for_all_there_is: "fork_far_back",
    another_history_asked_for_by_number: "fork_deeper_than_a_ring",
    rings_believed_by_number: "fork_deeper_than_a_ring",
    only_the_writer_is_asked: "want_to_a_holder_that_died",
    mailbox_never_read: "never_online_together",
    mailbox_written_when_asked_only: "group_of_one_then_a_joiner",
    mailbox_forgotten_by_the_next_process: "mailbox_smaller_than_the_gap",
    ring_of_an_earlier_incarnation_cleared_at_once: "new_incarnation_leaves_its_mailbox",
    head_not_written_anew_on_a_new_connection: "broker_rolled_back",
    same_want_answered_as_often_as_it_is_asked: "many_lack_the_same",
    clone_not_noticed: "clones_do_not_fight",
}
