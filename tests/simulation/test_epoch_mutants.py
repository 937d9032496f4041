"""The defences of section 12 matter: each mutant takes one away, and the test of its danger must notice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hcom_replica.core import membership
from hcom_replica.core.earlier import EarlierEpochs
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.membership import Membership
from hcom_replica.core.peers import Peers
from hcom_replica.core.rekey import Rekey
from tests.simulation import test_epochs as dangers

Mutant = Callable[[pytest.MonkeyPatch], None]


def revoked_device_believed(patch: pytest.MonkeyPatch) -> None:
    """What a revoked device writes is taken as that of any other."""
    patch.setattr(Knowledge, "cut", lambda self, origin, key=None: None)
    patch.setattr(Knowledge, "is_revoked", lambda self, key: False)


def first_to_revoke_wins(patch: pytest.MonkeyPatch) -> None:
    """Whoever revokes first is right, however junior."""
    patch.setattr(membership, "counting", lambda ranks, said: {k: a for a in sorted(said) for k in said[a] if k != a})


def nobody_is_told(patch: pytest.MonkeyPatch) -> None:
    """A device adopts an epoch and says nothing of it under the topics of the one before."""
    patch.setattr(EarlierEpochs, "_tell", lambda *_: None)


def told_once(patch: pytest.MonkeyPatch) -> None:
    """Those who are away are told once: a broker that forgets has told them nothing."""
    honest = EarlierEpochs.closed

    def closed(self: EarlierEpochs) -> None:
        told = dict(self._told)
        honest(self)
        self._told.update(told)

    patch.setattr(EarlierEpochs, "closed", closed)


def earlier_mailboxes_not_read(patch: pytest.MonkeyPatch) -> None:
    """What absent members have left under the earlier topics is left there."""
    patch.setattr(Peers, "ring_at", lambda *_: False)


def earlier_slots_left(patch: pytest.MonkeyPatch) -> None:
    """Nobody clears what is theirs under the earlier topics."""
    patch.setattr(EarlierEpochs, "_clear", lambda *_: None)


def no_epoch_follows(patch: pytest.MonkeyPatch) -> None:
    """An epoch that somebody has who is shut out goes on for ever."""
    patch.setattr(Membership, "is_due", lambda self: False)


def what_is_held_stated_once(patch: pytest.MonkeyPatch) -> None:
    """The cut is what those hold who revoke, whatever others have."""
    honest = Membership.cut

    def cut(self: Membership, key: bytes, origin: bytes) -> int | None:
        founder = {self.viewer.founder: self.book.held.get(self.viewer.founder, {})}
        own = {self.viewer.device.public: self.book.held.get(self.viewer.device.public, {})}
        if honest(self, key, origin) is None:  # type: ignore[arg-type]
            return None
        return max((held.get(origin, 0) for held in (*founder.values(), *own.values())), default=0)  # type: ignore[call-overload]

    patch.setattr(Membership, "cut", cut)


def nobody_is_admitted(patch: pytest.MonkeyPatch) -> None:
    """Newcomers are never given a rank."""
    patch.setattr(Membership, "unadmitted", lambda self: [])


def shut_out_device_goes_on(patch: pytest.MonkeyPatch) -> None:
    """An epoch is spoken in although it is not adopted."""
    patch.setattr(Rekey, "tick", lambda *_, **__: None)


def nobody_doubts(patch: pytest.MonkeyPatch) -> None:
    """What was heard of those whose token one has is believed, and nobody is asked."""
    patch.setattr(Membership, "doubt", lambda self: None)


CAUGHT_BY: dict[Mutant, Callable[[], None]] = {
    revoked_device_believed: dangers.test_what_a_revoked_device_goes_on_writing_is_taken_from_nobody,
    first_to_revoke_wins: dangers.test_thief_who_revokes_everybody_first_is_shut_out_by_who_is_senior,
    nobody_is_told: dangers.test_revoked_device_reads_and_writes_nothing_newer,
    told_once: dangers.test_device_away_for_three_epochs_with_the_broker_wiped_in_each_comes_back,
    earlier_mailboxes_not_read: dangers.test_mail_that_an_absent_member_left_before_the_change_is_read_after_it,
    earlier_slots_left: dangers.test_nothing_of_ours_stays_under_the_earlier_topics,
    no_epoch_follows: dangers.test_two_revocations_at_once_both_count_and_neither_device_reads_on,
    what_is_held_stated_once: dangers.test_cut_is_what_any_remaining_member_holds,
    nobody_is_admitted: dangers.test_devices_are_admitted_by_the_most_senior_one_online,
    nobody_doubts: dangers.test_newcomer_that_has_only_heard_of_a_junior_revocation_asks_and_is_answered,
    shut_out_device_goes_on: dangers.test_rotation_without_a_revocation_moves_all_to_a_new_key,
}


@pytest.mark.parametrize("mutant", CAUGHT_BY, ids=lambda mutant: mutant.__name__)
def test_mutant_of_the_epochs_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        CAUGHT_BY[mutant]()
