"""The mailbox ring: order of writing, what is put where, when it is cleared (protocol-v1 section 8)."""

from __future__ import annotations

import pytest

from hcom_replica.core.demand import Demand
from hcom_replica.core.mailbox import Mailbox
from hcom_replica.core.ring import covered
from hcom_replica.core.settings import Settings
from hcom_replica.wire.event import Draft
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Ack, Index, Segment, Standing, WantItem, decode_index
from hcom_replica.wire.signing import hash32
from tests.unit.core.builders import (
    ROOM,
    TOPICS,
    WALL,
    Device,
    Parts,
    at,
    draft,
    noise,
    opened,
    subscribed,
)


class Ring:
    """A mailbox that is open, and the broker's answers."""

    def __init__(self, device: Device, settings: Settings | None = None) -> None:
        self.device = device
        self.parts = Parts(device, settings or Settings())
        self.mailbox = Mailbox(self.parts.outbox, self.parts.slots, TOPICS, self.parts.settings)
        self.mailbox.opened(at(0))
        self.others: dict[str, Device] = {}

    def acknowledge(self, name: str, ms: int) -> None:
        """Another device has all, and says so."""
        if name not in self.others:
            self.others[name] = Device(name)
            self.others[name].append()
        other = self.others[name]
        self.device.send_to(other)
        self.parts.hear(other, Kind.HEAD, other.head(), now=at(ms))
        self.parts.hear(other, Kind.VECTOR, other.vector(), now=at(ms))

    def wrote(self, ms: int) -> bool:
        """Tick; tells whether that wrote the ring."""
        self.tick(ms, urgent=False)
        return bool(self.parts.answer_all())

    def tick(self, ms: int, *, urgent: bool = True, room: int = ROOM) -> None:
        self.parts.knowledge.reload()
        self.mailbox.tick(at(ms), self.parts.knowledge, self.device.signer, room, urgent=urgent)

    def covered(self) -> int:
        return self.covered_above(0)

    def covered_above(self, above: int) -> int:
        return covered(self.mailbox.runs(), self.device.own.id, above)


def device_with(drafts: list[Draft]) -> Device:
    device = Device("BOXE")
    device.append(*drafts)
    return device


def filled(drafts: list[Draft], settings: Settings | None = None) -> Ring:
    """A ring that has just been written; the broker has answered nothing yet."""
    ring = Ring(device_with(drafts), settings)
    ring.tick(1)
    return ring


def acknowledged(also: tuple[str, ...] = ()) -> Ring:
    """A ring with nothing in it, because NOVA (and others) have all there is."""
    ring = Ring(device_with([draft()]))
    for name in ("NOVA", *also):
        ring.acknowledge(name, 0)
    return ring


def test_ring_with_bodies_that_do_not_compress_comes_up_to_the_tip() -> None:
    """P8.4: merging must not stand in the way of what is due: two segments of which no message holds both."""
    device = Device("BOXE")
    ring = Ring(device)
    for number, event in enumerate(noise(6, 40_000)):
        device.append(event)
        ring.tick(1 + 40_000 * number)
        ring.parts.answer_all()
        assert ring.covered() == device.own.seq


# --- order --------------------------------------------------------------------------------------------------------


def test_index_is_raised_and_taken_before_a_slot_is_overwritten() -> None:
    """P8.1"""
    ring = filled(noise(3, 40_000))
    index, *rest = ring.parts.published()
    assert index.topic == TOPICS.index(ring.device.own.id)
    assert rest == []
    ring.parts.outbox.answered(index.token, taken=True)
    slots = ring.parts.published()
    assert {publish.topic for publish in slots} == {TOPICS.segment(ring.device.own.id, slot) for slot in range(3)}
    lines = decode_index(opened(index)[1]).segments
    assert {line.digest for line in lines} == {hash32(publish.payload)[:8] for publish in slots}
    assert all(publish.retain for publish in [index, *slots])
    assert not ring.mailbox.settled()
    for publish in slots:
        ring.parts.outbox.answered(publish.token, taken=True)
    assert ring.mailbox.settled()


def test_ring_is_not_written_before_the_fence_nor_after_the_link() -> None:
    """S8"""
    ring = Ring(device_with(noise(1, 1_000)))
    ring.mailbox.closed()
    ring.tick(60_000)
    assert ring.parts.published() == []
    assert ring.mailbox.wake_at() is None


def test_event_larger_than_a_message_goes_into_several_slots() -> None:
    """P5.5, P8.6: as many as half of the ring has"""
    ring = filled(noise(1, 300_000), Settings(mailbox_slots=16))
    ring.parts.answer_all()
    assert ring.covered() == ring.device.own.seq
    assert max(len(run.slots) for run in ring.mailbox.runs()) == 5
    assert ring.mailbox.unfit == {}


def test_event_that_does_not_fit_half_of_the_ring_is_left_out_and_named_until_all_have_it() -> None:
    """P8.6"""
    nova = Device("NOVA")
    nova.append()
    ring = filled(noise(1, 600_000), Settings(mailbox_slots=8))
    ring.parts.answer_all()
    assert ring.mailbox.unfit == {ring.device.own.id: (2, 2)}
    assert ring.covered() == 1, "what stands before it is of use"
    ring.device.send_to(nova)
    ring.parts.hear(nova, Kind.HEAD, nova.head(), now=at(1))
    ring.parts.hear(nova, Kind.VECTOR, nova.vector(), now=at(1))
    ring.tick(2)
    assert ring.mailbox.unfit == {}


@pytest.mark.parametrize("room", [900, 4_000, 16_000, ROOM])
def test_ring_under_any_packet_size_comes_up_to_the_tip(room: int) -> None:
    """A broker may take less than 60 KiB: commits travel in parts then."""
    ring = Ring(device_with(noise(4, 3_000)), Settings(mailbox_slots=64))
    ring.tick(1, room=room)
    ring.parts.answer_all()
    assert ring.covered() == ring.device.own.seq


# --- which part of a long log -------------------------------------------------------------------------------------


def test_ring_of_a_log_that_does_not_fit_serves_the_lowest_and_holds_the_newest() -> None:
    """P8.3: half ascends from what the device furthest behind lacks, half holds the newest run."""
    ring = filled(noise(60, 40_000), Settings(mailbox_slots=16))
    ring.parts.answer_all()
    runs = ring.mailbox.runs()
    low = covered(runs, ring.device.own.id, 0)
    assert runs[-1].last == ring.device.own.seq
    assert 4 <= low < ring.device.own.seq
    newest = [run for run in runs if run.first > low]
    assert [run.first for run in newest[1:]] == [run.last + 1 for run in newest[:-1]], "the newest run has no hole"
    assert len({slot for run in runs for slot in run.slots}) <= 16


def test_device_far_behind_is_led_up_to_the_tip_visit_by_visit() -> None:
    """L2: two devices never online together converge; each visit moves on by at least one segment."""
    nova = Device("NOVA")
    nova.append()
    ring = Ring(device_with(noise(60, 40_000)), Settings(mailbox_slots=8))
    own = ring.device.own
    ms, have = 1, 0
    for _ in range(60):
        ring.tick(ms)
        ring.parts.answer_all()
        reached = covered(ring.mailbox.runs(), own.id, have)
        assert reached > have
        have = reached
        if have == own.seq:
            return
        entries = {own.id: Ack(have, ring.device.log.tip_at(own.id, have)[:8])}
        ms += 60_000
        ring.parts.hear(nova, Kind.VECTOR, nova.vector(entries=entries), now=at(ms))
    raise AssertionError("never got to the tip")


def test_small_segments_merge_so_that_few_slots_hold_many_appends() -> None:
    """P8.4"""
    ring = Ring(device_with([draft()]))
    for number in range(100):
        ring.device.append(draft(b'{"n":%d}' % number))
        ring.tick(1 + number * 40_000)
        ring.parts.answer_all()
    assert ring.covered() == ring.device.own.seq
    assert len(ring.mailbox.runs()) < 9


def test_ring_that_takes_many_runs_is_written_bit_by_bit() -> None:
    """Full slots tell how much fits in one; where the rest compresses far worse, more has to be written."""
    device = device_with([draft(bytes(250_000)), *noise(60, 31_000)])
    ring = Ring(device, Settings(mailbox_slots=4))
    reached = []
    for ms in range(1, 600_000, 60_000):
        ring.tick(ms)
        ring.parts.answer_all()
        reached.append(max(run.last for run in ring.mailbox.runs()))
    assert reached[0] < device.own.seq
    assert reached[-1] == device.own.seq


def test_serving_half_that_lost_a_segment_takes_a_slot_of_the_newest_run() -> None:
    """P8.3: the newest run has grown into the slot that was lost; but without the segment nobody gets to the newest."""
    ring = filled(noise(60, 40_000), Settings(mailbox_slots=8))
    written = {publish.topic: publish.payload for publish in ring.parts.answer_all()}
    own, before = ring.device.own, ring.covered()
    first, *_ = ring.mailbox.runs()
    ring.mailbox.read_back(ring.device.signer, own.id, 0)
    for topic, payload in written.items():
        shown = b"" if topic == TOPICS.segment(own.id, first.slots[0]) else payload
        ring.mailbox.segment(topic, shown, retain=True)
    ring.device.append(*noise(1, 40_000, seed=2))
    assert ring.covered() == 0
    ring.tick(60_000)
    ring.parts.answer_all()
    assert ring.covered() >= before
    assert ring.mailbox.runs()[-1].last == ring.device.own.seq


# --- when ---------------------------------------------------------------------------------------------------------


def test_event_acknowledged_in_time_is_never_written() -> None:
    """P8.2: within 2 s"""
    ring = acknowledged()
    for ms in range(0, 60_000, 500):
        ring.tick(ms, urgent=False)
    assert ring.parts.published() == []


def test_event_not_acknowledged_is_due_after_two_seconds_when_writing_has_been_idle() -> None:
    """P8.2"""
    ring = acknowledged()
    ring.device.append(draft())
    ring.mailbox.moved(at(10_000))
    times = [ms for ms in range(10_000, 20_000, 100) if ring.wrote(ms)]
    assert times
    assert 11_900 <= times[0] <= 12_500


def test_steady_trickle_is_written_every_half_minute() -> None:
    """P8.2: the open segment is not rewritten for each event."""
    ring = acknowledged()
    times = []
    for ms in range(10_000, 310_000, 500):
        ring.device.append(draft(b'{"n":%d}' % ms))
        ring.mailbox.moved(at(ms))
        if ring.wrote(ms):
            times.append(ms)
    assert 8 <= len(times) <= 16
    assert max(run.last for run in ring.mailbox.runs()) >= ring.device.own.seq - 61


def test_urgent_write_happens_at_once() -> None:
    """P8.2: on flush and on stop"""
    ring = acknowledged()
    ring.device.append(draft())
    ring.tick(100, urgent=True)
    assert ring.parts.published()


# --- clearing -----------------------------------------------------------------------------------------------------


def test_ring_is_cleared_when_every_active_device_has_it_and_not_soon_after_a_connect() -> None:
    """P8.5"""
    ring = acknowledged(also=("LUNA",))
    ring.device.append(draft())
    ring.tick(100)
    ring.parts.answer_all()
    ring.acknowledge("NOVA", 200)
    ring.tick(60_000, urgent=False)
    assert ring.parts.published() == [], "one of two devices lacks it"
    ring.acknowledge("LUNA", 60_000)
    ring.mailbox.closed()
    ring.mailbox.opened(at(60_000))
    ring.tick(89_000, urgent=False)
    assert not {publish.topic for publish in ring.parts.answer_all() if not publish.payload}


def test_ring_all_have_is_cleared_after_the_grace() -> None:
    """P8.5, L3"""
    ring = acknowledged()
    ring.device.append(draft())
    ring.tick(100)
    ring.parts.answer_all()
    ring.acknowledge("NOVA", 200)
    ring.tick(29_000, urgent=False)
    assert ring.parts.published() == []
    ring.tick(31_000, urgent=False)
    cleared = {publish.topic for publish in ring.parts.published() if not publish.payload}
    assert {TOPICS.index(ring.device.own.id), TOPICS.segment(ring.device.own.id, 0)} <= cleared
    assert ring.mailbox.runs() == []


def cleared_when_all_have_it(ring: Ring) -> set[str]:
    """What is cleared once NOVA has all and a minute has passed."""
    ring.parts.answer_all()
    ring.acknowledge("NOVA", 200)
    ring.tick(61_000, urgent=False)
    return {publish.topic for publish in ring.parts.published() if not publish.payload}


def test_ring_whose_index_the_broker_lost_is_cleared_all_the_same() -> None:
    """P8.5: its slots may lie there still"""
    ring = acknowledged()
    ring.device.append(draft())
    ring.tick(100)
    ring.parts.answer_all()
    ring.mailbox.closed()
    ring.mailbox.link_up()
    ring.mailbox.opened(at(150))
    assert ring.mailbox.runs() == []
    assert TOPICS.segment(ring.device.own.id, 0) in cleared_when_all_have_it(ring)


def test_slot_that_was_refused_or_lost_is_cleared_when_nobody_needs_it() -> None:
    """P8.5: what was on its way may have arrived"""
    ring = acknowledged()
    ring.device.append(draft())
    ring.tick(100)
    ring.parts.answer_all(taken=False)
    assert ring.mailbox.runs() == []
    assert TOPICS.segment(ring.device.own.id, 0) in cleared_when_all_have_it(ring)


def test_what_lies_about_is_not_cleared_while_somebody_lacks_own_events() -> None:
    """P8.5"""
    ring = acknowledged()
    ring.device.append(draft())
    ring.tick(100)
    ring.parts.answer_all(taken=False)
    ring.tick(61_000, urgent=False)
    assert [publish for publish in ring.parts.published() if not publish.payload] == []


def test_ring_with_nobody_known_is_kept() -> None:
    ring = filled([draft()])
    ring.parts.answer_all()
    ring.tick(600_000, urgent=False)
    assert [publish for publish in ring.parts.published() if not publish.payload] == []


# --- standing wants of others -------------------------------------------------------------------------------------


def test_standing_want_of_another_device_is_served_up_to_half_of_the_ring() -> None:
    """P7.9, P8.3: what is held of a third device's log, for one that nobody reachable can help"""
    ring = acknowledged()
    luna = Device("LUNA")
    luna.append(*noise(30, 40_000))
    luna.send_to(ring.device)
    ring.parts.knowledge.reload()
    nova = ring.others["NOVA"]
    nova.log.ingest([], 0)
    want = Standing(nova.counter(), WALL, [WantItem(luna.own.hash, 1, 0)])
    ring.parts.hear(nova, Kind.STANDING, want, now=at(1))
    ring.tick(5_000)
    ring.parts.answer_all()
    runs = [run for run in ring.mailbox.runs() if run.origin == luna.own.id]
    assert covered(runs, luna.own.id, 0) > 1
    assert sum(len(run.slots) for run in runs) <= ring.parts.settings.mailbox_slots // 2


def test_event_of_another_that_fits_no_ring_stands_in_the_way_of_nothing() -> None:
    """P8.6: neither of the own events nor of what else is asked for"""
    ring = Ring(device_with([draft()]), Settings(mailbox_slots=8))
    nova, large, small = Device("NOVA"), Device("LUNA"), Device("TUKA")
    nova.append()
    large.append(*noise(1, 600_000))
    small.append(draft(), draft())
    for other in (large, small):
        other.send_to(ring.device)
    ring.parts.hear(nova, Kind.HEAD, nova.head(), now=at(1))
    wanted = [WantItem(other.own.hash, 1, 0) for other in (large, small)]
    ring.parts.hear(nova, Kind.STANDING, Standing(nova.counter(), WALL, wanted), now=at(1))
    ring.tick(5_000)
    ring.parts.answer_all()
    assert ring.mailbox.unfit == {large.own.id: (2, 2)}
    assert covered(ring.mailbox.runs(), small.own.id, 0) == small.own.seq
    ring.device.append(draft())
    ring.tick(50_000)
    ring.parts.answer_all()
    assert ring.covered() == ring.device.own.seq
    assert ring.mailbox.is_full(Demand(ring.parts.knowledge, ring.device.own, at(50_000)))


def test_ring_that_the_broker_lost_is_written_anew_before_an_event_that_does_not_fit() -> None:
    """P8.6"""
    ring = filled([draft(), *noise(1, 600_000)], Settings(mailbox_slots=8))
    ring.parts.answer_all()
    assert ring.covered() == ring.mailbox.unfit[ring.device.own.id][0] - 1 > 0
    ring.mailbox.closed()
    ring.mailbox.link_up()
    ring.mailbox.opened(at(10_000))
    assert ring.covered() == 0
    ring.tick(60_000)
    ring.parts.answer_all()
    assert ring.covered() == ring.mailbox.unfit[ring.device.own.id][0] - 1


def test_ring_is_full_once_it_holds_what_it_can_and_the_broker_has_taken_it() -> None:
    """P12.15"""
    ring = Ring(device_with([draft(), *noise(1, 600_000)]), Settings(mailbox_slots=8))

    def is_full() -> bool:
        return ring.mailbox.is_full(Demand(ring.parts.knowledge, ring.device.own, at(60_000)))

    assert not is_full()
    ring.tick(1)
    assert not is_full(), "it is on its way"
    ring.parts.answer_all()
    assert is_full()
    ring.mailbox.closed()
    assert not is_full()


def test_standing_want_that_another_ring_serves_is_left_to_it() -> None:
    """P8.3: only what no index covers"""
    ring = acknowledged()
    luna = Device("LUNA")
    luna.append(*noise(3, 40_000))
    luna.send_to(ring.device)
    nova = ring.others["NOVA"]
    want = Standing(nova.counter(), WALL, [WantItem(luna.own.hash, 1, 0)])
    ring.parts.hear(nova, Kind.STANDING, want, now=at(1))
    line = Segment(0, luna.own.id, 1, luna.own.seq, bytes(8), 0, 1, luna.own.cum)
    ring.parts.hear(luna, Kind.INDEX, Index(luna.counter(), WALL, 32, [line]), now=at(1))
    ring.tick(5_000)
    assert [run for run in ring.mailbox.runs() if run.origin == luna.own.id] == []


@pytest.mark.parametrize("by_itself", [False, True])
def test_standing_want_for_another_history_is_served_whatever_rings_hold_by_number(by_itself: bool) -> None:
    """P8.3: theirs may be the history that the asker has; the one in a ring of its own certainly is"""
    ring = acknowledged()
    luna = Device("LUNA")
    luna.append(*noise(5, 40_000))
    luna.send_to(ring.device)
    nova = ring.others["NOVA"]
    claim = {ring.device.own.id: Ack(ring.device.own.seq, ring.device.own.tip[:8])}
    if not by_itself:
        claim[luna.own.id] = Ack(6, b"another!")
    ring.parts.hear(nova, Kind.VECTOR, nova.vector(entries=claim), now=at(1))
    want = Standing(nova.counter(), WALL, [WantItem(luna.own.hash, 4, 0)])
    ring.parts.hear(nova, Kind.STANDING, want, now=at(1))
    writer = nova if by_itself else luna
    line = Segment(0, luna.own.id, 1, luna.own.seq, bytes(8), 0, 1, luna.own.cum)
    ring.parts.hear(writer, Kind.INDEX, Index(writer.counter(), WALL, 32, [line]), now=at(1))
    ring.tick(5_000)
    runs = [run for run in ring.mailbox.runs() if run.origin == luna.own.id]
    assert (runs[0].first, covered(runs, luna.own.id, 3)) == (4, luna.own.seq)


def test_who_claims_another_history_of_ours_is_served_from_where_it_asks() -> None:
    """P4.9, P8.3: its vector cannot tell how far it has what we have"""
    ring = filled(noise(9, 40_000))
    own, nova = ring.device.own, Device("NOVA")
    nova.append()
    ring.parts.hear(nova, Kind.VECTOR, nova.vector(entries={own.id: Ack(9, b"another!")}), now=at(1))
    assert Demand(ring.parts.knowledge, own, at(2)).low == 0
    for first, low in ((5, 4), (10, 0)):  # beyond what it claims to have it asks for what it simply lacks
        want = Standing(nova.counter(), WALL, [WantItem(own.hash, first, 0)])
        ring.parts.hear(nova, Kind.STANDING, want, now=at(2))
        assert Demand(ring.parts.knowledge, own, at(2)).low == low


# --- reading back, refusals ---------------------------------------------------------------------------------------


def test_slot_read_back_proves_that_the_broker_holds_it() -> None:
    ring = filled([draft()])
    written = {publish.topic: publish.payload for publish in ring.parts.answer_all()}
    own = ring.device.own
    assert ring.mailbox.safe_upto(own.id, 0) == 0
    ring.mailbox.read_back(ring.device.signer, own.id, 0)
    topic = TOPICS.segment(own.id, 0)
    assert subscribed(ring.parts.effects()) == {topic}
    ring.mailbox.segment(topic, written[topic], retain=False)
    assert ring.mailbox.safe_upto(own.id, 0) == 0, "what comes as it is published is not what stands there"
    ring.mailbox.segment(topic, written[topic], retain=True)
    assert ring.mailbox.safe_upto(own.id, 0) == own.seq


@pytest.mark.parametrize("shows", [b"something else", None])
def test_slot_that_does_not_hold_what_was_written_is_written_again(shows: bytes | None) -> None:
    """A broker may forget or roll back anything at any time."""
    ring = filled([draft()])
    ring.parts.answer_all()
    own = ring.device.own
    topic = TOPICS.segment(own.id, 0)
    ring.tick(5_000, urgent=False)
    ring.mailbox.read_back(ring.device.signer, own.id, 0)
    if shows is not None:
        ring.mailbox.segment(topic, shows, retain=True)
    ring.parts.effects()
    ring.tick(10_000, urgent=False)
    assert topic in {publish.topic for publish in ring.parts.answer_all()}


def test_refused_ring_is_tried_again_after_half_a_minute_also_when_urgent() -> None:
    """P8.2"""
    ring = filled([draft()])
    ring.parts.answer_all(taken=False)
    assert ring.mailbox.refused == 1
    for ms in range(100, 30_000, 1_000):
        ring.tick(ms)
        assert ring.parts.published() == []
    ring.tick(31_000)
    assert ring.parts.published()


def test_slot_that_the_broker_did_not_take_is_written_again_after_half_a_minute() -> None:
    """P8.2: it took the index, and other slots: those stay"""
    ring = filled(noise(2, 40_000))
    (index,) = ring.parts.published()
    ring.parts.outbox.answered(index.token, taken=True)
    kept, refused = ring.parts.published()
    ring.parts.outbox.answered(kept.token, taken=True)
    ring.parts.outbox.answered(refused.token, taken=False)
    assert ring.mailbox.settled()
    assert (ring.mailbox.refused, len(ring.mailbox.runs())) == (1, 1)
    ring.tick(29_000)
    assert ring.parts.published() == []
    ring.tick(31_000)
    again = {publish.topic for publish in ring.parts.answer_all()}
    assert refused.topic in again
    assert kept.topic not in again
    assert ring.covered() == ring.device.own.seq


def test_ring_of_a_new_incarnation_is_empty() -> None:
    ring = filled([draft()])
    ring.parts.answer_all()
    ring.mailbox.new_origin()
    assert ring.mailbox.runs() == []
