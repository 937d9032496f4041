"""The upkeep of our slots: each part has its turn, what is left on closing, and what is cleared."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hcom_replica.core.effects import Now
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.wire.frame import Kind, Signer, open_frame
from hcom_replica.wire.messages import (
    Standing,
    decode_presence,
)
from tests.unit.core.builders import KEYS, TOPICS, WALL, Device, draft
from tests.unit.core.host import Host, cleared, made


def test_mailbox_in_a_large_group_is_looked_at_less_often_and_written_all_the_same(
    boxe: Device, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who lacks what is seen by a look at every device: a busy group must not make that all there is to do."""
    for number in range(40):
        other = made(f"D{number}")
        host.told(other, Kind.HEAD, other.head())
    looks: list[int] = []
    mailbox = host.machine._c.mailbox
    tick = mailbox.tick

    def looked(now: Now, knowledge: Knowledge, signer: Signer, room: int, *, urgent: bool) -> None:
        looks.append(now.mono_ms)
        tick(now, knowledge, signer, room, urgent=urgent)

    monkeypatch.setattr(mailbox, "tick", looked)
    boxe.append(draft(b"new"))
    host.appended().run(5_000, step_ms=10)
    assert min(after - before for before, after in pairwise(looks)) >= 40
    assert host.retained.get(TOPICS.segment(boxe.own.id, 0))


def test_large_group_offline_waits_for_no_mailbox(boxe: Device, host: Host) -> None:
    """Else a device without a network would look again and again, as fast as it can."""
    for number in range(40):
        other = made(f"D{number}")
        host.told(other, Kind.HEAD, other.head())
    boxe.append(draft(b"new"))
    host.appended().run(2_000, step_ms=10)
    assert host.machine._upkeep._mailbox_skipped
    host.machine.link_down(host.now, "cut")
    host.run(60_000, step_ms=1_000)
    wake_ms = host.machine.wake_at()
    assert wake_ms is None or wake_ms > host.now.mono_ms


def test_closing_says_offline_last_and_is_done_when_the_broker_has_it(boxe: Device, host: Host) -> None:
    host.machine.closing(host.now)
    assert not host.machine.closed()
    host.run(1_000)
    assert host.machine.closed()
    topic = TOPICS.presence(boxe.own.id)
    presence = decode_presence(open_frame(KEYS, topic, host.retained[topic]).payload)
    assert not presence.online


def test_closing_before_the_fence_waits_for_it_and_leaves_the_mailbox_behind(boxe: Device) -> None:
    """P8.2"""
    host = Host(boxe)
    host.run()
    host.machine.will(host.now)
    host.machine.link_up(host.now, None)
    host.machine.closing(host.now)
    host.run()
    assert not host.machine.closed()
    host.run(2_000)
    assert host.machine.closed()
    assert host.retained.get(TOPICS.head(boxe.own.id))
    assert host.retained.get(TOPICS.segment(boxe.own.id, 0))


def test_closing_with_a_new_incarnation_waits_for_its_head(boxe: Device, host: Host) -> None:
    boxe.append(*[draft()] * 20)
    host.appended().run(5_000)
    boxe.log.open_incarnation("test", host.now.wall_ms)
    host.hold = True
    host.machine.closing(host.now)
    host.run()
    topic = TOPICS.head(boxe.own.id)
    host.hold = False
    host.disconnect().connect()
    assert host.retained.get(topic)


def test_forgetting_clears_every_slot_of_ours_and_writes_nothing_after(boxe: Device, host: Host) -> None:
    host.run(10_000)
    host.machine.forget(host.now)
    boxe.append(draft(b"after"))
    host.appended().run(120_000)
    assert not any(host.retained.values())


def test_slots_of_the_incarnation_before_are_cleared_but_for_head_and_mailbox(host: Host) -> None:
    """P7.12: others may need those"""
    device, old = host.device, host.device.own.id
    host.machine.closing(host.now)
    host.run(5_000)
    mailbox = {topic for topic in host.retained if topic.split("/")[1] in "im"}
    assert mailbox, "nobody has it: it is in the mailbox"
    device.log.open_incarnation("test", WALL)
    host.appended().run(1_000)
    assert {TOPICS.presence(old), TOPICS.vector(old, 0)} <= cleared(host)
    assert not ({TOPICS.head(old)} | mailbox) & cleared(host)


def test_slots_that_a_process_before_has_left_of_earlier_incarnations_are_cleared(boxe: Device, host: Host) -> None:
    """P7.12: the incarnation was opened while nobody was connected"""
    old, left = boxe.own.id, dict(host.retained)
    left[TOPICS.standing(old)] = boxe.say(Kind.STANDING, Standing(boxe.counter(), WALL, []))[1]
    boxe.log.open_incarnation("test", WALL)
    later = Host(boxe, boot=2)
    later.retained = left
    later.connect().run(1_000)
    assert cleared(later) == {TOPICS.presence(old), TOPICS.vector(old, 0), TOPICS.standing(old)}


def test_forgetting_says_nothing_on_a_new_connection_either(host: Host) -> None:
    host.machine.forget(host.now)
    host.run(1_000).disconnect().connect().run(60_000)
    assert host.machine.fence_open
    assert not any(host.retained.values())
