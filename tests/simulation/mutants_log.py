"""Mutants of the log: clocks, forks, what is stored, what is taken away.

Each takes one defence away; `test_mutants` shows that the scenario named in CAUGHT_BY notices.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from hcom_replica.core import append, verify
from hcom_replica.core.hlc import drift_ms, pack
from hcom_replica.core.inbox import Inbox
from hcom_replica.core.intake import Intake
from hcom_replica.core.mailbox import Mailbox
from hcom_replica.core.origin import OriginState
from hcom_replica.core.place import Fork, Gap, Held, New, Placement, TipAt, place
from hcom_replica.core.reader import OwnTip
from hcom_replica.core.report import Refused
from hcom_replica.core.verify import Run
from hcom_replica.store import ingest, meta, writer
from hcom_replica.store.ingest import Ingest
from hcom_replica.store.kv import WriteTxn
from hcom_replica.store.log import Log
from hcom_replica.store.redactions import Redactions
from hcom_replica.store.schema import Meta
from hcom_replica.wire import redaction
from hcom_replica.wire.redaction import Redaction

Mutant = Callable[[pytest.MonkeyPatch], None]


def promise_that_is_not_durable(patch: pytest.MonkeyPatch) -> None:
    """A head is published with a promise that a crash forgets."""
    honest = Log.promise

    def promise(self: Log, now_ms: int) -> OwnTip | None:
        tip = honest(self, 0)
        return None if tip is None else msgspec.structs.replace(tip, promise=pack(now_ms))

    patch.setattr(Log, "promise", promise)


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


def gap_stored(patch: pytest.MonkeyPatch) -> None:
    """What comes beyond a gap is stored there and then."""

    def eager(held: OriginState, run: Run, tip_at: TipAt) -> Placement:
        placement = place(held, run, tip_at)
        return New(0) if isinstance(placement, Gap) else placement

    patch.setattr(ingest, "place", eager)
    patch.setattr(ingest, "_fault", lambda before, run, skip: None)
    patch.setattr(Intake, "have", lambda self, origin: 1 << 40)


def commit_signature_not_checked(patch: pytest.MonkeyPatch) -> None:
    """Whatever is said to be of a device is taken to be."""
    patch.setattr(verify, "verify", lambda *_: None)


def forked_writer_goes_on(patch: pytest.MonkeyPatch) -> None:
    """Both writers of a forked origin go on with it."""
    honest = Ingest._notice_own

    def notice(self: Ingest, held: OriginState, reason: str) -> None:
        if reason != ingest.FORKED:
            honest(self, held, reason)

    patch.setattr(Ingest, "_notice_own", notice)


def branches_named_by_arrival(patch: pytest.MonkeyPatch) -> None:
    """The branch that was held first keeps the id."""
    honest = Ingest._place

    def place_late(self: Ingest, held: OriginState, run: Run) -> Placement:
        placement = honest(self, held, run)
        return placement._replace(ours=b"") if isinstance(placement, Fork) else placement

    patch.setattr(Ingest, "_place", place_late)


def remote_clock_never_merged(patch: pytest.MonkeyPatch) -> None:
    """A device's own clock is all it goes by."""
    patch.setattr(ingest, "merge", lambda high_water, remote, now_ms: high_water)


def event_refused_for_its_time(patch: pytest.MonkeyPatch) -> None:
    """What is ahead of the clock is not stored."""
    honest = Ingest._put

    def put(self: Ingest, held: OriginState, run: Run) -> Placement | Refused:
        ahead = drift_ms(run.hlcs[-1], self._now_ms)
        return Refused("order") if ahead else honest(self, held, run)

    patch.setattr(Ingest, "_put", put)


def branch_known_by_its_present_name_only(patch: pytest.MonkeyPatch) -> None:
    """What is sent of a branch under the name that it had before the fork does not fit."""
    patch.setattr(Ingest, "_branch_before", lambda self, run: None)


def counter_begins_anew(patch: pytest.MonkeyPatch) -> None:
    """A process numbers its words as the one before it did."""
    patch.setattr(Log, "next_boot", lambda self: 1)


def redaction_signature_not_checked(patch: pytest.MonkeyPatch) -> None:
    """Whoever asks for it has a body taken away."""

    def believe(key: bytes, redaction: Redaction) -> Redaction:
        return redaction

    patch.setattr(redaction, "check_redaction", believe)
    patch.setattr(verify, "check_redaction", believe)


def body_kept_where_it_is(patch: pytest.MonkeyPatch) -> None:
    """The word for a redaction is kept, and the body as well."""
    patch.setattr(Redactions, "_take_body", lambda self, redaction: None)


def body_without_its_size(patch: pytest.MonkeyPatch) -> None:
    """A body that is gone counts no more, and no commit over it fits."""
    patch.setattr(verify, "encoded_bytes", lambda records: sum(map(len, records)))


def body_left_in_the_mailbox(patch: pytest.MonkeyPatch) -> None:
    """A ring goes on to serve what the log has no more."""
    patch.setattr(Mailbox, "_let_go_of_bodies", lambda *_: None)


CAUGHT_BY: dict[Mutant, str] = {
    promise_that_is_not_durable: "idle_device_moves_the_frontier",
    second_branch_dropped: "fork_two_branches",
    rollback_not_noticed: "rolled_back_folder",
    high_water_not_stored: "clock_that_was_ahead",
    drifting_clock_merged: "clock_that_was_ahead",
    clock_correction_ignored: "clock_that_was_ahead",
    gap_stored: "mailbox_smaller_than_the_gap",
    commit_signature_not_checked: "poison_from_one_member",
    forked_writer_goes_on: "rolled_back_while_nobody_knows",
    branches_named_by_arrival: "fork_two_branches",
    remote_clock_never_merged: "answer_of_a_slow_clock",
    event_refused_for_its_time: "clock_that_was_ahead",
    branch_known_by_its_present_name_only: "fork_deeper_than_a_ring",
    counter_begins_anew: "crash_between_any_two_steps",
    redaction_signature_not_checked: "redaction_by_a_stranger",
    body_kept_where_it_is: "redacted_while_others_are_away",
    body_without_its_size: "redacted_while_others_are_away",
    body_left_in_the_mailbox: "redacted_while_others_are_away",
}
