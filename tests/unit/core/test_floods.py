"""Floods of valid-looking junk: memory stays flat, and honest devices are served (protocol-v1 P5.4, section 9).

The bounds are made small here, so that a flood of seconds reaches what one of days would. What counts is that all
that is kept has a bound, not where it lies.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from random import Random

import pytest

from hcom_replica.core import disputes, intake, knowledge, ownslots, parts, peers, serve
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.batch import Batch, Commit, Descriptor, encode_batch
from hcom_replica.wire.codec import encode
from hcom_replica.wire.epoch import Notice, certify, encode_notice, make_record
from hcom_replica.wire.event import Draft, encode_event
from hcom_replica.wire.frame import Kind, Packed, Signer, close_frame, pack
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.messages import (
    ASK_VECTOR,
    Ack,
    Ask,
    Fill,
    FillPart,
    Gone,
    Head,
    Index,
    Part,
    Payload,
    Presence,
    Rekey,
    Segment,
    Standing,
    VectorPage,
    Want,
    WantItem,
    pack_entries,
)
from hcom_replica.wire.signing import COMMIT, DeviceKey, commit_digest, root_hash, short
from tests.unit.core.builders import KEYS, TOPICS, WALL, Device, draft
from tests.unit.core.host import Host

IDENTITIES = 30
FLAT_BYTES = 300_000
"""What may still change between two halves of a flood: caches that are half full, numbers that grow longer."""

Message = tuple[str, bytes, bool]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_PEERS_MAX", 24)
    monkeypatch.setattr(peers, "CLAIMS_MAX", 600)
    monkeypatch.setattr(disputes, "JUDGED_MAX", 32)
    monkeypatch.setattr(intake, "SPOOL_BYTES_MAX", 64_000)
    monkeypatch.setattr(parts, "SPOOL_BYTES_MAX", 64_000)
    monkeypatch.setattr(serve, "_JOBS_MAX", 16)
    monkeypatch.setattr(knowledge, "_TIPS_KEPT", 64)
    monkeypatch.setattr(ownslots, "_ECHOES_KEPT", 64)


class Flooder:
    """A member that speaks as many devices, and says of each kind whatever has the right shape."""

    def __init__(self, victim: Device, seed: int) -> None:
        self.rng = Random(seed)
        self.victim = victim
        self.count = 0
        self.signers = [self._identity() for _ in range(IDENTITIES)]

    def _identity(self) -> Signer:
        key, incarnation = DeviceKey(self.rng.randbytes(32)), (1).to_bytes(4, "big") + self.rng.randbytes(8)
        return Signer(key, incarnation, short(root_hash(KEYS.group, key.public, incarnation)))

    def origin(self) -> OriginId:
        """Made up, mostly; else one that is held, or an identity's."""
        choice = self.rng.random()
        if choice < 0.2:
            return self.victim.own.id
        return self.rng.choice(self.signers).origin if choice < 0.4 else OriginId(self.rng.randbytes(8))

    def number(self) -> int:
        return self.rng.choice([0, 1, 2, 5, 300, 1 << 20, 1 << 40, (1 << 63) - 1, (1 << 64) - 1])

    def messages(self) -> Iterator[Message]:
        """One of each kind of each identity."""
        for signer in self.signers:
            for kind in Kind:
                topic, payload = self._said(signer, kind)
                author = None if kind in (Kind.LIVE, Kind.FENCE) else signer
                sealed = close_frame(KEYS, topic, kind, author, pack(payload), self.rng.randbytes(24))
                yield topic, sealed, self.rng.random() < 0.3

    def _said(self, signer: Signer, kind: Kind) -> tuple[str, bytes]:
        self.count += 1
        origin, page = signer.origin, self.rng.randrange(40)
        topics = {
            Kind.HEAD: TOPICS.head(origin), Kind.VECTOR: TOPICS.vector(origin, page), Kind.INDEX: TOPICS.index(origin),
            Kind.STANDING: TOPICS.standing(origin), Kind.PRESENCE: TOPICS.presence(origin), Kind.LIVE: TOPICS.live,
            Kind.WANT: TOPICS.want, Kind.FILL: TOPICS.fill(self.origin(), 1), Kind.ASK: TOPICS.ask,
            Kind.FILL_PART: TOPICS.fill(self.origin(), 1), Kind.SEGMENT: TOPICS.segment(origin, page),
            Kind.SEGMENT_PART: TOPICS.segment(origin, page), Kind.FENCE: TOPICS.fence(self.rng.randbytes(16)),
            Kind.REKEY: TOPICS.rekeyed(origin), Kind.GONE: TOPICS.gone(origin),
        }  # fmt: skip
        return topics[kind], self._payload(signer, kind)

    def _payload(self, signer: Signer, kind: Kind) -> bytes:
        slot = self._slot(signer, kind)
        if slot is not None:
            return encode(slot)
        if kind is Kind.FENCE:
            return self.rng.randbytes(16)
        message = self._request(signer, kind)
        return self._batch(signer) if message is None else encode(message)

    def _slot(self, signer: Signer, kind: Kind) -> Payload | None:
        rng, count, number = self.rng, self.count, self.number
        if kind is Kind.HEAD:
            return self._head(signer)
        if kind is Kind.VECTOR:
            entries = [(self.origin(), Ack(number(), rng.randbytes(8))) for _ in range(128)]
            return VectorPage(count, WALL, 40, True, pack_entries(entries))
        if kind is Kind.INDEX:
            lines = [Segment(slot, self.origin(), 1, number(), rng.randbytes(8), 0, 1, 9) for slot in range(256)]
            return Index(count, WALL, 0xFFFF, lines)
        if kind is Kind.STANDING:
            return Standing(count, WALL, self._items())
        return Presence(count, WALL, bool(count % 2)) if kind is Kind.PRESENCE else None

    def _request(self, signer: Signer, kind: Kind) -> Payload | None:
        rng, count, own = self.rng, self.count, self.victim.own.id
        if kind is Kind.WANT:
            return Want(count, own, 4 << 20, self._items())
        if kind is Kind.FILL:
            return Fill(count, True, 0, self._batch(signer))
        if kind is Kind.FILL_PART:
            return FillPart(count, False, self._part())
        if kind is Kind.SEGMENT_PART:
            return self._part()
        if kind in (Kind.REKEY, Kind.GONE):
            return Rekey(count, WALL, self._notice(signer)) if kind is Kind.REKEY else self._gone(signer)
        return Ask(count, rng.choice([None, own]), ASK_VECTOR) if kind is Kind.ASK else None

    def _notice(self, signer: Signer) -> bytes:
        """A record truly signed, by somebody without a rank, that shuts the victim out."""
        keys = GroupKeys(KEYS.group, self.rng.randbytes(32), self.count + 2)
        shut_out = [self.victim.key.public]
        record = make_record(keys, signer.device, [signer.device.public], shut_out, self.rng.randbytes)
        return encode_notice(Notice((record,), (certify(KEYS.group, signer.device, 1, signer.device.public),)))

    def _gone(self, signer: Signer) -> Gone:
        chain = [certify(KEYS.group, signer.device, 1, signer.device.public)]
        return Gone(self.count, WALL, self.count, self.count, self.origin(), "mqtt://elsewhere:1883", chain)

    def _items(self) -> list[WantItem]:
        return [WantItem(self.rng.choice([self.victim.own.hash, self.origin()]), 1, 0) for _ in range(64)]

    def _part(self) -> Part:
        return Part(self.rng.randbytes(16), 0, 200, self.origin(), 1, self.rng.randbytes(500))

    def _head(self, signer: Signer) -> Head:
        """Truly signed, of an origin that is longer than any: its own."""
        root, tip, seq = (
            root_hash(KEYS.group, signer.device.public, signer.incarnation),
            self.rng.randbytes(32),
            1 << 62,
        )
        signature = signer.device.sign(COMMIT, commit_digest(root, seq, seq, seq, tip))
        return Head(self.count, WALL, "FLOOD", seq, seq, tip, signature, seq, 1, seq)

    def _batch(self, signer: Signer) -> bytes:
        """Beyond a gap that is never filled, so that its signature is not looked at."""
        records = [encode_event(number, Draft("junk", None, None, b"x" * 200)) for number in range(1, 5)]
        first = self.rng.randrange(2, 1 << 40)
        descriptor = Descriptor(signer.device.public, signer.incarnation, ())
        batch = Batch(self.origin(), first, bytes(32), 0, records, [Commit(first + 3, bytes(64))], descriptor)
        return encode_batch(batch)


def flooded(host: Host, messages: Iterator[Message]) -> None:
    """Hear all of them, a second passing now and then."""
    for number, (topic, payload, retain) in enumerate(messages):
        host.machine.received(host.now, topic, payload, retain=retain)
        if number % 50 == 49:
            host.run(1_000, step_ms=500)
            host.published.clear()
            host.traces.clear()
    host.filters = {name for name in host.filters if "/f/" not in name}


def traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def host() -> Host:
    device = Device("BOXE")
    device.append(*[draft(b"%d" % number) for number in range(5)])
    return Host(device, Settings(mailbox_slots=4)).connect()


def assert_serves(host: Host) -> None:
    """An honest device that comes now is heard, answered and told of what is new."""
    honest = Device("LUNA")
    honest.append(draft(b"honest"))
    host.hear(TOPICS.live, honest.sealed(Kind.LIVE, TOPICS.live, honest.batch_bytes()))
    assert host.device.log.origin_state(honest.own.id) == honest.log.origin_state(honest.own.id)
    host.published.clear()
    own = host.device.own
    host.told(honest, Kind.WANT, Want(1, own.id, 1 << 18, [WantItem(own.hash, 1, 0)]))
    host.run(3_000)
    fills = {topic for topic, _ in host.take(Kind.FILL)}
    assert TOPICS.fill(own.id, 1) in fills
    host.device.append(draft(b"own"))
    host.appended().run(6_000)
    assert host.take(Kind.HEAD)


@pytest.mark.slow
def test_flood_by_a_member_leaves_memory_flat_and_honest_devices_are_served(host: Host) -> None:
    """P5.4: every kind of message, truly sealed and signed, by thirty made-up devices"""
    flooder = Flooder(host.device, 1)
    tracemalloc.start()
    try:
        for _ in range(2):
            flooded(host, flooder.messages())
        before = traced()
        flooded(host, flooder.messages())
        grown = traced() - before
    finally:
        tracemalloc.stop()
    assert grown < FLAT_BYTES, f"{grown:,} bytes more"
    machine = host.machine
    assert len(list(machine._c.peers)) <= 24
    assert 0 < machine._c.peers.claims_count <= 600
    assert machine.buffered_bytes <= 2 * 64_000
    assert len(machine._c.server._jobs) <= 16
    assert len(machine._c.disputes._known) <= 32
    assert host.dropped()["limit"] > 100
    assert_serves(host)


def test_flood_by_an_outsider_leaves_nothing_but_counters(host: Host) -> None:
    """P5.4: bytes of any kind on every topic; slots that are emptied, too"""
    rng, own = Random(2), host.device.own.id
    topics = [TOPICS.live, TOPICS.want, TOPICS.ask, TOPICS.head(own), TOPICS.vector(own, 0), TOPICS.index(own),
              TOPICS.standing(own), TOPICS.presence(own), TOPICS.segment(own, 0), TOPICS.fill(own, 1)]  # fmt: skip

    def junk(count: int) -> Iterator[Message]:
        for _ in range(count):
            topic = rng.choice([*topics, f"{TOPICS.prefix}/{rng.choice('hvisp')}/{rng.randbytes(8).hex()}"])
            payload = rng.choice([b"", b"\x01" + rng.randbytes(100), rng.randbytes(rng.randrange(1, 300))])
            yield topic, payload, rng.random() < 0.5

    tracemalloc.start()
    try:
        flooded(host, junk(2_000))
        before = traced()
        flooded(host, junk(4_000))
        grown = traced() - before
    finally:
        tracemalloc.stop()
    assert grown < FLAT_BYTES // 3, f"{grown:,} bytes more"
    assert host.machine.buffered_bytes == 0
    assert list(host.machine._c.peers) == []
    assert_serves(host)


def test_vector_of_more_pages_than_there_may_be_is_dropped(host: Host) -> None:
    """Section 9"""
    nova = Device("NOVA")
    nova.append()
    page = VectorPage(1, WALL, 1_025, True, b"")
    host.hear(*nova.say(Kind.VECTOR, page, page=0))
    host.hear(*nova.say(Kind.VECTOR, VectorPage(2, WALL, 1_024, True, b""), page=1_024))
    assert host.dropped() == {"limit": 2}
    host.hear(*nova.say(Kind.VECTOR, VectorPage(3, WALL, 1_024, True, b""), page=1_023))
    assert host.dropped() == {"limit": 2}


def test_vector_that_finds_no_room_is_dropped_and_others_may_still_change_theirs(host: Host) -> None:
    """Section 9: what honest devices have said before is not displaced."""
    nova, liar = Device("NOVA"), Device("LIAR")
    nova.append()
    liar.append()
    claims = {OriginId(b"%8d" % number): Ack(1, bytes(8)) for number in range(120)}
    host.told(nova, Kind.VECTOR, nova.vector())
    for number in range(8):
        page = VectorPage(liar.counter(), WALL, 8, True, pack_entries(claims.items()))
        host.hear(*liar.say(Kind.VECTOR, page, page=number))
    assert host.dropped() == {"limit": 4}
    host.told(nova, Kind.VECTOR, nova.vector())
    peer = host.machine._c.peers.get(nova.own.id)
    assert peer is not None
    assert nova.own.id in peer.acks
    host.hear(TOPICS.vector(liar.own.id, 0), b"")
    assert host.machine._c.peers.claims_count == 2


def test_asker_of_everything_gives_way_to_one_who_asks_for_little(host: Host) -> None:
    """Section 9: wants without end by one device do not keep another's from being answered."""
    greedy, modest = Device("NOVA"), Device("LUNA")
    greedy.append()
    modest.append()
    server, own = host.machine._c.server, host.device.own
    others = [Device(f"D{number}") for number in range(20)]
    for other in others:
        other.append()
        other.send_to(host.device)
    host.appended()
    items = [WantItem(other.own.hash, 1, 0) for other in others]
    server.asked(greedy.own.id, Want(1, own.id, 4 << 20, items), host.machine._c.knowledge)
    assert len(server._jobs) == 16
    server.asked(modest.own.id, Want(1, own.id, 4 << 20, items[16:19]), host.machine._c.knowledge)
    askers = [asker for asker, _ in server._jobs]
    assert (askers.count(greedy.own.id), askers.count(modest.own.id)) == (13, 3)
    server.asked(modest.own.id, Want(2, own.id, 4 << 20, items), host.machine._c.knowledge)
    assert len(server._jobs) == 16
    assert server._jobs[greedy.own.id, others[0].own.id].want == 1, (
        "what is furthest in the queue goes, not what is first"
    )


def test_question_asked_without_end_is_answered_as_fast_as_the_broker_takes_answers(host: Host) -> None:
    """P7.5: an answer is many times as long as a question."""
    nova = Device("NOVA")
    nova.append()
    host.run(10_000).take()
    host.hold = True
    for number in range(200):
        host.told(nova, Kind.ASK, Ask(number, host.device.own.id, ASK_VECTOR))
    assert len(host.take(Kind.VECTOR)) == 1
    assert host.machine._c.outbox.waiting() < 10


def test_unpacked_batches_of_a_flood_are_counted_with_what_they_cost(host: Host) -> None:
    """P4.5: beyond a gap, in bounded memory"""
    flooder = Flooder(host.device, 3)
    for _ in range(300):
        payload = Packed(0, flooder._batch(flooder.signers[0]))
        sealed = close_frame(KEYS, TOPICS.live, Kind.LIVE, None, payload, flooder.rng.randbytes(24))
        host.machine.received(host.now, TOPICS.live, sealed, retain=False)
        assert host.machine.buffered_bytes <= 64_000


def test_false_claims_are_remembered_up_to_a_bound(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """P4.9: each is looked into once; to make one costs nothing."""
    monkeypatch.setattr(disputes, "JUDGED_MAX", 8)
    own = host.device.own
    for number in range(20):
        liar = Device(f"D{number}")
        liar.append()
        host.told(liar, Kind.VECTOR, liar.vector(entries={own.id: Ack(3, b"made up!")}))
        assert 0 < len(host.machine._c.disputes._known) <= 8
