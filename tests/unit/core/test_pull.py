"""Asking for what is missing: whom, when, for what, and what follows when nothing comes (P7.7, P7.8, P4.8)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hcom_replica.core.effects import Publish, Subscribe
from hcom_replica.core.intake import Intake
from hcom_replica.core.pull import Puller
from hcom_replica.core.settings import Settings
from hcom_replica.core.sources import Failures, Sources
from hcom_replica.ids import OriginId
from hcom_replica.limits import COMMIT_EVENTS_MAX
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Ack, Index, Presence, Segment, Want, WantItem, decode_want
from tests.unit.core.builders import TOPICS, WALL, Device, Parts, at, draft, noise, opened, subscribed

ORIGIN = OriginId(b"origin--")


class Pulling:
    """The asker of a device, connected at 0."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.device = Device("BOXE")
        self.device.append()
        self.parts = Parts(self.device, settings or Settings())
        self.intake = Intake(self.parts.outbox, self.parts.knowledge)
        self.puller = Puller(self.parts.outbox, TOPICS, self.parts.settings, self.intake)
        self.puller.link_up(at(0))
        self.filters: set[str] = set()
        self.wants: list[Want] = []

    def tick(self, ms: int) -> list[Want]:
        """Tick; returns the new wants."""
        self.parts.knowledge.reload()
        self.puller.tick(at(ms), self.parts.knowledge, self.device.signer)
        effects = self.parts.effects()
        for effect in effects:
            self.filters |= subscribed([effect])
            if not isinstance(effect, Publish | Subscribe):
                self.filters -= set(getattr(effect, "filters", ()))
        fresh = [decode_want(opened(e)[1]) for e in effects if isinstance(e, Publish)]
        self.wants += fresh
        return fresh

    def run(self, start: int, stop: int) -> list[tuple[int, Want]]:
        """Tick every 50 ms; returns wants with their times."""
        return [(ms, want) for ms in range(start, stop, 50) for want in self.tick(ms)]

    def online(self, peer: Device, entries: dict[OriginId, Ack] | None = None, ms: int = 0) -> None:
        """A device comes, and says what it holds."""
        self.parts.hear(peer, Kind.PRESENCE, Presence(peer.counter(), WALL, online=True), now=at(ms))
        self.parts.hear(peer, Kind.VECTOR, peer.vector(entries=entries), now=at(ms))
        self.parts.hear(peer, Kind.HEAD, peer.head(), now=at(ms))

    def hear_want(self, ms: int, holder: Device, *, first: int = 1, last: int = 0, number: int = 1) -> None:
        """Somebody asks a holder for its own events."""
        want = Want(number, holder.own.id, 1_000, [WantItem(holder.own.id, first, last)])
        self.puller.others_want(at(ms), want, holder.author.key)

    def give(self, source: Device, origin: OriginId, first: int, ms: int, *, last: bool = True, raw: int = 1) -> None:
        """The fill comes, is taken and stored."""
        self.intake.offer(source.batch(origin, first, raw))
        self.intake.take()
        for effect in self.parts.outbox.take():
            if hasattr(effect, "runs"):
                self.device.log.ingest(effect.runs, WALL)
        self.parts.knowledge.reload()
        self.intake.settled()
        self.puller.stored(at(ms), origin)
        self.fill(ms, origin, source, last=last)

    def fill(
        self, ms: int, origin: OriginId, sender: Device, want: int | None = None, *, last: bool = False, place: int = 0
    ) -> None:
        """A fill was taken in: of the newest want, and where its answer goes, unless told otherwise."""
        asked = self.wants[-1] if self.wants else Want(0, bytes(8), 0, [])
        firsts = {item.hash[:8]: item.first for item in asked.items}
        topic = TOPICS.fill(origin, place or firsts.get(origin, 1))
        number = asked.id if want is None else want
        self.puller.fill(at(ms), topic, origin, sender.author, number, last=last, held=False)


def device(name: str, events: int = 3) -> Device:
    made = Device(name)
    made.append(*[draft()] * events)
    return made


def line(origin: OriginId, slot: int, first: int, last: int, part: int = 0, parts: int = 1) -> Segment:
    return Segment(slot, origin, first, last, bytes(8), part, parts, 100)


@pytest.fixture
def boxe() -> Pulling:
    return Pulling()


# --- whom ---------------------------------------------------------------------------------------------------------


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


def test_origin_that_nobody_reachable_has_is_stuck_until_somebody_comes(boxe: Pulling) -> None:
    """P7.9"""
    nova = device("NOVA")
    boxe.parts.hear(nova, Kind.HEAD, nova.head())
    assert boxe.run(0, 5_000) == []
    assert boxe.puller.stuck(at(5_000)) == [nova.own.id]
    boxe.online(nova, ms=5_000)
    boxe.puller.news(at(5_000))
    assert len(boxe.tick(5_000)) == 1
    assert boxe.puller.stuck(at(5_000)) == []


def test_derived_origin_of_which_nothing_is_known_is_asked_from_seq_1_by_its_id(boxe: Pulling) -> None:
    """P4.6, P6.7: its base is not known yet"""
    luna = device("LUNA")
    boxe.online(luna, {ORIGIN: Ack(90_000, bytes(8)), luna.own.id: Ack(4, luna.own.tip[:8])})
    (want,) = boxe.tick(0)
    assert WantItem(ORIGIN, 1, 0) in want.items


# --- listening ----------------------------------------------------------------------------------------------------


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


# --- what follows -------------------------------------------------------------------------------------------------


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
    assert boxe.puller.questions() == {origin: 3}
    boxe.puller.stored(at(3), origin)
    assert boxe.puller.questions() == {origin: 3}, "that is remembered"


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
    assert boxe.puller.stuck(at(60_000)) == [origin]
    assert boxe.puller.hunted() == {origin: 5}


def test_ring_that_begins_with_a_branch_of_an_unknown_origin_is_read_where_nobody_can_be_asked(boxe: Pulling) -> None:
    """P7.7: of a derived origin nobody can know where it begins"""
    luna = device("LUNA")
    lines = [line(ORIGIN, 3, 70, 80)]
    boxe.parts.hear(luna, Kind.INDEX, Index(luna.counter(), WALL, 32, lines), now=at(0))
    boxe.tick(0)
    assert boxe.filters == {TOPICS.segment(luna.own.id, 3)}


def test_derived_origin_that_waits_for_the_one_it_forks_from_is_not_asked_of_those_who_are_away(boxe: Pulling) -> None:
    """P4.6, P7.9: a mailbox would be filled with what cannot be stored"""
    nova, luna, root = device("NOVA"), device("LUNA"), OriginId(b"root----")
    boxe.online(nova, {ORIGIN: Ack(9, b"branch--"), root: Ack(9, b"root----")})
    boxe.tick(0)
    boxe.parts.hear(nova, Kind.PRESENCE, Presence(nova.counter(), WALL, online=False), now=at(1))
    boxe.run(50, 60_000)
    assert set(boxe.puller.stuck(at(60_000))) >= {ORIGIN, root}
    boxe.puller.unplaced(at(60_000), ORIGIN, root)
    assert ORIGIN not in boxe.puller.stuck(at(60_000))
    boxe.puller.stored(at(60_000), root)
    assert ORIGIN in boxe.puller.stuck(at(60_000))
    assert luna.own.id not in boxe.puller.stuck(at(60_000))


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
    assert boxe.puller.hunted() == {origin: 5}


def three_held_by(holder: Device) -> list[Device]:
    """Devices that are away, whose logs a holder has."""
    away = [device(name) for name in ("NOVA", "TUKA", "RIKO")]
    for other in away:
        other.send_to(holder)
    return away


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


def test_holder_that_is_silent_where_others_answer_quickly_is_not_waited_for_longer_and_longer(boxe: Pulling) -> None:
    """P7.8: adaptive: what is lost does not come, however long one waits"""
    nova, luna = device("NOVA", 3 * COMMIT_EVENTS_MAX), device("LUNA")
    boxe.online(luna)
    boxe.tick(0)
    boxe.give(luna, luna.own.id, 1, 10)
    boxe.online(nova, ms=20)
    times = [ms for ms, _ in boxe.run(50, 20_000)]
    assert {after - before for before, after in pairwise(times)} == {3_000}, "1 s of silence, and a rest"


@pytest.mark.parametrize(("sender", "patient"), [("NOVA", True), ("LUNA", False)])
def test_answer_that_comes_after_it_was_given_up_makes_the_asker_more_patient(sender: str, patient: bool) -> None:
    """P7.8: on a slow link answers come late, not never; nobody but the asked holder has a say in this"""
    boxe = Pulling()
    nova, luna = device("NOVA", 3 * COMMIT_EVENTS_MAX), device("LUNA")
    boxe.online(luna)
    boxe.tick(0)
    boxe.give(luna, luna.own.id, 1, 10)
    boxe.online(nova, ms=20)
    ((_, first), (again, _)) = boxe.run(50, 5_000)[:2]
    boxe.fill(again + 500, nova.own.id, nova if sender == "NOVA" else luna, first.id, place=1)
    times = [ms for ms, _ in boxe.run(again + 500, again + 20_000)]
    assert (max(after - before for before, after in pairwise(times)) > 3_000) is patient


def crowded(boxe: Pulling) -> dict[OriginId, Device]:
    """More devices online than are asked at a time, each known to hold its own log only."""
    others = [device(f"D{number}") for number in range(8)]
    for other in others:
        boxe.online(other, {other.own.id: Ack(other.own.seq, other.own.tip[:8])})
    return {other.own.id: other for other in others}


def test_where_many_would_have_to_be_asked_one_is_asked_for_all() -> None:
    """P7.7: then the others: whoever is online may well have it"""
    boxe = Pulling(Settings(pulls_max=2))
    crowded(boxe)
    (want,) = boxe.tick(0)
    assert len(want.items) == 8


def test_what_a_device_was_asked_for_on_a_guess_and_does_not_bring_is_asked_of_its_writer_soon() -> None:
    boxe = Pulling(Settings(pulls_max=2))
    others = crowded(boxe)
    (want,) = boxe.tick(0)
    asked = others[OriginId(want.to)]
    boxe.give(asked, asked.own.id, 1, 40)
    later = boxe.run(50, 2_000)
    assert min(ms for ms, _ in later) >= 500
    assert asked.own.id not in {item.hash for _, again in later for item in again.items}
    assert want.to not in {again.to for _, again in later}


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


def test_link_that_ends_ends_all_asking(boxe: Pulling) -> None:
    boxe.online(device("NOVA"))
    boxe.tick(0)
    boxe.puller.link_down()
    assert boxe.puller.pulling() == []
    assert boxe.run(0, 10_000) == []
