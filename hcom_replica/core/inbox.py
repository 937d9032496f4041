"""The inbox of a replica machine: opens what comes from the broker, checks whose it is, and hands it to its part.

Whatever arrives is hostile until its seal, its sender's signature and its shape have been checked (P5.3, P5.4).
What fails is dropped and counted, and held against nobody but its sender.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hcom_replica.core.context import Context
from hcom_replica.core.earlierinbox import EarlierInbox
from hcom_replica.core.effects import Now
from hcom_replica.core.intake import Taken
from hcom_replica.core.slotmessage import SlotMessage, decode_slot
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.wire.batch import Batch, decode_batch
from hcom_replica.wire.frame import AUTHOR_BYTES, Author, Frame, Kind, Packed, open_frame, unpack
from hcom_replica.wire.messages import (
    ASK_OFF,
    ASK_VECTOR,
    Ask,
    Head,
    Index,
    Standing,
    decode_ask,
    decode_fill,
    decode_fill_part,
    decode_part,
    decode_want,
)
from hcom_replica.wire.seal import OVERHEAD_BYTES
from hcom_replica.wire.topics import Topics

_SLOT_KINDS: Final = frozenset((Kind.HEAD, Kind.VECTOR, Kind.INDEX, Kind.STANDING, Kind.PRESENCE))
_ANSWERS: Final = 8
"""So many devices of a large group answer a question to all: one may be lost, a thousand would drown the asker."""

_LABELS: Final = {kind: kind.name.lower() for kind in Kind}
_SLOT_GROUPS: Final = {kind.name[0].lower(): kind for kind in _SLOT_KINDS}


class Inbox:
    """Routes what is received.

    Args:
        context: of the machine.
        turned: called when word of another epoch has come.

    Attributes:
        off_requested: a member has asked all devices to stop syncing.
    """

    def __init__(self, context: Context, turned: Callable[[], None]) -> None:
        self._c = context
        self._earlier = EarlierInbox(context, self._take_segment, turned)
        self.off_requested = False
        self._handlers: dict[Kind, Callable[[Now, str, Frame], None]] = {
            Kind.LIVE: self._on_live,
            Kind.WANT: self._on_want,
            Kind.FILL: self._on_fill,
            Kind.FILL_PART: self._on_fill_part,
            Kind.ASK: self._on_ask,
            Kind.FENCE: self._on_fence,
        }

    def receive(self, now: Now, topic: str, payload: bytes, *, retain: bool) -> None:
        """Take a message from anyone.

        Raises:
            ProtocolError: it is not a sound message of this group; it was dropped, and nothing was changed.
        """
        topics = self._c.topics.of(topic)
        if not payload:
            self._emptied(now, topic, topics)
            return
        if topics is not self._c.topics:
            self._c.earlier.saw(topic, payload)
        frame = self._opened(topics, topic, payload)
        if topics is not self._c.topics:
            self._earlier.receive(now, topics, topic, frame, payload)
        else:
            self._on_frame(now, topic, frame, payload, retain=retain)

    def _opened(self, topics: Topics, topic: str, payload: bytes) -> Frame:
        """Open what came, if it is of this group and its author is not shut out; notices prove themselves."""
        if not topics.parse(topic)[0]:
            raise ProtocolError("topic")
        if len(payload) > max(self._c.settings.message_bytes_max, self._c.room + AUTHOR_BYTES + OVERHEAD_BYTES + 2):
            raise ProtocolError("size")
        frame = open_frame(topics.keys, topic, payload)
        self._c.counters[_LABELS[frame.kind]] += 1
        if frame.kind is not Kind.REKEY and frame.author is not None and self._c.knowledge.is_revoked(frame.author.key):
            raise ProtocolError("revoked")
        return frame

    def _on_frame(self, now: Now, topic: str, frame: Frame, payload: bytes, *, retain: bool) -> None:
        if frame.author is not None and not retain and not self._c.is_own(frame.author):
            self._c.peers.heard(frame.author, now)
        if frame.kind in _SLOT_KINDS:
            self._on_slot(now, topic, frame, payload, retain=retain)
        elif frame.kind in (Kind.SEGMENT, Kind.SEGMENT_PART):
            self._on_segment(now, topic, frame, payload, retain=retain)
        elif frame.kind is Kind.GONE:
            self._earlier.gone(self._c.topics, topic, frame)
        elif frame.kind is Kind.REKEY:
            self._earlier.notice(now, self._c.topics, topic, frame, payload)
        else:
            self._handlers[frame.kind](now, topic, frame)

    def _emptied(self, now: Now, topic: str, topics: Topics) -> None:
        """A slot was cleared."""
        if self._c.slots.written(topic):
            self._c.slots.seen(now, topic, b"")
        self._c.puller.segment(now, topic)
        if topics is self._c.topics:
            self._peers_emptied(topic)
        else:
            self._earlier.emptied(topics, topic)

    def _peers_emptied(self, topic: str) -> None:
        group, leaves = self._c.topics.parse(topic)
        kind = _SLOT_GROUPS.get(group)
        if kind is not None and leaves:
            self._c.peers.emptied(kind, lambda origin: self._c.topics.leaf(origin) == leaves[0])

    def _on_slot(self, now: Now, topic: str, frame: Frame, payload: bytes, *, retain: bool) -> None:
        author = frame.author
        page = author and self._c.topics.slot_page(topic, frame.kind.name[0].lower(), author.origin)
        if author is None or page is None:
            raise ProtocolError("topic")
        if self._c.is_own(author):
            self._own_slot(now, topic, frame, payload, page)
            return
        if self._c.peers.accept(frame.kind, author, page, frame.payload, live=not retain, now=now):
            self._c.lacks.news(now)
            self._c.mailbox.moved(now)
            peer = self._c.peers.get(author.origin)
            if frame.kind is Kind.VECTOR and peer is not None:
                self._c.dispute(now, self._c.disputes.of_peer(peer))
        else:
            self._c.counters["dropped.counter"] += 1

    def _own_slot(self, now: Now, topic: str, frame: Frame, payload: bytes, page: int) -> None:
        """Our own signature in our own slot: an echo, an earlier process's word, or the trace of a rollback (P7.2)."""
        message = decode_slot(frame.kind, frame.payload)
        if isinstance(message, Index) and not self._c.slots.written(topic):  # brokers may be late with what they retain
            self._c.mailbox.adopt(message)
        if self._c.slots.wrote(payload):
            if self._c.fence.open:  # an echo, or what stood here before: the will of an earlier connection comes late
                self._c.slots.seen(now, topic, payload)
            return
        own = self._c.knowledge.own_origins()[-1]
        author = Author(own.key, own.incarnation, own.id)
        self._c.peers.accept(frame.kind, author, page, frame.payload, live=False, now=now)
        ahead = message.counter >> 32 >= self._c.outbox.boot
        if ahead or self._beyond(message):
            self._c.reopen(
                "our slot was written by somebody else" if ahead else "the broker holds more of our log than we do"
            )
            return
        if isinstance(message, Standing):
            self._c.standing.seen()
        if self._c.fence.open:
            self._c.slots.seen(now, topic, payload)

    def _beyond(self, message: SlotMessage) -> bool:
        """Whether a head or an index of our origin names events that we do not hold, or hold to be others.

        The log itself is asked: what is known of it here may lag behind. Nor is that brought up to date on the way: an
        incarnation that another process has opened is for the machine to notice, which then writes other slots.
        """
        own = self._c.knowledge.own_origins()[-1].id
        held = {state.id: state for state in self._c.knowledge.log.origins()}[own]
        if isinstance(message, Index):
            return any(segment.origin == own and segment.last > held.seq for segment in message.segments)
        if not isinstance(message, Head):
            return False
        return message.seq > held.seq or self._c.knowledge.tip(held, message.seq) != message.tip

    def _on_live(self, now: Now, _: str, frame: Frame) -> None:
        batch, taken = self._take(frame.payload)
        peer = self._c.peers.get(OriginId(batch.origin)) if taken is Taken.STAGED else None
        if peer is not None:  # only its writer says a batch live: it is there
            peer.heard_ms, peer.heard_mono_ms = now.wall_ms, now.mono_ms

    def _on_fill(self, now: Now, topic: str, frame: Frame) -> None:
        fill = decode_fill(frame.payload)
        batch, taken = self._take(unpack(Packed(fill.codec, fill.data)))
        origin, held = OriginId(batch.origin), _held(batch, taken)
        self._c.puller.fill(now, topic, origin, frame.author, fill.want, last=fill.last, held=held)

    def _on_fill_part(self, now: Now, topic: str, frame: Frame) -> None:
        message, author = decode_fill_part(frame.payload), frame.author
        batch = self._c.assembler.add(author.origin, message.part) if author is not None else None
        origin, held = OriginId(message.part.origin), _held(*self._take(batch)) if batch is not None else None
        self._c.puller.fill(now, topic, origin, author, message.want, last=message.last, held=held)

    def _on_segment(self, now: Now, topic: str, frame: Frame, payload: bytes, *, retain: bool) -> None:
        author = frame.author
        if self._c.is_own(author):
            self._c.mailbox.segment(topic, payload, retain=retain)
            return
        group, leaves = self._c.topics.parse(topic)
        if author is None or group != "m" or leaves[:1] != [self._c.topics.leaf(author.origin)]:
            raise ProtocolError("topic")
        held = self._take_segment(frame)
        self._c.puller.segment(now, topic, author.origin, held=held)

    def _take_segment(self, frame: Frame) -> int | None:
        """Take what came from a mailbox slot; gives `held` as `Puller.fill` has it."""
        batch: bytes | None = frame.payload
        if frame.kind is Kind.SEGMENT_PART and frame.author is not None:
            batch = self._c.assembler.add(frame.author.origin, decode_part(frame.payload))
        return _held(*self._take(batch)) if batch is not None else None

    def _take(self, data: bytes) -> tuple[Batch, Taken]:
        batch = decode_batch(data)
        self._c.counters["event bytes"] += sum(map(len, batch.records))
        taken = self._c.intake.offer(batch)
        self._c.counters[f"batches {taken.name.lower()}"] += 1
        return batch, taken

    def _on_want(self, now: Now, _: str, frame: Frame) -> None:
        want, author = decode_want(frame.payload), frame.author
        if author is None or self._c.is_own(author):
            return
        if self._c.knowledge.is_own(want.to):
            self._c.server.asked(author.origin, want, self._c.knowledge)
        else:
            asked = self._c.peers.get(OriginId(want.to))
            self._c.puller.others_want(now, want, asked.author.key if asked is not None else None)

    def _on_ask(self, _now: Now, _topic: str, frame: Frame) -> None:
        ask = decode_ask(frame.payload)
        own = self._c.own_id()
        if frame.author is None or self._c.is_own(frame.author) or ask.to not in (None, own):
            return
        if ask.what == ASK_VECTOR and self._c.fence.open:
            self._asked_for_vector(frame.author.key, ask)
        elif ask.what == ASK_OFF:
            self.off_requested = True

    def _asked_for_vector(self, key: bytes, ask: Ask) -> None:
        """Say what we hold of the asker's origins. When everybody is asked, about as many answer as are needed."""
        devices = len(self._c.peers.current(self._c.knowledge.own))
        if ask.to is None and self._c.outbox.rng.random() * devices >= _ANSWERS:
            return
        states = self._c.knowledge.states.values()
        self._c.vector.asked([state.id for state in states if state.key == key] or [OriginId(bytes(8))])

    def _on_fence(self, now: Now, _: str, frame: Frame) -> None:
        self._c.fence.echoed(now, frame.payload)


def _held(batch: Batch, taken: Taken) -> int:
    """The last seq of a batch that is held as it is; 0 when something of it is not."""
    return batch.last if taken is Taken.HELD else 0
