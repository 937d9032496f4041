"""Answering wants: whole commits, to where the asker listens, once for all who listen there (P4.7, P6.6, P7.8)."""

from __future__ import annotations

import pytest

from hcom_replica.core import serve as module
from hcom_replica.core.packer import as_batch
from hcom_replica.core.serve import Server
from hcom_replica.core.settings import Settings
from hcom_replica.core.verify import verify_batch
from hcom_replica.ids import OriginId
from hcom_replica.limits import COMMIT_EVENTS_MAX
from hcom_replica.wire.batch import Batch, decode_batch
from hcom_replica.wire.frame import Kind, Packed, unpack
from hcom_replica.wire.messages import Want, WantItem, decode_fill, decode_fill_part
from tests.unit.core.builders import KEYS, ROOM, TOPICS, Device, Parts, draft, forked_short, noise, opened

ASKER = OriginId(b"asker---")
OTHER = OriginId(b"other---")
WIDE = 4 << 20


class Answers:
    """A server, and what it has answered."""

    def __init__(self, device: Device, settings: Settings | None = None) -> None:
        self.device = device
        self.parts = Parts(device, settings or Settings())
        self.server = Server(self.parts.outbox, TOPICS, self.parts.settings)
        self.topics: list[str] = []
        self.batches: list[Batch] = []
        self.lasts: list[bool] = []
        self.wants: list[int] = []

    def ask(
        self,
        first: int,
        last: int = 0,
        *,
        window: int = WIDE,
        name: bytes = b"",
        asker: OriginId = ASKER,
        want: int = 1,
    ) -> None:
        item = WantItem(name or self.device.own.hash, first, last)
        self.server.asked(asker, Want(want, self.device.own.id, window, [item]), self.parts.knowledge)

    def pump(self, room: int = ROOM) -> int:
        """Send what may be in flight; returns how many messages that were."""
        self.server.pump(self.parts.knowledge, self.device.signer, room)
        published = self.parts.published()
        for publish in published:
            kind, payload = opened(publish)
            self.topics.append(publish.topic)
            if kind is Kind.FILL:
                fill = decode_fill(payload)
                self.batches.append(decode_batch(unpack(Packed(fill.codec, fill.data))))
                self.wants.append(fill.want)
                self.lasts.append(fill.last)
            else:
                part = decode_fill_part(payload)
                self.wants.append(part.want)
                self.lasts.append(part.last)
        self.tokens = [publish.token for publish in published]
        return len(published)

    def pump_taken(self) -> None:
        """Send what may be in flight, and let the broker take it."""
        self.pump()
        for token in self.tokens:
            self.parts.outbox.answered(token, taken=True)

    def pump_all(self, room: int = ROOM) -> None:
        while self.pump(room):
            for token in self.tokens:
                self.parts.outbox.answered(token, taken=True)

    def seqs(self) -> tuple[int, int]:
        """First and last seq answered; whether there is a hole is checked."""
        for before, after in zip(self.batches, self.batches[1:], strict=False):
            assert after.first == before.last + 1
        return self.batches[0].first, self.batches[-1].last


@pytest.fixture
def boxe() -> Device:
    device = Device("BOXE")
    for _ in range(4):
        device.append(*[draft()] * 300)
    return device


def test_want_is_answered_from_the_commit_below_to_the_newest_with_one_last_message(boxe: Device) -> None:
    """P4.7, P7.8"""
    answers = Answers(boxe)
    answers.ask(500, want=7)
    answers.pump_all()
    first, last = answers.seqs()
    assert first <= 500 < first + COMMIT_EVENTS_MAX
    assert last == boxe.own.seq
    assert answers.lasts == [False] * (len(answers.lasts) - 1) + [True]
    assert set(answers.wants) == {7}
    for batch in answers.batches:
        verify_batch(KEYS.group, batch, boxe.own)


def test_want_with_an_upper_bound_ends_at_the_commit_that_covers_it(boxe: Device) -> None:
    answers = Answers(boxe)
    answers.ask(1, 10)
    answers.pump_all()
    assert answers.seqs()[1] >= 10
    assert answers.lasts[-1]


def test_want_with_a_small_window_is_given_one_whole_bundle(boxe: Device) -> None:
    """P7.8: at least one whole commit, then up to the window."""
    answers = Answers(boxe)
    answers.ask(1, window=0)
    answers.pump_all()
    assert answers.lasts == [True]


@pytest.mark.parametrize(
    ("first", "name"), [(1202, b""), (1, b"unknown-"), (1, b"\x00" * 32)], ids=["not yet written", "unknown", "other"]
)
def test_want_for_what_is_not_held_is_not_answered(boxe: Device, first: int, name: bytes) -> None:
    """P6.7: an origin is named by its full hash, or its id."""
    answers = Answers(boxe)
    answers.ask(first, name=name)
    assert answers.pump() == 0


def test_want_by_the_short_id_is_answered_and_by_another_hash_of_it_is_not(boxe: Device) -> None:
    """P2.3, P6.7"""
    answers = Answers(boxe)
    answers.ask(1, name=boxe.own.id)
    assert answers.pump() > 0
    answers = Answers(boxe)
    answers.ask(1, name=boxe.own.id + bytes(24))
    assert answers.pump() == 0


def test_answers_in_flight_are_few_and_go_on_when_the_broker_has_taken_them(boxe: Device) -> None:
    """A broker keeps few unacknowledged messages of a client, then drops silently."""
    boxe.append(*noise(10, 40_000))
    answers = Answers(boxe, Settings(fills_in_flight=2))
    answers.ask(1)
    assert answers.pump() == 2
    tokens = answers.tokens
    assert answers.pump() == 0
    answers.parts.outbox.answered(tokens[0], taken=True)
    assert answers.pump() == 1


def test_wants_of_two_askers_are_answered_in_turn_and_a_newer_one_replaces_the_older(boxe: Device) -> None:
    boxe.append(*noise(10, 40_000))
    answers = Answers(boxe, Settings(fills_in_flight=4))
    answers.ask(1, want=1)
    answers.ask(2, want=2, asker=OTHER)
    answers.ask(3, want=3)
    answers.pump()
    assert answers.wants == [2, 3, 2, 3]


def test_wants_are_bounded_and_those_that_are_answered_may_be_replaced(
    boxe: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P5.4: anybody can ask in any name; whoever is not answered asks somebody else."""
    monkeypatch.setattr(module, "_JOBS_MAX", 1)
    answers = Answers(boxe)
    answers.ask(1, want=1)
    answers.ask(2, want=2, asker=OTHER)
    answers.ask(3, want=3)
    answers.pump_all()
    assert set(answers.wants) == {3}


def test_want_for_what_a_fork_has_moved_meanwhile_is_dropped_and_the_next_one_answered() -> None:
    """P4.6: the origin may end before the seq asked for, by the time it is its turn."""
    boxe, twin = forked_short()
    answers = Answers(boxe)
    asked = boxe.own
    answers.ask(asked.seq, want=1)
    answers.ask(1, 1, want=2, asker=OTHER)
    twin.send_to(boxe)
    kept = boxe.log.origin_state(asked.id)
    assert kept is not None
    assert kept.seq < asked.seq
    answers.parts.knowledge.reload()
    answers.pump_all()
    assert set(answers.wants) == {2}


def test_want_is_forgotten_with_the_link(boxe: Device) -> None:
    answers = Answers(boxe)
    answers.ask(1)
    answers.server.closed()
    assert answers.pump() == 0


def test_event_that_fits_no_message_goes_in_parts_of_which_the_last_ends_the_answer() -> None:
    """P5.5"""
    device = Device("BOXE")
    device.append(*noise(1, 200_000))
    answers = Answers(device)
    answers.ask(1)
    answers.pump_all()
    assert len(answers.batches) == 1
    assert len(answers.lasts) > 4
    assert answers.lasts == [False] * (len(answers.lasts) - 1) + [True]


def test_answer_goes_to_the_topic_of_the_seq_that_was_asked_for_however_long_it_is() -> None:
    """P6.6"""
    device = Device("BOXE")
    for _ in range(20):
        device.append(*[draft()] * 1000)
    for first in (1, 4095, 9000):
        answers = Answers(device)
        answers.ask(first)
        answers.pump_all()
        assert set(answers.topics) == {TOPICS.fill(device.own.id, first)}
        assert answers.seqs() == (first, device.own.seq)


def test_derived_origin_asked_from_its_unknown_start_is_answered_where_the_asker_listens() -> None:
    """P4.6, P6.6, P7.7: whoever holds nothing of a derived origin does not know its base, and asks from seq 1."""
    boxe = Device("BOXE")
    boxe.append(*[draft()] * 20_000)
    twin = boxe.clone()
    boxe.append(draft(b"here"))
    twin.append(draft(b"there"))
    boxe.send_to(twin)
    twin.send_to(boxe)
    derived = next(state for state in boxe.log.origins() if state.forks)
    assert derived.base == 20_001
    answers = Answers(boxe)
    answers.ask(1, name=derived.id)
    answers.pump_all()
    assert set(answers.topics) == {TOPICS.fill(derived.id, 1)}
    assert answers.seqs() == (derived.base + 1, derived.seq)
    assert as_batch(derived, boxe.log.read_run(derived.id, 1, WIDE) or pytest.fail("nothing held"))


# --- several who ask for the same ---------------------------------------------------------------------------------


@pytest.fixture
def noisy() -> Answers:
    """A server of ten messages that sends two at a time."""
    boxe = Device("BOXE")
    boxe.append(*noise(10, 40_000))
    return Answers(boxe, Settings(fills_in_flight=2))


def test_second_want_for_the_same_is_answered_by_what_the_broker_has_not_had_yet(noisy: Answers) -> None:
    """P7.8: its asker listens already"""
    noisy.ask(1, want=1)
    noisy.pump()
    noisy.ask(1, want=2, asker=OTHER)
    for token in noisy.tokens:
        noisy.parts.outbox.answered(token, taken=True)
    noisy.pump_all()
    assert set(noisy.wants) == {1}
    assert noisy.lasts[-1]


def test_want_for_what_is_being_answered_brings_what_was_sent_before_and_one_last_message(noisy: Answers) -> None:
    """P7.8: the rest is heard by all who ask for the same"""
    noisy.ask(1, want=1)
    noisy.pump_taken()
    sent = noisy.batches[-1].last
    noisy.ask(1, want=2, asker=OTHER)
    noisy.pump_all()
    again = [batch for batch, want in zip(noisy.batches, noisy.wants, strict=True) if want == 2]
    assert (again[0].first, again[-1].last) == (1, sent)
    firsts = [batch.first for batch, want in zip(noisy.batches, noisy.wants, strict=True) if want == 1]
    assert firsts == sorted(set(firsts))
    assert noisy.lasts == [False] * (len(noisy.lasts) - 1) + [True]


def test_want_for_what_was_answered_before_is_answered_again(noisy: Answers) -> None:
    """Whoever asks again has not heard the answer."""
    noisy.ask(1, want=1)
    noisy.pump_all()
    noisy.ask(1, want=2, asker=OTHER)
    noisy.pump_all()
    assert noisy.wants.count(1) == noisy.wants.count(2) > 2


def test_want_whose_answer_was_replaced_before_it_began_is_answered_when_asked_for_again(noisy: Answers) -> None:
    noisy.ask(1, want=1)
    noisy.ask(3, want=2)
    noisy.ask(1, want=3, asker=OTHER)
    noisy.pump_all()
    assert set(noisy.wants) == {2, 3}
