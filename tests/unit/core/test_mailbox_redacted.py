"""Bodies that are to go do not stay in the slots of a ring (protocol-v1 8.11)."""

from __future__ import annotations

from hcom_replica.core.mailbox import Mailbox
from hcom_replica.ids import EventId
from hcom_replica.wire.batch import decode_batch
from hcom_replica.wire.frame import Kind, open_frame
from hcom_replica.wire.messages import Index, decode_index
from tests.unit.core.builders import KEYS, TOPICS, WALL, Device, at, draft, noise
from tests.unit.core.test_mailbox import Ring, device_with, filled

SECRET = b"a secret that was pasted"


class Broker:
    """What a broker retains of a ring's publishes, which it takes."""

    def __init__(self) -> None:
        self.retained: dict[str, bytes] = {}

    def take(self, ring: Ring) -> int:
        """Take what was published; tells how many messages that were."""
        published = ring.parts.answer_all()
        self.retained.update({publish.topic: publish.payload for publish in published})
        return len(published)

    def slots(self) -> dict[str, bytes]:
        """Topics of slots that are not empty, and the batch in each."""
        held = {topic: payload for topic, payload in self.retained.items() if payload and "/m/" in topic}
        return {topic: open_frame(KEYS, topic, payload).payload for topic, payload in held.items()}

    def index(self, device: Device) -> Index:
        topic = TOPICS.index(device.own.id)
        return decode_index(open_frame(KEYS, topic, self.retained[topic]).payload)

    def has_secret(self) -> bool:
        return any(SECRET in batch for batch in self.slots().values())


def with_secret(before: int = 0) -> tuple[Ring, Broker]:
    """A ring whose newest event is a secret, and the broker that holds it."""
    ring, broker = filled([*noise(before, 40_000), draft(SECRET)]), Broker()
    broker.take(ring)
    assert broker.has_secret()
    return ring, broker


def redact(ring: Ring, seq: int, name: Device | None = None) -> None:
    """Take a body away, as another process does."""
    device = name or ring.device
    device.log.redact(EventId(device.own.id, seq), WALL)


def test_segment_with_the_body_is_written_anew_at_once() -> None:
    """P8.11"""
    ring, broker = with_secret()
    redact(ring, 2)
    ring.tick(5_000, urgent=False)
    broker.take(ring)
    assert not broker.has_secret()
    assert ring.covered() == ring.device.own.seq
    (batch,) = map(decode_batch, broker.slots().values())
    assert (batch.first, batch.last) == (1, 3)
    assert ring.mailbox.settled()
    ring.tick(6_000, urgent=False)
    assert broker.take(ring) == 0, "once"


def test_slots_that_no_index_names_are_emptied() -> None:
    """P8.11: what a merge took in lies there until its slot is needed."""
    ring, broker = with_secret()
    ring.device.append(draft())
    ring.tick(40_000)  # a small segment is taken in: its slot holds it yet
    broker.take(ring)
    assert len(broker.slots()) == 2 > len(ring.mailbox.runs())
    redact(ring, 2)
    ring.tick(80_000, urgent=False)
    broker.take(ring)
    assert not broker.has_secret()
    assert {topic.rpartition("/")[2] for topic in broker.slots()} == {
        str(line.slot) for line in broker.index(ring.device).segments
    }


def test_segments_without_the_event_stay_as_they_are() -> None:
    ring, broker = with_secret(before=3)
    before = broker.slots()
    redact(ring, 5)
    ring.tick(5_000, urgent=False)
    broker.take(ring)
    assert not broker.has_secret()
    assert [batch for batch in broker.slots().values() if batch in before.values()] != []
    assert ring.covered() == ring.device.own.seq


def test_ring_that_another_process_wrote_before_it_knew_is_written_anew() -> None:
    """P8.11, P8.8"""
    ring, broker = with_secret()
    redact(ring, 2)
    later = Ring(ring.device)
    later.mailbox.adopt(broker.index(ring.device))
    later.tick(1)
    for topic, payload in broker.retained.items():
        later.mailbox.segment(topic, payload, retain=True)
    later.tick(2, urgent=False)
    broker.take(later)
    assert not broker.has_secret()
    assert later.covered() == ring.device.own.seq


def test_ring_that_the_broker_shows_late_is_written_anew_too() -> None:
    """P8.11, P8.8"""
    ring, broker = with_secret()
    redact(ring, 2)
    later = Ring(ring.device)
    later.acknowledge("NOVA", 1)
    later.tick(1, urgent=False)
    later.mailbox.adopt(broker.index(ring.device))
    later.tick(2, urgent=False)
    for topic, payload in broker.retained.items():
        later.mailbox.segment(topic, payload, retain=True)
    later.tick(3, urgent=False)
    broker.take(later)
    assert not broker.has_secret()


def test_body_goes_on_the_next_link_when_this_one_ends_meanwhile() -> None:
    ring, broker = with_secret()
    redact(ring, 2)
    ring.tick(5_000, urgent=False)
    ring.parts.published()
    ring.mailbox.closed()
    ring.parts.outbox.forget()
    ring.mailbox.link_up()
    ring.mailbox.adopt(broker.index(ring.device))
    ring.mailbox.opened(at(10_000))
    ring.tick(10_001, urgent=False)
    broker.take(ring)
    assert not broker.has_secret()
    assert ring.covered() == ring.device.own.seq


def test_ring_of_an_earlier_incarnation_that_names_the_event_is_cleared() -> None:
    """P8.11"""
    ring, broker = with_secret()
    old, lines = ring.device.author, ring.mailbox.new_origin()
    name = EventId(ring.device.own.id, 2)
    ring.device.log.open_incarnation("test", WALL)
    ring.parts.peers.left_ring(old, Index(1, WALL, 32, lines))
    ring.acknowledge("NOVA", 0)
    ring.tick(1, urgent=False)
    assert broker.has_secret()
    ring.device.log.redact(name, WALL)
    ring.tick(2, urgent=False)
    broker.take(ring)
    assert not broker.has_secret()


def test_redaction_of_what_no_slot_of_ours_holds_writes_nothing() -> None:
    ring, broker = with_secret()
    nova = Device("NOVA")
    nova.append(draft(SECRET))
    nova.log.redact(EventId(nova.own.id, 2), WALL)
    nova.send_to(ring.device)
    ring.tick(5_000, urgent=False)
    assert ring.parts.knowledge.redacted.known == {(nova.own.id, 2)}
    assert broker.take(ring) == 0


def test_empty_ring_has_nothing_to_let_go_of() -> None:
    device = device_with([draft(SECRET)])
    ring = Ring(device)
    ring.acknowledge("NOVA", 0)
    device.log.redact(EventId(device.own.id, 2), WALL)
    ring.acknowledge("NOVA", 1)
    ring.tick(40_000, urgent=False)
    assert ring.parts.published() == []
    assert isinstance(ring.mailbox, Mailbox)
    assert ring.parts.hear(ring.others["NOVA"], Kind.HEAD, ring.others["NOVA"].head(), now=at(2))
