"""The inbox: whose a message is, and what our own slots say of us (protocol-v1 P6.1, P7.2, P7.5)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import ASK_OFF, ASK_VECTOR, Ask, Head, Index
from tests.unit.core.builders import TOPICS, WALL, Device, draft
from tests.unit.core.host import Host


def made(name: str) -> Device:
    device = Device(name)
    device.append(draft())
    return device


def head_of(boxe: Device) -> Head:
    return boxe.head()


def index_of(boxe: Device) -> Index:
    return Index(boxe.counter(), WALL, 32, [])


@pytest.mark.parametrize(("kind", "message"), [(Kind.HEAD, head_of), (Kind.INDEX, index_of)], ids=["head", "index"])
def test_own_slot_that_comes_before_word_of_a_new_incarnation_hides_nothing_of_it(
    kind: Kind, message: Callable[[Device], Head | Index]
) -> None:
    """P7.2: another process may open one at any time; what stands in the slots of the old one is as true as before."""
    boxe = made("BOXE")
    host = Host(boxe, boot=2).connect().run(5_000)
    topic, payload = boxe.say(kind, message(boxe))  # of a process before this one
    boxe.log.open_incarnation("another process", WALL)
    host.hear(topic, payload, retain=True).appended().run(1_000)
    assert host.opened == []
    assert {TOPICS.presence(boxe.own.id), TOPICS.vector(boxe.own.id, 0)} <= host.retained.keys()


def test_own_head_of_what_another_process_has_just_appended_is_not_beyond_the_log() -> None:
    """P7.2: heads are of the log as it is when they are written, and the machine may be told of that later."""
    boxe = made("BOXE")
    host = Host(boxe, boot=2).connect()
    boxe.append(draft(b"another process"))
    host.told(boxe, Kind.HEAD, boxe.head(), retain=True)
    assert host.opened == []


def test_ask_to_nobody_in_particular_is_answered_by_about_as_many_as_are_needed() -> None:
    """P7.5: a thousand vectors would drown the asker; one that is asked by name answers always."""
    host = Host(made("BOXE")).connect()
    asker, *_ = others = [made(f"D{number}") for number in range(40)]
    for other in others:
        host.told(other, Kind.HEAD, other.head())
    host.run(60_000).take()

    def answers(to: bytes | None) -> int:
        for number in range(100):
            host.told(asker, Kind.ASK, Ask(number, to, ASK_VECTOR))
        return len(host.take(Kind.VECTOR))

    assert 5 < answers(None) < 50, "8 of 40"
    assert answers(host.device.own.id) == 100


def test_request_to_stop_is_there_until_it_was_done_and_can_be_made_again() -> None:
    host, nova = Host(made("BOXE")).connect(), made("NOVA")
    for number in range(2):
        host.told(nova, Kind.ASK, Ask(number, None, ASK_OFF))
        assert host.machine.off_requested
        host.machine.off_requested = False
        assert not host.machine.off_requested
