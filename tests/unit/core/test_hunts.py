"""Looking for where another history begins: from how far back, and when it is over (P4.8, P4.9)."""

from __future__ import annotations

import pytest

from hcom_replica.ids import OriginId
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Ack, Index
from tests.unit.core.builders import TOPICS, WALL, at, draft, noise
from tests.unit.core.pulling import Pulling, device, line


@pytest.fixture
def boxe() -> Pulling:
    return Pulling()


def test_run_that_does_not_fit_is_asked_for_from_further_back_down_to_the_base(boxe: Pulling) -> None:
    """P4.8: twice as far each time"""
    nova = device("NOVA")
    for _ in range(30):
        nova.append(*noise(1, 40_000))
    nova.send_to(boxe.device)
    nova.append(draft())
    boxe.online(nova)
    asked = [boxe.tick(0)[0].items[0].first]
    ms = 0
    while asked[-1] > 1:
        ms += 10
        boxe.puller.misfit(at(ms), boxe.parts.knowledge, nova.own.id, asked[-1] - 1)
        asked.append(boxe.tick(ms)[0].items[0].first)
    steps = [asked[0] - first for first in asked[1:]]
    assert steps == sorted(set(steps))
    assert len(asked) < 9
    assert asked[-1] == 1


def test_hunt_goes_on_behind_what_a_holder_has_too_as_far_as_it_claims(boxe: Pulling) -> None:
    """P4.9: one answer may end before anything differs; a part of an event says nothing yet"""
    nova = device("NOVA", events=9)
    nova.send_to(boxe.device)
    origin = nova.own.id
    boxe.online(nova, {origin: Ack(8, b"another!")})
    boxe.puller.misfit(at(0), boxe.parts.knowledge, origin, 8)
    firsts = []
    for ms, held in enumerate((3, 5, 10)):
        (want,) = boxe.tick(ms)
        firsts.append(want.items[0].first)
        boxe.puller.fill(at(ms), TOPICS.fill(origin, firsts[-1]), origin, nova.author, want.id, last=False, held=held)
        boxe.puller.fill(at(ms), TOPICS.fill(origin, firsts[-1]), origin, nova.author, want.id, last=True, held=None)
    assert firsts == [1, 4, 6]
    assert boxe.run(3, 60_000) == [], "all that is claimed is held: the claim was false"


def test_hunt_halves_what_lies_between_what_a_holder_has_too_and_what_differs(boxe: Pulling) -> None:
    """P4.9: an answer that does not fit is as good as one that is held; what begins later says nothing new"""
    nova = device("NOVA", events=4_000)
    nova.send_to(boxe.device)
    origin = nova.own.id
    boxe.online(nova, {origin: Ack(4_001, b"another!")})
    for before in (4_001, 3_840, 3_328, 1_792):
        boxe.puller.misfit(at(0), boxe.parts.knowledge, origin, before)
    (want,) = boxe.tick(0)
    assert (want.items[0].first, want.window) == (1, boxe.parts.settings.window_bytes_min)
    boxe.puller.fill(at(0), TOPICS.fill(origin, 1), origin, nova.author, want.id, last=True, held=256)
    (want,) = boxe.tick(1)
    middle = want.items[0].first
    assert middle == 256 + (1_792 - 256) // 2 + 1
    for before in (middle - 1, middle + 255):
        boxe.puller.fill(at(1), TOPICS.fill(origin, middle), origin, nova.author, want.id, last=before > middle, held=0)
        boxe.puller.misfit(at(2), boxe.parts.knowledge, origin, before)
    (want,) = boxe.tick(2)
    assert want.items[0].first == 257, "little is left: what differs is fetched"
    assert want.window > boxe.parts.settings.window_bytes_min
    assert boxe.hunts.questions() == {origin: 3}
    boxe.puller.stored(at(3), origin)
    assert boxe.hunts.questions() == {origin: 3}, "that is remembered"


def test_holder_whose_claim_was_false_does_not_end_the_hunt_for_what_another_claims(boxe: Pulling) -> None:
    """P4.9: a liar, or an incarnation whose words are out of date, would hide a branch for ever"""
    nova, luna, sora = device("NOVA", events=9), device("LUNA"), device("SORA")
    nova.send_to(boxe.device)
    origin = nova.own.id
    by_origin = {peer.own.id: peer for peer in (luna, sora)}
    for peer in by_origin.values():
        boxe.online(peer, {origin: Ack(8, b"another!")})
    boxe.puller.misfit(at(0), boxe.parts.knowledge, origin, 8)
    asked = []
    for ms in (0, 1):
        (want,) = [want for want in boxe.tick(ms) if want.items[0].hash[:8] == origin]
        asked.append(OriginId(want.to or b""))
        holder, topic = by_origin[asked[-1]], TOPICS.fill(origin, want.items[0].first)
        boxe.puller.fill(at(ms), topic, origin, holder.author, want.id, last=True, held=8)
    assert sorted(asked) == sorted(by_origin)
    assert [want for _, want in boxe.run(2, 10_000) if want.items[0].hash[:8] == origin] == [], "nobody else claims it"


def test_hunt_begins_anew_when_what_comes_does_not_fit_behind_what_a_holder_had_too(boxe: Pulling) -> None:
    """P4.8: it may hold another branch by now"""
    nova = device("NOVA", events=9)
    nova.send_to(boxe.device)
    origin = nova.own.id
    boxe.online(nova, {origin: Ack(8, b"another!")})
    boxe.puller.misfit(at(0), boxe.parts.knowledge, origin, 8)
    (want,) = boxe.tick(0)
    boxe.puller.fill(at(0), TOPICS.fill(origin, 1), origin, nova.author, want.id, last=True, held=5)
    assert [want.items[0].first for want in boxe.tick(1)] == [6]
    boxe.puller.misfit(at(2), boxe.parts.knowledge, origin, 5)
    boxe.puller.unplaced(at(2), origin, origin)
    assert [want.items[0].first for _, want in boxe.run(50, 6_000)][:1] == [1]


def test_hunt_reads_what_rings_hold_anywhere_where_nobody_can_be_asked(boxe: Pulling) -> None:
    """P4.9: and asks whoever is away to go on behind what was found to be held in both"""
    nova, luna = device("NOVA", events=9), device("LUNA")
    nova.send_to(boxe.device)
    origin = nova.own.id
    lines = [line(origin, 0, 1, 3), line(origin, 1, 4, 5)]
    boxe.parts.hear(luna, Kind.INDEX, Index(luna.counter(), WALL, 32, lines), now=at(0))
    boxe.puller.misfit(at(0), boxe.parts.knowledge, origin, 8)
    boxe.puller.misfit(at(0), boxe.parts.knowledge, origin, 7)
    boxe.tick(0)
    slots = {TOPICS.segment(luna.own.id, slot) for slot in (0, 1)}
    assert boxe.filters == slots
    for slot, last in ((0, 3), (1, 5)):
        boxe.puller.segment(at(10), TOPICS.segment(luna.own.id, slot), luna.own.id, held=last)
    assert boxe.run(50, 60_000) == []
    assert not boxe.filters & slots, "what is held too is not read again"
    assert boxe.lacks.stuck(at(60_000)) == [origin]
    assert boxe.hunts.hunted() == {origin: 5}


def test_rings_below_what_is_held_are_read_once_where_nothing_carries_on(boxe: Pulling) -> None:
    """P7.7, P4.9: who leaves that there may know it to be another history; what is held in both is left out then"""
    nova, luna = device("NOVA", events=9), device("LUNA")
    nova.send_to(boxe.device)
    nova.append(draft())
    origin = nova.own.id
    boxe.parts.hear(luna, Kind.INDEX, Index(luna.counter(), WALL, 32, [line(origin, 0, 1, 5)]), now=at(0))
    boxe.parts.hear(nova, Kind.HEAD, nova.head())
    boxe.tick(0)
    assert boxe.filters == {TOPICS.fill(origin, 11)}, "a device may come that can be asked"
    boxe.tick(2_000)
    assert boxe.filters == {TOPICS.fill(origin, 11), TOPICS.segment(luna.own.id, 0)}
    boxe.puller.segment(at(10), TOPICS.segment(luna.own.id, 0), luna.own.id, held=5)
    boxe.run(50, 90_000)
    assert TOPICS.segment(luna.own.id, 0) not in boxe.filters
    assert boxe.hunts.hunted() == {origin: 5}
