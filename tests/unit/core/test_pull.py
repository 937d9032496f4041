"""Asking for what is missing: whom, when, for what, and what follows when nothing comes (P7.7, P7.8)."""

from __future__ import annotations

import pytest

from hcom_replica.core.settings import Settings
from hcom_replica.core.sources import Failures, Sources
from hcom_replica.ids import OriginId
from hcom_replica.limits import COMMIT_EVENTS_MAX
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Ack, Index, WantItem
from tests.unit.core.builders import TOPICS, WALL, at, draft
from tests.unit.core.pulling import ORIGIN, Pulling, crowded, device, line, three_held_by


@pytest.fixture
def boxe() -> Pulling:
    return Pulling()


def test_writer_that_is_online_is_asked_at_once_on_connect_for_the_lowest_missing_seq(boxe: Pulling) -> None:
    """P7.7"""
    nova = device("NOVA")
    boxe.online(nova)
    (want,) = boxe.tick(0)
    assert (want.to, want.items) == (nova.own.id, [WantItem(nova.own.id, 1, 0)])
    assert boxe.puller.pulling() == [nova.own.id]


def test_origin_of_which_something_is_held_is_asked_for_by_its_full_hash(boxe: Pulling) -> None:
    """P6.7"""
    nova = device("NOVA")
    nova.send_to(boxe.device)
    nova.append(*[draft()] * 3)
    boxe.online(nova)
    (want,) = boxe.tick(0)
    assert want.items == [WantItem(nova.own.hash, 5, 0)]


def test_while_connected_it_waits_a_random_while_before_asking() -> None:
    """P7.7: 200 to 1,000 ms, so that not all ask at once, and one answer serves all"""
    times = []
    for name in ("NOVA", "LUNA", "TUKA", "RIKO"):
        boxe = Pulling()
        boxe.parts.outbox.rng = device(name).rng
        boxe.tick(10_000)
        nova = device("NOVA")
        boxe.online(nova, ms=10_000)
        ((ms, _),) = boxe.run(10_000, 12_000)
        times.append(ms - 10_000)
    assert all(200 <= ms <= 1_050 for ms in times)
    assert len(set(times)) > 1


def test_mailbox_that_names_the_range_comes_before_devices(boxe: Pulling) -> None:
    """P7.7, P8.7"""
    nova, luna = device("NOVA"), device("LUNA")
    boxe.online(nova)
    lines = [line(nova.own.id, 3, 1, 2), line(nova.own.id, 4, 3, 4)]
    boxe.parts.hear(luna, Kind.INDEX, Index(luna.counter(), WALL, 32, lines), now=at(0))
    assert boxe.tick(0) == []
    assert boxe.filters == {TOPICS.segment(luna.own.id, 3), TOPICS.segment(luna.own.id, 4)}


def test_mailbox_with_a_hole_or_without_a_part_is_no_source(boxe: Pulling) -> None:
    nova, luna = device("NOVA"), device("LUNA")
    boxe.online(nova)
    lines = [line(nova.own.id, 3, 2, 4), line(nova.own.id, 4, 1, 1, part=1, parts=2)]
    boxe.parts.hear(luna, Kind.INDEX, Index(luna.counter(), WALL, 32, lines), now=at(0))
    assert [want.to for want in boxe.tick(0)] == [nova.own.id]


def test_any_device_that_claims_to_hold_it_is_asked_when_the_writer_is_away(boxe: Pulling) -> None:
    """P7.7: any holder serves"""
    nova, luna = device("NOVA"), device("LUNA")
    nova.send_to(luna)
    boxe.online(luna)
    (want,) = boxe.tick(0)
    assert want.to == luna.own.id
    assert WantItem(nova.own.id, 1, 0) in want.items


def test_derived_origin_of_which_nothing_is_known_is_asked_from_seq_1_by_its_id(boxe: Pulling) -> None:
    """P4.6, P6.7: its base is not known yet"""
    luna = device("LUNA")
    boxe.online(luna, {ORIGIN: Ack(90_000, bytes(8)), luna.own.id: Ack(4, luna.own.tip[:8])})
    (want,) = boxe.tick(0)
    assert WantItem(ORIGIN, 1, 0) in want.items


def test_where_many_are_known_nobody_asks_at_once() -> None:
    """P7.7: they may all have come back at once"""
    boxe = Pulling()
    for number in range(9):
        boxe.online(device(f"D{number}"))
    assert boxe.tick(0) == []
    assert boxe.run(50, 1_100)


def test_those_who_lack_the_same_ask_the_same_holder_and_those_who_lack_other_things_others() -> None:
    """P7.7: so that one answer serves them, and no holder serves all"""
    nova, holders = device("NOVA", 30), [device(f"D{number}") for number in range(5)]
    for holder in holders:
        nova.send_to(holder)
    chosen: list[list[OriginId]] = []
    for order in (holders, holders[::-1]):
        boxe, sources = Pulling(), Sources(Settings())
        for holder in order:
            boxe.online(holder)
        found = [
            sources.holder(at(0), boxe.parts.knowledge, Failures(), nova.own.id, first, again_ms=0, hunting=False)
            for first in range(1, 20)
        ]
        chosen.append([peer.origin for peer in found if peer is not None])
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 19
    assert len(set(chosen[0])) > 2


def test_what_waits_beyond_a_gap_is_not_asked_for_again(boxe: Pulling) -> None:
    """P4.5: only the gap"""
    nova = device("NOVA", 3 * COMMIT_EVENTS_MAX)
    boxe.online(nova)
    beyond = nova.batch(first=2 * COMMIT_EVENTS_MAX + 1)
    boxe.intake.offer(beyond)
    (want,) = boxe.tick(0)
    assert want.items == [WantItem(nova.own.id, 1, beyond.first - 1)]


def test_holder_that_brings_nothing_is_left_for_the_next_with_half_the_window(boxe: Pulling) -> None:
    """P7.8: 3 s at least"""
    nova, luna = device("NOVA"), device("LUNA")
    nova.send_to(luna)
    nova.send_to(boxe.device)
    nova.append(draft())
    nova.send_to(luna)
    luna.send_to(boxe.device)
    boxe.parts.knowledge.reload()
    nova.append(draft())
    nova.send_to(luna)
    boxe.online(nova)
    boxe.online(luna)
    (first,) = boxe.tick(0)
    ((ms, second),) = boxe.run(50, 5_000)
    assert ms >= 3_000
    assert {first.to, second.to} == {nova.own.id, luna.own.id}
    assert second.window == first.window // 2


def test_answer_that_ends_early_is_followed_by_the_next_want_at_once(boxe: Pulling) -> None:
    """P7.8"""
    nova = device("NOVA", 3 * COMMIT_EVENTS_MAX)
    boxe.online(nova)
    boxe.tick(0)
    boxe.give(nova, nova.own.id, 1, 10)
    (want,) = boxe.tick(20)
    assert want.items == [WantItem(nova.own.hash, boxe.intake.have(nova.own.id) + 1, 0)]
    assert want.window > boxe.wants[0].window, "it was quick: more at a time"


def test_slot_that_holds_something_else_than_its_index_says_is_left_for_a_while(boxe: Pulling) -> None:
    """P8.1: it may be about to be written"""
    nova, luna = device("NOVA"), device("LUNA")
    lines = [line(nova.own.id, 3, 1, 4)]
    boxe.parts.hear(nova, Kind.HEAD, nova.head())
    boxe.parts.hear(luna, Kind.INDEX, Index(luna.counter(), WALL, 32, lines), now=at(0))
    topic = TOPICS.segment(luna.own.id, 3)
    boxe.tick(0)
    assert boxe.filters == {topic}
    boxe.puller.segment(at(100), topic)
    boxe.tick(100)
    for ms in range(200, 29_000, 500):
        boxe.tick(ms)
        assert topic not in boxe.filters
    read = []
    for ms in range(30_000, 34_000, 100):
        boxe.tick(ms)
        read.append(topic in boxe.filters)
    assert any(read)


def test_ring_that_begins_with_a_branch_of_an_unknown_origin_is_read_where_nobody_can_be_asked(boxe: Pulling) -> None:
    """P7.7: of a derived origin nobody can know where it begins"""
    luna = device("LUNA")
    lines = [line(ORIGIN, 3, 70, 80)]
    boxe.parts.hear(luna, Kind.INDEX, Index(luna.counter(), WALL, 32, lines), now=at(0))
    boxe.tick(0)
    assert boxe.filters == {TOPICS.segment(luna.own.id, 3)}


def test_one_holder_is_asked_for_many_origins_in_one_want(boxe: Pulling) -> None:
    """P7.7: up to 64, as far as they fit the window"""
    luna = device("LUNA")
    away = three_held_by(luna)
    boxe.online(luna)
    (want,) = boxe.tick(0)
    assert {item.hash for item in want.items} == {other.own.id for other in [luna, *away]}
    assert set(boxe.puller.pulling()) == {other.own.id for other in [luna, *away]}


def test_origins_whose_missing_bytes_do_not_fit_the_window_are_asked_for_apart() -> None:
    """P7.8: the origins of a want share its window"""
    luna = device("LUNA")
    away = three_held_by(luna)
    boxe = Pulling(Settings(window_bytes_first=away[0].own.cum + 1))
    for other in away:
        boxe.parts.hear(other, Kind.HEAD, other.head())
    boxe.online(luna)
    assert [len(want.items) for want in boxe.tick(0)] == [1, 1, 1, 1]


def test_where_many_would_have_to_be_asked_one_is_asked_for_all() -> None:
    """P7.7: then the others: whoever is online may well have it"""
    boxe = Pulling(Settings(pulls_max=2))
    crowded(boxe)
    (want,) = boxe.tick(0)
    assert len(want.items) == 8


def test_link_that_ends_ends_all_asking(boxe: Pulling) -> None:
    boxe.online(device("NOVA"))
    boxe.tick(0)
    boxe.puller.link_down()
    assert boxe.puller.pulling() == []
    assert boxe.run(0, 10_000) == []
