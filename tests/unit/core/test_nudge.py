"""Asking for vectors that must have been lost (P8.10)."""

from __future__ import annotations

import pytest

from hcom_replica.core.nudge import Nudge
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import ASK_VECTOR, Ack, Ask, Presence, decode_ask
from tests.unit.core.builders import TOPICS, WALL, Device, Parts, at, draft, opened


class Waiting:
    """BOXE, which has written five events, and NOVA, which is online."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.boxe, self.nova = Device("BOXE"), Device("NOVA")
        self.boxe.append(*[draft()] * 4)
        self.nova.append()
        self.parts = Parts(self.boxe, settings or Settings())
        self.nudge = Nudge(self.parts.outbox, TOPICS, self.parts.settings)

    def says(self, seq: int, ms: int = 0) -> None:
        """NOVA is online, and has so much of BOXE's log."""
        own = self.boxe.own.id
        entries: dict[OriginId, Ack] = {own: Ack(seq, self.boxe.log.tip_at(own, seq)[:8])} if seq else {}
        self.parts.hear(self.nova, Kind.PRESENCE, Presence(self.nova.counter(), WALL, online=True), now=at(ms))
        self.parts.hear(self.nova, Kind.VECTOR, self.nova.vector(entries=entries), now=at(ms))

    def asked(self, start: int, stop: int) -> list[tuple[int, Ask]]:
        """Let time pass; NOVA goes on showing that it is there. Returns who was asked for what, and when."""
        found = []
        for ms in range(start, stop, 1_000):
            self.parts.hear(self.nova, Kind.HEAD, self.nova.head(), now=at(ms))
            self.nudge.tick(at(ms), self.parts.knowledge, self.boxe.signer)
            found += [(ms, decode_ask(opened(publish)[1])) for publish in self.parts.published()]
        return found


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


def test_device_that_lacks_events_and_says_nothing_more_is_asked_each_minute(waiting: Waiting) -> None:
    """P8.10"""
    waiting.says(3)
    asks = waiting.asked(0, 150_000)
    assert [ms for ms, _ in asks] == [60_000, 120_000]
    assert {(ask.to, ask.what) for _, ask in asks} == {(waiting.nova.own.id, ASK_VECTOR)}


def test_device_that_has_all_is_left_alone(waiting: Waiting) -> None:
    waiting.says(5)
    assert waiting.asked(0, 150_000) == []
    assert waiting.nudge.wake_at() is None


def test_device_that_moves_on_is_given_another_minute(waiting: Waiting) -> None:
    """P8.10: has said nothing else for 60 s"""
    waiting.says(2)
    assert waiting.asked(0, 50_000) == []
    waiting.says(4, 50_000)
    assert [ms for ms, _ in waiting.asked(50_000, 120_000)] == [110_000]


def test_device_that_is_not_online_is_not_asked(waiting: Waiting) -> None:
    waiting.says(3)
    waiting.parts.hear(waiting.nova, Kind.PRESENCE, Presence(waiting.nova.counter(), WALL, online=False), now=at(0))
    for ms in range(0, 150_000, 1_000):
        waiting.nudge.tick(at(ms), waiting.parts.knowledge, waiting.boxe.signer)
    assert waiting.parts.published() == []


def test_silence_of_an_earlier_connection_does_not_count(waiting: Waiting) -> None:
    waiting.says(3)
    assert waiting.asked(0, 60_000) == []
    waiting.nudge.closed()
    assert [ms for ms, _ in waiting.asked(60_000, 121_000)] == [120_000]


def test_device_whose_vector_is_not_due_yet_is_left_alone() -> None:
    """P8.10: where a word takes its time, it is given that, also by a device that has said nothing itself"""
    waiting = Waiting(Settings(vector_budget_bytes_s=5))
    waiting.says(3)
    ((ms, _),) = waiting.asked(0, 182_000)
    assert 89_000 < ms < 181_000, "two devices, a page of 224 bytes, 5 of them a second, and at most twice that"


def test_devices_that_are_silent_are_asked_one_by_one_within_the_budget() -> None:
    """P8.10: each answer costs a page, also where nobody has written one yet"""
    waiting = Waiting(Settings(vector_budget_bytes_s=20))
    waiting.says(3)
    luna = Device("LUNA")
    luna.append()
    waiting.parts.hear(luna, Kind.PRESENCE, Presence(luna.counter(), WALL, online=True), now=at(0))
    asks = waiting.asked(0, 100_000)
    first, second = (ms for ms, _ in asks)
    assert first == 60_000
    assert 90_000 < second < 100_000, "three devices, a page of 224 bytes, 20 of them a second"
    assert {ask.to for _, ask in asks} == {waiting.nova.own.id, luna.own.id}
