"""What is under way: who is waited for, what counts as an answer, and when it is given up (P7.7, P7.8)."""

from __future__ import annotations

import pytest

from hcom_replica.core.effects import Publish, Subscribe
from hcom_replica.core.settings import Settings
from hcom_replica.limits import COMMIT_EVENTS_MAX
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Index, WantItem
from tests.unit.core.builders import TOPICS, WALL, at, draft, subscribed
from tests.unit.core.pulling import Pulling, device, line, three_held_by


@pytest.fixture
def boxe() -> Pulling:
    return Pulling()


def test_answer_is_subscribed_to_before_the_want_is_published_and_left_when_nothing_is_missing(boxe: Pulling) -> None:
    """P7.7: in the same flight"""
    nova = device("NOVA")
    boxe.online(nova)
    boxe.puller.tick(at(0), boxe.parts.knowledge, boxe.device.signer)
    effects = boxe.parts.effects()
    kinds = [type(effect) for effect in effects]
    assert kinds.index(Subscribe) < kinds.index(Publish)
    assert subscribed(effects) == {TOPICS.fill(nova.own.id, 1)}
    boxe.filters = subscribed(effects)
    boxe.give(nova, nova.own.id, 1, 10)
    assert boxe.tick(20) == []
    assert boxe.filters == set()


def test_want_of_another_device_for_the_same_range_is_as_good_as_asking(boxe: Pulling) -> None:
    """P7.7"""
    nova = device("NOVA")
    boxe.tick(10_000)
    boxe.online(nova, ms=10_000)
    boxe.tick(10_000)
    assert TOPICS.fill(nova.own.id, 1) in boxe.filters, "also before anybody asks"
    boxe.hear_want(10_050, nova)
    times = [ms for ms, _ in boxe.run(10_100, 13_000)]
    assert 11_250 <= times[0] <= 12_100, "1 s and another random wait"


def test_answer_to_another_device_is_waited_for_while_it_comes_and_then_the_next_want_of_that_one(
    boxe: Pulling,
) -> None:
    """P7.7, P7.8"""
    nova = device("NOVA", 9 * COMMIT_EVENTS_MAX)
    boxe.tick(10_000)
    boxe.online(nova, ms=10_000)
    boxe.tick(10_000)
    boxe.hear_want(10_050, nova)
    have = 0
    for ms in range(11_000, 15_000, 1_000):
        boxe.give(nova, nova.own.id, have + 1, ms, last=False)
        have = boxe.intake.have(nova.own.id)
        assert boxe.run(ms, ms + 1_000) == []
        assert boxe.filters == {TOPICS.fill(nova.own.id, 1)}
    boxe.give(nova, nova.own.id, have + 1, 15_000)
    have = boxe.intake.have(nova.own.id)
    boxe.tick(15_000)
    assert boxe.filters == {TOPICS.fill(nova.own.id, have + 1)}
    assert boxe.run(15_050, 15_200) == []
    boxe.hear_want(15_200, nova, first=have + 1)
    ((ms, want),) = boxe.run(15_200, 17_300)
    assert ms >= 16_400
    assert want.items == [WantItem(nova.own.hash, have + 1, 0)]


def test_answer_that_comes_unasked_to_where_is_listened_is_waited_for(boxe: Pulling) -> None:
    """P7.7: the want was not heard, or was lost"""
    nova = device("NOVA", 9 * COMMIT_EVENTS_MAX)
    boxe.tick(10_000)
    boxe.online(nova, ms=10_000)
    boxe.tick(10_000)
    boxe.fill(10_100, nova.own.id, nova, 77, place=2)
    assert boxe.puller.pulling() == [], "that is not where it listens"
    boxe.fill(10_100, nova.own.id, nova, 77)
    assert boxe.puller.pulling() == [nova.own.id]
    assert boxe.run(10_150, 11_250) == []


def test_want_of_another_device_that_begins_elsewhere_is_not_waited_for(boxe: Pulling) -> None:
    """P7.7: its answer goes elsewhere"""
    nova = device("NOVA")
    boxe.tick(10_000)
    boxe.online(nova, ms=10_000)
    boxe.tick(10_000)
    boxe.hear_want(10_050, nova, first=2)
    ((ms, _),) = boxe.run(10_100, 11_200)
    assert ms <= 11_050


@pytest.mark.parametrize(("number", "leads"), [(0, False), (1 << 60, True)])
def test_of_two_that_have_asked_for_the_same_the_one_with_the_lower_number_goes_on(number: int, leads: bool) -> None:
    """P7.7"""
    boxe = Pulling()
    nova = device("NOVA", 9 * COMMIT_EVENTS_MAX)
    boxe.online(nova)
    boxe.tick(0)
    boxe.hear_want(10, nova, number=number)
    boxe.give(nova, nova.own.id, 1, 20)
    ((ms, _),) = boxe.run(30, 1_300)[:1]
    assert (ms == 30) is leads
    assert leads or ms >= 220


def test_answer_of_the_asked_holder_to_another_that_has_asked_for_the_same_is_as_good(boxe: Pulling) -> None:
    """P7.8: a holder that is asked for the same twice answers once"""
    nova = device("NOVA", 9 * COMMIT_EVENTS_MAX)
    boxe.online(nova)
    (want,) = boxe.tick(0)
    boxe.fill(10, nova.own.id, nova, 77, last=True)
    assert boxe.puller.pulling() == [nova.own.id], "the beginning was not heard: it is still to come"
    boxe.intake.offer(nova.batch(raw_bytes=1))
    boxe.fill(20, nova.own.id, nova, 77, last=True)
    assert boxe.puller.pulling() == []
    assert boxe.tick(30)[0].items[0].first > want.items[0].first


def test_holder_whose_messages_keep_coming_is_waited_for(boxe: Pulling) -> None:
    nova = device("NOVA")
    boxe.online(nova)
    boxe.tick(0)
    for ms in range(1_000, 20_000, 1_000):
        boxe.fill(ms, nova.own.id, nova)
        assert boxe.tick(ms) == []


@pytest.mark.parametrize(("by_holder", "same_place"), [(False, True), (True, False), (False, False)])
def test_fills_that_bring_nothing_neither_hold_a_pull_open_nor_end_it(by_holder: bool, same_place: bool) -> None:
    """P7.8: a member that hears a want could keep the asker from turning to the next holder, or from the one asked"""
    boxe = Pulling()
    nova, mallory = device("NOVA"), device("LUNA")
    boxe.online(nova)
    (want,) = boxe.tick(0)
    sender = nova if by_holder else mallory
    for ms in range(50, 2_950, 50):
        boxe.fill(ms, nova.own.id, sender, want.id, last=True, place=1 if same_place else 2)
        assert boxe.tick(ms) == []
        assert boxe.puller.pulling() == [nova.own.id]
    boxe.tick(3_050)
    assert boxe.puller.pulling() == []


def test_fill_of_somebody_elses_want_that_brings_something_is_progress(boxe: Pulling) -> None:
    """P7.7: one answer serves all who need the block"""
    nova, luna = device("NOVA", 3 * COMMIT_EVENTS_MAX), device("LUNA")
    nova.send_to(luna)
    boxe.online(nova)
    boxe.tick(0)
    boxe.intake.offer(nova.batch(raw_bytes=1))
    boxe.fill(2_900, nova.own.id, luna, 0, last=True)
    boxe.tick(5_800)
    assert boxe.puller.pulling() == [nova.own.id]


def test_slot_that_shows_nothing_is_given_up(boxe: Pulling) -> None:
    nova, luna = device("NOVA"), device("LUNA")
    boxe.online(nova)
    lines = [line(nova.own.id, 3, 1, 4)]
    boxe.parts.hear(luna, Kind.INDEX, Index(luna.counter(), WALL, 32, lines), now=at(0))
    boxe.tick(0)
    ((_, want),) = boxe.run(50, 5_000)
    assert want.to == nova.own.id
    assert TOPICS.segment(luna.own.id, 3) not in boxe.filters


def test_slot_that_does_not_come_is_given_up_though_others_bring_what_cannot_be_placed(boxe: Pulling) -> None:
    """P4.8, P7.7: a device is asked then, instead of the same slots for ever"""
    nova, luna = device("NOVA", events=9), device("LUNA")
    boxe.online(nova)
    lines = [line(nova.own.id, 0, 1, 5), line(nova.own.id, 1, 6, 10)]
    boxe.parts.hear(luna, Kind.INDEX, Index(luna.counter(), WALL, 32, lines), now=at(0))
    boxe.puller.misfit(at(0), boxe.parts.knowledge, nova.own.id, 5)
    boxe.tick(0)
    assert boxe.filters == {TOPICS.segment(luna.own.id, slot) for slot in (0, 1)}
    wants = []
    for ms in range(50, 20_000, 50):
        if TOPICS.segment(luna.own.id, 1) in boxe.filters:
            boxe.puller.segment(at(ms), TOPICS.segment(luna.own.id, 1))
            boxe.puller.misfit(at(ms), boxe.parts.knowledge, nova.own.id, 5)
            boxe.puller.unplaced(at(ms), nova.own.id, nova.own.id)
        wants += boxe.tick(ms)
    assert {(want.to, want.items[0].first) for want in wants} == {(nova.own.id, 1)}


def test_answer_for_one_origin_of_a_want_keeps_the_others_waiting(boxe: Pulling) -> None:
    """P7.8: a holder that answers is not given up because a later origin's turn has not come"""
    luna = device("LUNA")
    away = three_held_by(luna)
    boxe.online(luna)
    (want,) = boxe.tick(0)
    assert len(want.items) == 4
    boxe.fill(2_900, away[0].own.id, luna)
    assert boxe.tick(3_500) == []
    assert len(boxe.puller.pulling()) == 4
    boxe.tick(6_000)
    assert boxe.puller.pulling() == []


def test_want_of_another_device_that_ends_before_what_is_lacked_is_no_help(boxe: Pulling) -> None:
    nova = device("NOVA")
    nova.send_to(boxe.device)
    nova.append(draft())
    boxe.tick(10_000)
    boxe.online(nova, ms=10_000)
    boxe.tick(10_000)
    boxe.hear_want(10_050, nova, last=4)
    assert boxe.run(10_100, 11_050)[0][1].items == [WantItem(nova.own.hash, 5, 0)]


def test_few_origins_are_asked_for_at_a_time(boxe: Pulling) -> None:
    boxe = Pulling(Settings(pulls_max=2))
    for name in ("NOVA", "LUNA", "TUKA"):
        boxe.online(device(name))
    assert len(boxe.tick(0)) == 2
    assert boxe.puller.wake_at() is not None
