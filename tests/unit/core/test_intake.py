"""Batches on their way into the store: taken, held, or spooled beyond a gap in bounded memory (P4.5)."""

from __future__ import annotations

import msgspec
import pytest

from hcom_replica.core.effects import Ingest
from hcom_replica.core.intake import Intake, Taken
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import EventId, OriginId
from hcom_replica.limits import COMMIT_EVENTS_MAX, MIB, SPOOL_BYTES_MAX
from hcom_replica.wire.batch import Batch, Commit
from tests.unit.core.builders import WALL, Device, Parts, draft

SIGNATURE = bytes(64)


class Taking:
    """An intake over a log, and a store that takes what it is given."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.parts = Parts(device)
        self.intake = Intake(self.parts.outbox, self.parts.knowledge)

    def store(self) -> int:
        """Store what is staged; returns how many runs that were."""
        self.intake.take()
        effects = [effect for effect in self.parts.effects() if isinstance(effect, Ingest)]
        runs = [run for effect in effects for run in effect.runs]
        self.device.log.ingest(runs, WALL)
        self.parts.knowledge.reload()
        self.intake.settled()
        return len(runs)


@pytest.fixture
def boxe() -> Device:
    """A device with several commits."""
    device = Device("BOXE")
    for _ in range(5):
        device.append(*[draft()] * COMMIT_EVENTS_MAX)
    return device


@pytest.fixture
def nova() -> Taking:
    device = Device("NOVA")
    device.append()
    return Taking(device)


def pieces(device: Device) -> list[Batch]:
    """All that a device wrote, one batch for each commit."""
    batches, first = [], 1
    while first <= device.own.seq:
        batches.append(device.batch(first=first, raw_bytes=1))
        first = batches[-1].last + 1
    return batches


def junk(origin: OriginId, first: int, records: list[bytes]) -> Batch:
    """A batch that has the shape of one and is signed by nobody."""
    last = first + len(records) - 1
    return Batch(origin, first, bytes(32), 0, records, [Commit(last, SIGNATURE)], None)


def test_run_that_does_not_go_on_from_what_is_held_is_staged_and_no_progress(nova: Taking) -> None:
    """P4.8: whoever brought it is not asked for the same again at once"""
    one = Device("BOXE")
    one.append(*[draft(b"x" * 40_000)] * 2)
    two = one.clone()
    one.append(draft(b"one" * 20_000))
    two.append(draft(b"two" * 20_000))
    for twin in (one, two):
        twin.append(draft(b"more" * 15_000))
    held = one.own.seq - 1
    nova.device.log.ingest([one.run()], WALL)
    nova.parts.knowledge.reload()
    two.append(draft())
    assert nova.intake.offer(two.batch(first=two.own.seq)) is Taken.STAGED
    assert nova.intake.have(one.own.id) == one.own.seq > held
    one.append(draft())
    assert nova.intake.offer(one.batch(first=one.own.seq)) is Taken.STAGED
    assert nova.intake.have(one.own.id) == one.own.seq


def test_run_that_leaves_what_is_held_on_the_way_is_staged_and_no_progress(nova: Taking) -> None:
    """P4.8: it begins as what is held does, and is longer, and is another history: more is lacked of the first."""
    one = Device("BOXE")
    one.append()
    two = one.clone()
    one.append(draft(b"one"))
    two.append(draft(b"two"), draft(b"two"))
    one.send_to(nova.device)
    nova.parts.knowledge.reload()
    held = one.own.seq
    assert nova.intake.offer(two.batch()) is Taken.STAGED
    assert nova.intake.have(one.own.id) == held < two.own.seq
    one.append()
    assert nova.intake.offer(one.batch()) is Taken.STAGED
    assert nova.intake.have(one.own.id) == one.own.seq


def test_batches_in_order_are_staged_for_one_transaction(boxe: Device, nova: Taking) -> None:
    for batch in pieces(boxe):
        assert nova.intake.offer(batch) is Taken.STAGED
    assert nova.intake.have(boxe.own.id) == boxe.own.seq
    assert nova.store() == len(pieces(boxe))
    assert nova.parts.knowledge.have(boxe.own.id) == boxe.own.seq


def test_batches_backwards_wait_and_are_staged_when_the_gap_is_closed(boxe: Device, nova: Taking) -> None:
    """P4.5: beyond what is held it waits, in bounded memory, and the gap is asked for."""
    first, second, *rest = pieces(boxe)
    for batch in reversed(rest):
        assert nova.intake.offer(batch) is Taken.GAP
    assert nova.intake.gaps() == {boxe.own.id: rest[0].first - 1}
    assert nova.intake.spooled_bytes > 0
    assert nova.intake.offer(first) is Taken.STAGED
    assert nova.intake.offer(second) is Taken.STAGED
    assert nova.intake.gaps() == {}
    assert nova.intake.spooled_bytes == 0
    assert nova.intake.have(boxe.own.id) == boxe.own.seq
    nova.store()
    assert nova.parts.knowledge.have(boxe.own.id) == boxe.own.seq


def test_batch_that_is_held_is_known_by_its_signature_alone(boxe: Device, nova: Taking) -> None:
    """Duplicates are the common case of a broker: they must cost no signature checks."""
    for batch in pieces(boxe):
        nova.intake.offer(batch)
    nova.store()
    spoilt = msgspec.structs.replace(pieces(boxe)[-1], prev=bytes(32))
    assert nova.intake.offer(spoilt) is Taken.HELD
    assert nova.intake.duplicates == 1
    assert nova.store() == 0


def test_batch_that_does_not_verify_changes_nothing(boxe: Device, nova: Taking) -> None:
    batch = pieces(boxe)[0]
    with pytest.raises(ProtocolError):
        nova.intake.offer(msgspec.structs.replace(batch, cum=1))
    assert nova.intake.have(boxe.own.id) == 0
    assert nova.store() == 0
    assert nova.intake.offer(batch) is Taken.STAGED


def test_ingest_that_failed_leaves_the_log_as_the_truth(boxe: Device, nova: Taking) -> None:
    nova.intake.offer(pieces(boxe)[0])
    nova.intake.take()
    nova.parts.effects()
    nova.intake.settled()
    assert nova.intake.have(boxe.own.id) == 0
    assert nova.intake.offer(pieces(boxe)[0]) is Taken.STAGED


def test_junk_beyond_the_gap_is_dropped_when_its_turn_comes_and_the_rest_goes_on(boxe: Device, nova: Taking) -> None:
    """What waited unverified was sent by somebody else than what closes the gap: it must not be held against that."""
    first, second, third, fourth, *_ = pieces(boxe)
    assert nova.intake.offer(junk(boxe.own.id, third.first + 1, [b"junk"] * len(third.records))) is Taken.GAP
    assert nova.intake.offer(fourth) is Taken.GAP
    for batch in (first, second, third):
        assert nova.intake.offer(batch) is Taken.STAGED
    assert nova.intake.have(boxe.own.id) == fourth.last
    assert nova.intake.gaps() == {}


@pytest.mark.parametrize("records", [[bytes(MIB)], [b""] * 1_000_000, [b"x"]], ids=["large", "empty", "small"])
def test_spool_is_bounded_whoever_fills_it(nova: Taking, records: list[bytes]) -> None:
    """P5.4: an empty record costs memory too."""
    for number in range(24 if len(records) == 1 and records[0] else 3):
        nova.intake.offer(junk(OriginId(b"junk%04d" % number), 5, records))
        assert nova.intake.spooled_bytes <= SPOOL_BYTES_MAX
    cost = sum(
        len(batch.records) * 8 + sum(map(len, batch.records))
        for waiting in nova.intake._spool.values()
        for batch in waiting.values()
    )
    assert cost <= SPOOL_BYTES_MAX
    assert set(nova.intake.gaps().values()) <= {4}


def test_spool_that_is_full_lets_go_of_what_is_furthest_ahead(nova: Taking) -> None:
    origin = OriginId(b"origin--")
    for number in range(20):
        nova.intake.offer(junk(origin, 5 + number, [bytes(MIB)]))
    assert nova.intake.spooled_from(origin) == 5
    assert nova.intake.gaps() == {origin: 4}


def test_duplicate_without_bodies_is_taken_once(nova: Taking) -> None:
    """P3.10: what is held has its body yet, and the duplicate proves that it is to go; a second one brings nothing."""
    boxe = Device("BOXE")
    boxe.append(draft(b"secret"))
    boxe.send_to(nova.device)
    nova.parts.knowledge.reload()
    batch = boxe.batch()
    assert nova.intake.offer(batch) is Taken.HELD
    boxe.log.redact(EventId(boxe.own.id, 2), WALL)
    blank = msgspec.structs.replace(batch, records=boxe.batch().records[:2])
    assert nova.intake.offer(blank) is Taken.STAGED
    nova.store()
    assert nova.device.log.redaction_count() == 1
    assert nova.intake.offer(blank) is Taken.HELD
    assert nova.intake.offer(batch) is Taken.HELD
