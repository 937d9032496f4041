"""Own slots and the guard that puts them back (P7.3)."""

from __future__ import annotations

import pytest

from hcom_replica.core import ownslots as module
from hcom_replica.core.ownslots import OwnSlots
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Presence
from tests.unit.core.builders import TOPICS, WALL, Device, Parts, at, opened

TOPIC = TOPICS.presence(b"origin--")  # type: ignore[arg-type]


@pytest.fixture
def parts() -> Parts:
    return Parts(Device("BOXE"))


def put(parts: Parts, ms: int, value: bytes) -> OwnSlots:
    parts.slots.put(at(ms), TOPIC, value)
    parts.published()
    return parts.slots


def test_slot_that_others_overwrite_is_put_back_at_most_every_ten_seconds(parts: Parts) -> None:
    slots = put(parts, 0, b"ours")
    for ms in range(100, 30_000, 100):
        slots.seen(at(ms), TOPIC, b"theirs")
        slots.tick(at(ms))
    assert [publish.payload for publish in parts.published()] == [b"ours", b"ours"]


def test_slot_that_is_cleared_by_others_is_put_back(parts: Parts) -> None:
    """P6.8: only its owner clears a slot."""
    slots = put(parts, 0, b"ours")
    slots.seen(at(60_000), TOPIC, b"")
    assert slots.wake_at() == 60_000
    slots.tick(at(60_000))
    assert [publish.payload for publish in parts.published()] == [b"ours"]


def test_slot_that_shows_its_value_again_needs_nothing(parts: Parts) -> None:
    """The echo of an older value comes before that of the newest."""
    slots = put(parts, 0, b"newest")
    slots.seen(at(1), TOPIC, b"older")
    slots.seen(at(2), TOPIC, b"newest")
    slots.tick(at(60_000))
    assert parts.published() == []


def test_slot_not_written_on_this_connection_is_left_alone(parts: Parts) -> None:
    """S8: nothing is written before the fence, so there is nothing to put back."""
    slots = put(parts, 0, b"ours")
    slots.forget()
    slots.seen(at(1), TOPIC, b"theirs")
    slots.tick(at(60_000))
    assert parts.published() == []
    assert slots.wake_at() is None
    assert not slots.written(TOPIC)
    assert slots.topics() == []


def test_slot_written_anew_while_spoilt_is_written_once(parts: Parts) -> None:
    slots = put(parts, 0, b"ours")
    slots.seen(at(1), TOPIC, b"theirs")
    put(parts, 2, b"newer")
    slots.tick(at(60_000))
    assert parts.published() == []


def test_message_written_into_a_slot_is_sealed_and_retained(parts: Parts) -> None:
    """P5.3"""
    device = Device("BOXE")
    device.append()
    topic = TOPICS.presence(device.own.id)
    size = parts.slots.write(at(0), topic, Kind.PRESENCE, device.signer, Presence(1, WALL, online=True))
    (publish,) = parts.published()
    assert (publish.retain, len(publish.payload)) == (True, size)
    assert opened(publish)[0] is Kind.PRESENCE


def test_echoes_are_known_for_a_while_in_bounded_memory(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes back after many others is judged by its counter, as the word of an earlier process is."""
    monkeypatch.setattr(module, "_ECHOES_KEPT", 2)
    for value in (b"1", b"2", b"3"):
        put(parts, 0, value)
    assert [parts.slots.wrote(value) for value in (b"1", b"2", b"3")] == [False, True, True]
