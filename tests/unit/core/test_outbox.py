"""Tokens, counters and the order of effects."""

from __future__ import annotations

import random

from hcom_replica.core.effects import Disconnect, Publish, Subscribe, Trace
from hcom_replica.core.outbox import Outbox
from hcom_replica.wire.frame import Kind, open_frame
from tests.unit.core.builders import KEYS, TOPICS, Device, raw


def outbox(boot: int = 1) -> Outbox:
    return Outbox(KEYS, random.Random(5), boot)


def test_counters_grow_and_those_of_a_later_start_are_above_all_earlier_ones() -> None:
    """P6.2"""
    first, second = outbox(1), outbox(2)
    counters = [first.counter() for _ in range(1_000)]
    assert counters == sorted(set(counters))
    assert second.counter() > counters[-1]
    assert {counter >> 32 for counter in counters} == {1}


def test_effects_are_taken_in_the_order_in_which_they_were_asked_for_and_once() -> None:
    box = outbox()
    box.emit(Subscribe(("a",)))
    box.publish("a", b"1", retain=False)
    box.trace("said", times=2)
    box.emit(Disconnect("enough"))
    taken = box.take()
    assert [type(effect) for effect in taken] == [Subscribe, Publish, Trace, Disconnect]
    assert taken[2] == Trace("said", (("times", 2),))
    assert box.take() == []


def test_answer_of_the_broker_reaches_the_publish_that_it_is_for_and_once() -> None:
    box = outbox()
    answers: list[tuple[str, bool]] = []
    box.publish("a", b"1", retain=False, done=lambda taken: answers.append(("a", taken)))
    box.publish("b", b"2", retain=True, done=lambda taken: answers.append(("b", taken)))
    box.publish("c", b"3", retain=True)
    tokens = {effect.topic: effect.token for effect in box.take() if isinstance(effect, Publish)}
    assert len(set(tokens.values())) == 3
    box.answered(tokens["b"], taken=False)
    box.answered(tokens["b"], taken=True)
    box.answered(tokens["c"], taken=True)
    assert answers == [("b", False)]
    assert box.waiting() == 1
    box.answered(tokens["a"], taken=True)
    assert answers == [("b", False), ("a", True)]


def test_answers_that_come_after_the_link_has_ended_are_nobodys() -> None:
    box = outbox()
    answers: list[bool] = []
    box.publish("a", b"1", retain=False, done=answers.append)
    (effect,) = box.take()
    assert isinstance(effect, Publish)
    box.forget()
    assert box.waiting() == 0
    box.answered(effect.token, taken=True)
    assert answers == []


def test_equal_messages_are_sealed_under_different_nonces() -> None:
    """P5.1: a nonce is never used twice under one key"""
    box, device = outbox(), Device("BOXE")
    device.append()
    sealed = [box.seal(TOPICS.ask, Kind.ASK, device.signer, raw(b"x")) for _ in range(2)]
    assert sealed[0][1:25] != sealed[1][1:25]
    assert {open_frame(KEYS, TOPICS.ask, message).payload for message in sealed} == {b"x"}
