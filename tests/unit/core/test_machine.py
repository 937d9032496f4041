"""The machine: what comes in, from whom, and what it does about it (protocol-v1 sections 5 to 8)."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import Kind, Packed, Signer, close_frame, open_frame, pack
from hcom_replica.wire.messages import (
    ASK_OFF,
    Ask,
    Segment,
    Standing,
    WantItem,
    decode_ask,
    decode_head,
    decode_presence,
    decode_vector,
    unpack_entries,
)
from hcom_replica.wire.messages import Index as IndexMessage
from hcom_replica.wire.signing import DeviceKey
from tests.unit.core.builders import KEYS, TOPICS, WALL, Device, draft
from tests.unit.core.host import Host, live, made, twin_with_more

# --- the first steps ----------------------------------------------------------------------------------------------


def test_machine_of_an_empty_log_opens_the_first_incarnation() -> None:
    host = Host(Device("BOXE")).connect()
    assert host.opened == ["first"]
    assert host.device.own.seq == 1
    assert host.take(Kind.HEAD)


def test_machine_writes_no_slot_before_its_fence_has_passed(boxe: Device) -> None:
    """P7.1, S8"""
    host = Host(boxe)
    host.run()
    host.machine.link_up(host.now, None)
    host.run(250)
    assert {publish.topic.split("/")[1] for publish in host.published} <= {"f", "w"}
    host.run(500)
    assert {"h", "v", "p"} <= {publish.topic.split("/")[1] for publish in host.published}


def test_machine_behind_its_fence_says_what_it_holds(boxe: Device, host: Host) -> None:
    """P6.3, P6.4"""
    said = dict(host.take())
    head = decode_head(said[TOPICS.head(boxe.own.id)])
    assert (head.seq, head.tip, head.name, head.system) == (boxe.own.seq, boxe.own.tip, "BOXE", 1)
    assert head.promise >= boxe.own.hlc
    assert decode_vector(said[TOPICS.vector(boxe.own.id, 0)]).durable
    assert decode_presence(said[TOPICS.presence(boxe.own.id)]).online


def test_machine_that_is_refused_a_subscription_says_so_and_does_without(boxe: Device) -> None:
    """Rules of a broker may leave out a topic: what is not heard live is asked for."""
    host = Host(boxe)
    host.denied = {TOPICS.live}
    host.connect()
    assert [trace.fields for trace in host.traces if trace.event == "subscription refused"] == [
        (("filters", TOPICS.live),)
    ]
    assert host.take(Kind.HEAD)


# --- hostile and foreign bytes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("elsewhere/l", b"x", "topic"),
        (TOPICS.live, b"x", "version"),
        (TOPICS.live, b"\x02" + bytes(60), "version"),
        (TOPICS.live, b"\x01" + bytes(60), "seal"),
        (TOPICS.live, b"\x01" + bytes(70_000), "size"),
    ],
)
def test_message_that_is_none_of_ours_is_dropped_and_counted(
    host: Host, topic: str, payload: bytes, reason: str
) -> None:
    """P5.4, section 9"""
    host.hear(topic, payload)
    assert host.dropped() == {reason: 1}


def test_slot_message_in_the_slot_of_another_is_dropped(host: Host) -> None:
    """P6.1"""
    nova, luna = made("NOVA"), made("LUNA")
    topic = TOPICS.head(luna.own.id)
    host.hear(topic, nova.sealed(Kind.HEAD, topic, encode(nova.head())))
    assert host.dropped() == {"topic": 1}
    assert host.machine.wait_result().missing_events == 0


def test_message_moved_to_another_topic_is_dropped(host: Host) -> None:
    """P5.1: the seal is bound to its topic."""
    topic, payload = made("NOVA").say(Kind.HEAD, made("NOVA").head())
    host.hear(topic.replace("/h/", "/i/"), payload)
    assert host.dropped() == {"seal": 1}


def test_message_signed_by_another_than_it_says_is_dropped(host: Host) -> None:
    """P5.3: a member cannot speak for another."""
    nova = made("NOVA")
    topic = TOPICS.head(nova.own.id)
    forger = Signer(DeviceKey(bytes(32)), nova.own.incarnation, nova.own.id)
    sealed = bytearray(close_frame(KEYS, topic, Kind.HEAD, forger, pack(encode(nova.head())), bytes(24)))
    assert open_frame(KEYS, topic, bytes(sealed)).author != nova.author
    host.hear(topic, bytes(sealed))
    assert host.dropped() == {"topic": 1}


def test_head_with_a_commit_that_does_not_hold_is_dropped(host: Host) -> None:
    """P6.3"""
    nova = made("NOVA")
    host.told(nova, Kind.HEAD, msgspec.structs.replace(nova.head(), seq=10))
    assert host.dropped() == {"signature": 1}
    assert host.machine.wait_result().missing_events == 0


def test_slot_message_with_a_lower_counter_counts_no_more(host: Host) -> None:
    """P6.2"""
    nova = made("NOVA")
    old = nova.say(Kind.HEAD, nova.head())
    nova.append(draft(b"2"))
    host.told(nova, Kind.HEAD, nova.head())
    missing = host.machine.wait_result().missing_events
    host.hear(*old)
    assert host.dropped() == {"counter": 1}
    assert host.machine.wait_result().missing_events == missing == 3


# --- events -------------------------------------------------------------------------------------------------------


def test_live_batch_is_stored_and_acknowledged_by_the_vector(host: Host) -> None:
    """P6.4, P7.5"""
    nova = made("NOVA", 5)
    host.take()
    host.hear(*live(nova)).run(5_000)
    held = host.device.log.origin_state(nova.own.id)
    assert held is not None
    assert held.seq == nova.own.seq
    page = decode_vector(host.take(Kind.VECTOR)[-1][1])
    assert nova.own.id + nova.own.seq.to_bytes(8, "big") + nova.own.tip[:8] in page.entries


def test_batch_repeated_stores_nothing_again(host: Host) -> None:
    nova = made("NOVA", 5)
    host.hear(*live(nova))
    arrivals = host.device.log.last_arrival()
    host.hear(*live(nova)).hear(*live(nova))
    assert host.device.log.last_arrival() == arrivals
    assert host.counters["batches held"] == 2


def test_what_waits_beyond_a_gap_counts_as_buffered_until_the_gap_is_closed(host: Host) -> None:
    """P4.5"""
    nova = made("NOVA", 700)
    assert host.machine.buffered_bytes == 0
    for first, waits in ((513, True), (257, True), (1, False)):
        piece = nova.sealed(Kind.LIVE, TOPICS.live, nova.batch_bytes(first=first, raw_bytes=1))
        host.hear(TOPICS.live, piece)
        assert (host.machine.buffered_bytes > 0) is waits


def test_promise_that_is_durable_after_the_link_has_ended_publishes_nothing(boxe: Device, host: Host) -> None:
    """S8: the next connection has a fence of its own."""
    host.disconnect().take()
    host.machine.closing(host.now)  # a head is due at once, for the next connection
    tip = boxe.log.promise(host.now.wall_ms)
    assert tip is not None
    host.machine.promised(host.now, tip)
    host.run(1_000)
    assert host.published == []


# --- rollback and clones ------------------------------------------------------------------------------------------


def test_own_head_beyond_what_is_held_opens_an_incarnation_first(boxe: Device) -> None:
    """P7.2: rolled back"""
    twin = twin_with_more(boxe)
    topic, payload = twin.say(Kind.HEAD, twin.head())
    old = boxe.own.id
    host = Host(boxe, boot=9)
    host.retained[topic] = payload
    host.connect()
    assert len(host.opened) == 1
    assert boxe.own.id != old
    assert boxe.own.generation == 2
    written = {publish.topic for publish in host.published if publish.retain and publish.payload}
    assert not written & {TOPICS.head(old), TOPICS.vector(old, 0), TOPICS.presence(old)}
    assert TOPICS.head(boxe.own.id) in written


def test_own_head_beyond_what_is_held_that_comes_with_the_end_of_the_fence_goes_before_it(boxe: Device) -> None:
    """P7.2: in one step the machine learns of it and sees its fence pass; the store has done nothing about it yet."""
    twin = twin_with_more(boxe)
    old = boxe.own.id
    host = Host(boxe, boot=9).run()
    host.machine.will(host.now)
    host.machine.link_up(host.now, None)
    host.run()
    assert not host.machine.fence_open
    host.ms += 1_000
    host.hear(*twin.say(Kind.HEAD, twin.head()), retain=True)
    assert host.machine.fence_open
    host.run(1_000)
    written = {publish.topic for publish in host.published if publish.retain and publish.payload}
    assert not written & {TOPICS.head(old), TOPICS.vector(old, 0), TOPICS.presence(old)}
    assert {TOPICS.head(boxe.own.id), TOPICS.presence(boxe.own.id)} <= written


def test_own_head_that_names_other_events_opens_an_incarnation(boxe: Device) -> None:
    """P7.2: beside what is held"""
    twin = twin_with_more(boxe)
    boxe.append(draft(b"other"))
    host = Host(boxe, boot=9)
    topic, payload = twin.say(Kind.HEAD, twin.head())
    host.retained[topic] = payload
    assert host.connect().opened


def test_own_slot_written_by_somebody_else_opens_an_incarnation(boxe: Device, host: Host) -> None:
    """P7.2: a boot as high as ours that is not ours: a clone is online"""
    twin = boxe.clone()
    message = msgspec.structs.replace(twin.head(), counter=5 << 32 | 1)
    host.told(twin, Kind.HEAD, message)
    assert host.opened == ["our slot was written by somebody else"]


def test_own_slot_of_an_earlier_process_is_taken_for_what_it_is(boxe: Device) -> None:
    host = Host(boxe, boot=2)
    topic, payload = boxe.say(Kind.HEAD, boxe.head())
    host.retained[topic] = payload
    host.connect()
    assert host.opened == []
    assert host.retained[topic] != payload


def test_own_slot_overwritten_is_written_again(boxe: Device, host: Host) -> None:
    """P7.3"""
    topic = TOPICS.head(boxe.own.id)
    ours = host.retained[topic]
    host.hear(topic, b"junk").run(11_000)
    assert host.retained[topic] != b"junk"
    assert open_frame(KEYS, topic, host.retained[topic]).author == open_frame(KEYS, topic, ours).author


def test_will_of_an_earlier_connection_that_comes_late_is_written_over(boxe: Device) -> None:
    """P7.3: a broker notices late that a connection has died, and says that we are offline while we are here."""
    host = Host(boxe)
    host.run()
    said = host.machine.will(host.now)
    assert said is not None
    topic, will = said
    host.connect()
    host.retained[topic] = will
    host.hear(topic, will).run(11_000)
    assert decode_presence(open_frame(KEYS, topic, host.retained[topic]).payload).online
    assert host.opened == []


# --- asking, answering, ending ------------------------------------------------------------------------------------


def test_ask_for_the_vector_is_answered_at_once(host: Host) -> None:
    """P7.5"""
    host.run(10_000).take()
    nova = made("NOVA")
    host.told(nova, Kind.ASK, Ask(1, None, 1))
    assert len(host.take(Kind.VECTOR)) == 1


def test_ask_to_another_device_is_not_ours(host: Host) -> None:
    host.run(10_000).take()
    nova = made("NOVA")
    host.told(nova, Kind.ASK, Ask(1, nova.own.id, 2))
    assert not host.machine.off_requested
    host.told(nova, Kind.ASK, Ask(1, None, 2))
    assert host.machine.off_requested


def test_others_are_asked_to_stop_when_there_is_somebody_to_hear_it(boxe: Device) -> None:
    host = Host(boxe).run()
    host.machine.ask_off(host.now)
    assert host.run().take(Kind.ASK) == []
    host.connect().take()
    host.machine.ask_off(host.now)
    ((topic, payload),) = host.run().take(Kind.ASK)
    ask = decode_ask(payload)
    assert (topic, ask.to, ask.what) == (TOPICS.ask, None, ASK_OFF)


def test_segment_in_the_slot_of_another_is_dropped(boxe: Device, host: Host) -> None:
    """P6.1"""
    nova, luna = made("NOVA"), made("LUNA")
    topic = TOPICS.segment(luna.own.id, 0)
    host.hear(topic, nova.sealed(Kind.SEGMENT, topic, nova.batch_bytes()), retain=True)
    assert host.dropped() == {"topic": 1}


def test_link_that_ends_is_forgotten_and_the_next_writes_all_slots(boxe: Device, host: Host) -> None:
    """P7.1"""
    host.take()
    host.disconnect().run(60_000)
    assert host.published == []
    host.connect()
    assert {topic.split("/")[1] for topic, _ in host.take()} >= {"h", "v", "p", "f"}


def test_machine_under_tiny_packets_does_not_fail(boxe: Device) -> None:
    """A broker may announce any packet size; what cannot be sent is not sent."""
    boxe.append(draft(bytes(48_000)))
    for size in (1, 256, 300, 400, 500, 1_000, 2_000):
        host = Host(boxe.clone(size))
        host.connect(size)
        host.run(10_000)


def test_machine_with_a_broker_that_refuses_the_mailbox_asks_it_now_and_then(boxe: Device, host: Host) -> None:
    """P8.2: what is refused is not tried again at once, and what it was is said."""
    boxe.append(*[draft()] * 200)
    host.refuse = True
    host.appended().run(5_000).take()
    host.run(60_000)
    assert 0 < sum("/m/" in publish.topic or "/i/" in publish.topic for publish in host.published) < 10
    assert host.machine.live_info().mailbox_refused > 0


def test_ring_named_by_an_index_and_never_written_is_written_by_the_next_process(boxe: Device) -> None:
    """P8.1, P8.8: a process may die between index and slots; L2 must hold all the same."""
    host = Host(boxe).connect()
    host.hold = True
    host.run(30_000)
    assert host.retained.get(TOPICS.index(boxe.own.id))
    assert not any("/m/" in topic for topic in host.retained)
    after = Host(boxe, boot=2)
    after.retained = dict(host.retained)
    after.connect().run(60_000)
    assert any("/m/" in topic and payload for topic, payload in after.retained.items())


def test_ring_of_the_process_before_is_kept_when_it_is_there(boxe: Device) -> None:
    """P8.8"""
    host = Host(boxe).connect().run(30_000)
    ring = {topic: payload for topic, payload in host.retained.items() if "/m/" in topic}
    assert ring
    after = Host(boxe, boot=2)
    after.retained = dict(host.retained)
    after.connect().run(60_000)
    assert {topic: payload for topic, payload in after.retained.items() if "/m/" in topic} == ring


def test_slot_that_a_standing_want_asks_for_all_the_same_is_read_back_and_written_again(boxe: Device) -> None:
    """P8.9: the broker, or an outsider, has dropped what the index names"""
    nova = made("NOVA", 1)
    host = Host(boxe).connect()
    host.told(nova, Kind.HEAD, nova.head())
    host.told(nova, Kind.VECTOR, nova.vector())
    host.run(30_000)
    ring = {topic for topic, payload in host.retained.items() if "/m/" in topic and payload}
    assert ring
    for topic in ring:
        del host.retained[topic]
    host.told(nova, Kind.STANDING, Standing(nova.counter(), WALL, [WantItem(boxe.own.hash, 1, 0)]))
    host.run(60_000)
    assert any("/m/" in topic and payload for topic, payload in host.retained.items())


def test_own_index_of_more_than_is_held_opens_an_incarnation(boxe: Device) -> None:
    """P7.2"""
    twin = twin_with_more(boxe)
    segment = Segment(0, twin.own.id, 1, twin.own.seq, bytes(8), 0, 1, 100)
    topic, payload = twin.say(Kind.INDEX, IndexMessage(twin.counter(), WALL, 32, [segment]))
    host = Host(boxe, Settings(), boot=9)
    host.retained[topic] = payload
    host.connect()
    assert host.opened


def test_frames_packed_with_zstd_are_taken_like_others(host: Host) -> None:
    """P5.3"""
    nova = made("NOVA", 50)
    payload = nova.batch_bytes()
    packed = pack(payload)
    assert packed != Packed(0, payload)
    host.hear(TOPICS.live, close_frame(KEYS, TOPICS.live, Kind.LIVE, None, packed, bytes(24)))
    assert host.device.log.origin_state(nova.own.id) is not None


# --- invariants ---------------------------------------------------------------------------------------------------


def test_vectors_never_step_back_whatever_comes_in_which_order(host: Host) -> None:
    """S4, P6.2: nor do their counters"""
    nova, luna = made("NOVA", 700), made("LUNA", 3)
    pieces = [nova.batch_bytes(first=first, raw_bytes=1) for first in (257, 1, 1, 513, 257, 1, 513)]
    seen: list[tuple[int, dict[OriginId, int]]] = []
    for piece in pieces:
        host.hear(TOPICS.live, nova.sealed(Kind.LIVE, TOPICS.live, piece))
        host.hear(*live(luna)).run(5_000)
        pages = [decode_vector(payload) for _, payload in host.take(Kind.VECTOR)]
        seen += [(page.counter, {o: ack.seq for o, ack in unpack_entries(page.entries).items()}) for page in pages]
    for (older, before), (newer, after) in pairwise(seen):
        assert newer > older
        assert all(after.get(origin, 0) >= seq for origin, seq in before.items())
    assert seen[-1][1][nova.own.id] == nova.own.seq
