"""Reading our own slots back: only what stands retained in a slot proves that the broker holds it."""

from __future__ import annotations

import pytest

from hcom_replica.core.effects import Effect, Unsubscribe
from hcom_replica.core.readback import ReadBack
from hcom_replica.core.settings import Settings
from hcom_replica.wire.messages import Segment
from hcom_replica.wire.signing import hash32
from tests.unit.core.builders import TOPICS, Device, Parts, at, subscribed

PAYLOAD = b"a sealed segment"


class Reading:
    """Slot 3 of a ring with two slots is being read."""

    def __init__(self) -> None:
        device = Device("BOXE")
        device.append()
        self.origin = device.own.id
        self.parts = Parts(device, Settings(slot_read_ms=3_000))
        self.readback = ReadBack(self.parts.outbox, TOPICS, self.parts.settings)
        self.ring = {slot: Segment(slot, self.origin, 1, 1, hash32(PAYLOAD)[:8], 0, 1, 9) for slot in (3, 4)}
        self.readback.overdue(at(1_000))
        self.readback.ask(self.origin, [3])
        self.asked = self.parts.effects()

    def topic(self, slot: int) -> str:
        return TOPICS.segment(self.origin, slot)

    def came(self, payload: bytes = PAYLOAD, *, slot: int = 3, retain: bool = True) -> int | None:
        return self.readback.came(self.topic(slot), payload, retain=retain, ring=self.ring)

    def left(self) -> set[str]:
        """What was unsubscribed from since."""
        effects: list[Effect] = self.parts.effects()
        return {name for effect in effects if isinstance(effect, Unsubscribe) for name in effect.filters}


@pytest.fixture
def reading() -> Reading:
    return Reading()


def test_slot_that_holds_what_the_ring_says_is_verified_and_left(reading: Reading) -> None:
    assert subscribed(reading.asked) == {reading.topic(3)}
    assert reading.came() is None
    assert reading.readback.verified == {3}
    assert reading.left() == {reading.topic(3)}
    assert reading.readback.wake_at() is None


@pytest.mark.parametrize("payload", [b"something else", b""], ids=["other bytes", "empty"])
def test_slot_that_holds_something_else_is_told_and_not_verified(reading: Reading, payload: bytes) -> None:
    assert reading.came(payload) == 3
    assert reading.readback.verified == set()
    assert reading.left() == {reading.topic(3)}


def test_slot_that_the_ring_does_not_use_any_more_is_told(reading: Reading) -> None:
    del reading.ring[3]
    assert reading.came() == 3


def test_message_that_is_not_retained_proves_nothing(reading: Reading) -> None:
    """It is our own publish that comes by: the broker may have forwarded it and kept nothing."""
    assert reading.came(retain=False) is None
    assert reading.readback.verified == set()
    assert reading.left() == set()


def test_slot_that_was_not_asked_for_says_nothing(reading: Reading) -> None:
    assert reading.came(b"whatever", slot=4) is None
    assert reading.readback.verified == set()


def test_slot_that_shows_nothing_in_time_is_given_up(reading: Reading) -> None:
    assert reading.readback.wake_at() == 4_000
    assert reading.readback.overdue(at(3_999)) == []
    assert reading.readback.overdue(at(4_000)) == [3]
    assert reading.left() == {reading.topic(3)}
    assert reading.came() is None, "too late: it counts for nothing"
    assert reading.readback.verified == set()


def test_slots_that_are_read_or_verified_are_not_asked_for_again(reading: Reading) -> None:
    reading.readback.ask(reading.origin, [3])
    assert reading.parts.effects() == []
    reading.came()
    reading.parts.effects()
    reading.readback.ask(reading.origin, [3, 4])
    assert subscribed(reading.parts.effects()) == {reading.topic(4)}


def test_slot_about_to_be_overwritten_is_no_longer_verified(reading: Reading) -> None:
    reading.came()
    reading.readback.forget(3)
    assert reading.readback.verified == set()


def test_what_an_earlier_connection_has_verified_is_void(reading: Reading) -> None:
    """A broker may have forgotten in between."""
    reading.came()
    reading.readback.ask(reading.origin, [4])
    reading.readback.closed()
    assert reading.readback.verified == set()
    assert reading.readback.wake_at() is None
