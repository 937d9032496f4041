"""The replica machine: inputs in, effects out. No socket, disk, thread or clock (protocol-v1 sections 6 to 8).

This file only routes: each part of the protocol has a file of its own, named for what it does. Inputs change what is known;
`tick` decides what to do about it; `effects` hands it out in the order in which it has to be carried out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from hcom_replica.core.announce import HeadSlot, PresenceSlot, VectorSlots
from hcom_replica.core.effects import Effect, NotePeers, Now, OpenIncarnation
from hcom_replica.core.fence import Fence
from hcom_replica.core.flush import Flusher, FlushResult
from hcom_replica.core.intake import Intake, Taken
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.live import Live
from hcom_replica.core.mailbox import Mailbox
from hcom_replica.core.outbox import Outbox, Random
from hcom_replica.core.ownslots import OwnSlots
from hcom_replica.core.parts import Assembler
from hcom_replica.core.peers import Note, Peers, SlotMessage, decode_slot
from hcom_replica.core.place import Misfit
from hcom_replica.core.pull import Puller
from hcom_replica.core.reader import LogReader, OwnTip
from hcom_replica.core.report import IngestReport, Refused
from hcom_replica.core.serve import Server
from hcom_replica.core.settings import Settings
from hcom_replica.core.standing import StandingSlot
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.limits import VECTOR_PAGE_ENTRIES
from hcom_replica.wire.batch import decode_batch
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import AUTHOR_BYTES, Author, Frame, Kind, Packed, Signer, open_frame, pack, unpack
from hcom_replica.wire.keys import GroupKeys
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
from hcom_replica.wire.names import name_of
from hcom_replica.wire.seal import OVERHEAD_BYTES
from hcom_replica.wire.signing import DeviceKey, device_id
from hcom_replica.wire.topics import Topics

_PACKET_BYTES: Final = 256
"""Room for the topic and the properties of an MQTT packet."""
_SLOT_KINDS: Final = frozenset((Kind.HEAD, Kind.VECTOR, Kind.INDEX, Kind.STANDING, Kind.PRESENCE))
_SLOT_GROUPS: Final = {kind.name[0].lower(): kind for kind in _SLOT_KINDS}
_RATE_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class WaitResult:
    """Whether anything known is missing here.

    Attributes:
        heads_read: the retained heads have been read on this connection.
        missing_events: seqs that signed heads name and that are not held.
    """

    heads_read: bool
    missing_events: int


@dataclass(frozen=True, slots=True)
class LiveInfo:
    """What only a running machine knows, for status.

    Attributes:
        connected: a broker accepted us.
        since_ms: wall time since when; None when not connected.
        counters: messages by fate: taken kinds, and `dropped.<reason>`.
        events_s: events stored per second of late.
        online: origins of devices that are online now.
        clock_off_ms: origin -> how far its device's clock is off, beyond the drift bound.
        own_clock_off_ms: how far ours seems off, when most others say so; 0 otherwise.
        mailbox_refused: segments the broker did not take.
        too_large: first seq of an own event that fits no mailbox; None when all fit.
    """

    connected: bool
    since_ms: int | None
    counters: dict[str, int]
    events_s: float
    online: tuple[OriginId, ...]
    clock_off_ms: dict[OriginId, int]
    own_clock_off_ms: int
    mailbox_refused: int
    too_large: int | None


class _Timed(Protocol):
    def wake_at(self) -> int | None: ...


class Machine:
    """One device's replica.

    Args:
        device: its key.
        keys: its group.
        log: reads of its log; writes leave as effects.
        settings: see there.
        rng: randomness; seeded in simulations.
        boot: number of this start, raised durably before (P6.2).
        notes: what table `peers` holds.
        topic_path: see wire.topics.
    """

    def __init__(
        self,
        device: DeviceKey,
        keys: GroupKeys,
        log: LogReader,
        settings: Settings,
        rng: Random,
        boot: int,
        notes: Iterable[Note] = (),
        topic_path: str = "",
    ) -> None:
        self._device = device
        self._settings = settings
        self._keys = keys
        self._topics = topics = Topics(keys, topic_path)
        self._outbox = outbox = Outbox(keys, rng, boot)
        self._peers = Peers(keys.group, notes)
        self._knowledge = Knowledge(log, self._peers, settings.lease_ms)
        self._slots = slots = OwnSlots(outbox, settings)
        self._fence = Fence(outbox, topics, settings)
        self._head = HeadSlot(outbox, slots, topics, settings)
        self._vector = VectorSlots(outbox, slots, topics, settings)
        self._presence = PresenceSlot(outbox, slots, topics)
        self._standing = StandingSlot(outbox, slots, topics)
        self._live = Live(outbox, topics, settings)
        self._intake = Intake(outbox, self._knowledge)
        self._assembler = Assembler()
        self._puller = Puller(outbox, topics, settings, self._intake)
        self._server = Server(outbox, topics, settings)
        self._mailbox = Mailbox(outbox, slots, topics, settings)
        self._flusher = Flusher(outbox, topics, settings, self._mailbox)
        self._counters: Counter[str] = Counter()
        self._stored: list[tuple[int, int]] = []
        self._now = Now(0, 0)
        self._since_ms: int | None = None
        self._room = self._room_of(None)
        self._dirty = True
        self._closing = False
        self._greeting_due = False
        self._forgetting = False
        self._reopening = False
        self._heads_read = False
        self.off_requested = False
        self._handlers: dict[Kind, Callable[[Now, str, Frame, bool], None]] = {
            Kind.LIVE: self._on_live,
            Kind.WANT: self._on_want,
            Kind.FILL: self._on_fill,
            Kind.FILL_PART: self._on_fill_part,
            Kind.SEGMENT: self._on_segment,
            Kind.SEGMENT_PART: self._on_segment,
            Kind.ASK: self._on_ask,
            Kind.FENCE: self._on_fence,
        }
        if self._knowledge.own is None:
            self._reopen("first")

    # --- inputs: the link ---------------------------------------------------------------------------------

    def will(self, now: Now) -> tuple[str, bytes] | None:
        """Topic and payload of the will of the connection that is about to be made; None before the first append."""
        signer = self._signer()
        if signer is None:
            return None
        self._presence.new_session()
        topic, message = self._presence.will(now, signer)
        return topic, self._outbox.seal(topic, Kind.PRESENCE, signer, pack(encode(message)))

    def link_up(self, now: Now, packet_bytes_max: int | None) -> None:
        """The broker accepted us."""
        self._step(now)
        self._since_ms = now.wall_ms
        self._room = self._room_of(packet_bytes_max)
        self._peers.new_connection()
        self._fence.link_up(now)
        self._puller.link_up(now)
        self._mailbox.link_up()

    def link_down(self, now: Now, reason: str) -> None:
        """The connection ended. Nothing that was handed to it is counted on."""
        self._step(now)
        self._since_ms, self._heads_read = None, False
        self._outbox.forget()
        for part in (self._head, self._vector, self._standing, self._server, self._mailbox):
            part.closed()
        self._fence.link_down()
        self._puller.link_down()
        self._slots.forget()
        self._outbox.trace("link down", reason=reason)

    def subscribed(self, now: Now, filters: tuple[str, ...], refused: tuple[str, ...]) -> None:
        """SUBACK."""
        self._step(now)
        if refused:
            self._outbox.trace("subscription refused", filters=" ".join(refused))
        self._fence.subscribed(filters)

    def published(self, now: Now, token: int, *, refused: bool) -> None:
        """PUBACK."""
        self._step(now)
        self._outbox.answered(token, taken=not refused)

    def received(self, now: Now, topic: str, payload: bytes, *, retain: bool) -> None:
        """A message. Whatever it is, nothing is raised."""
        self._step(now)
        try:
            self._receive(now, topic, payload, retain)
        except ProtocolError as error:
            self._counters[f"dropped.{error.reason}"] += 1
            if self._slots.written(topic):
                self._slots.seen(now, topic, payload)

    # --- inputs: the log ----------------------------------------------------------------------------------

    def log_moved(self, now: Now) -> None:
        """The log has grown by an append on this device, or an incarnation was opened."""
        self._step(now)
        before = self._knowledge.own
        self._knowledge.reload()
        own = self._knowledge.own
        if own is None:
            return
        self._reopening = False
        if before is None or before.id != own.id:
            self._new_origin(now)
        self._vector.moved()
        if before is None or (before.id, before.seq) != (own.id, own.seq):
            self._mailbox.moved(now)
            if self._fence.open:
                self._head.moved(now)
                self._live.moved(now, self._knowledge, self._room, listeners=self._listeners(now))

    def ingested(self, now: Now, report: IngestReport) -> None:
        """What was staged is durable."""
        self._step(now)
        before = self._knowledge.own
        self._knowledge.reload()
        self._intake.settled()
        self._stored.append((now.mono_ms, report.events))
        self._counters["events stored"] += report.events
        for outcome in report.outcomes:
            if isinstance(outcome.placement, Misfit):
                self._puller.misfit(now, self._knowledge, outcome.origin, outcome.placement.before)
            elif isinstance(outcome.placement, Refused):
                self._counters[f"dropped.{outcome.placement.reason}"] += 1
        for state in report.states:
            self._puller.stored(now, state.id)
        for fork in report.forks:
            self._outbox.trace("fork", kept=fork.kept.hex(), derived=fork.derived.hex(), base=fork.base)
        self._vector.moved()
        own = self._knowledge.own
        if own is not None and (before is None or before.id != own.id):
            self._new_origin(now)

    def ingest_failed(self, now: Now) -> None:
        """The store could not take what was staged: it is asked for again."""
        self._step(now)
        self._intake.settled()
        self._counters["ingest failed"] += 1

    def promised(self, now: Now, tip: OwnTip) -> None:
        """A promise is durable."""
        self._step(now)
        if self._knowledge.own is None or tip.origin.id != self._knowledge.own.id:
            self.log_moved(now)
        signer = self._signer()
        if signer is not None and self._fence.open:
            self._head.promised(now, signer, self._name(), tip)

    # --- inputs: time and people ----------------------------------------------------------------------------

    def tick(self, now: Now) -> None:
        """Decide what to do next."""
        self._step(now)
        self._dirty = False
        signer, knowledge = self._signer(), self._knowledge
        if self._fence.tick(now):
            self._opened(now)
        if signer is None:
            return
        self._puller.tick(now, knowledge, signer)
        self._server.pump(knowledge, signer, self._room)
        if self._fence.open and not self._reopening and not self._forgetting:
            self._write_slots(now, signer)
        self._flusher.tick(now, knowledge, signer, is_open=self._fence.open)

    def start_flush(self, now: Now, device: str | None) -> int:
        """Begin a flush; its number is for `flush_result` and `end_flush`."""
        self.log_moved(now)
        return self._flusher.start(now, self._knowledge, device)

    def flush_result(self, number: int) -> FlushResult:
        """How far a flush has come."""
        return self._flusher.result(number)

    def end_flush(self, number: int) -> None:
        """Nobody waits for a flush any more."""
        self._flusher.drop(number)

    def wait_result(self) -> WaitResult:
        """Whether anything known is missing here."""
        return WaitResult(self._heads_read, sum(self._knowledge.behind().values()))

    def ask_off(self, now: Now) -> None:
        """Ask every device that hears it to stop syncing."""
        self._step(now)
        signer = self._signer()
        if signer is not None and self._fence.connected:
            ask = pack(encode(Ask(self._outbox.counter(), None, ASK_OFF)))
            topic = self._topics.ask
            self._outbox.publish(topic, self._outbox.seal(topic, Kind.ASK, signer, ask), retain=False)

    def closing(self, now: Now) -> None:
        """We are about to go offline on purpose: leave behind what others need."""
        self._step(now)
        self.log_moved(now)
        self._closing = self._greeting_due = True
        self._head.hurry(now)
        self._vector.hurry(now)

    def closed(self) -> bool:
        """Whether everything that is to be left behind, or cleared, has been taken by the broker."""
        if self._outbox.effects or self._outbox.waiting():
            return False
        if self._forgetting or not self._fence.open:
            return True
        own = self._knowledge.own
        told = own is None or self._head.told >= own.seq
        return self._closing and not self._greeting_due and told and self._mailbox.settled()

    def forget(self, now: Now) -> None:
        """Clear every slot of ours on the broker, of all our incarnations; nothing is written after that."""
        self._step(now)
        self._forgetting = True
        topics, settings = self._topics, self._settings
        for origin in [state.id for state in self._knowledge.own_origins()]:
            names = [topics.head(origin), topics.index(origin), topics.standing(origin), topics.presence(origin)]
            names += [
                topics.vector(origin, page) for page in range(len(self._knowledge.states) // VECTOR_PAGE_ENTRIES + 1)
            ]
            names += [topics.segment(origin, slot) for slot in range(settings.mailbox_slots)]
            for name in names:
                self._outbox.publish(name, b"", retain=True)

    # --- outputs --------------------------------------------------------------------------------------------

    def effects(self) -> list[Effect]:
        """Take what there is to do, in order."""
        self._intake.take()
        notes = self._peers.take_notes()
        if notes:
            self._outbox.emit(NotePeers(notes))
        return self._outbox.take()

    def wake_at(self) -> int | None:
        """Monotonic ms when `tick` is wanted; the past when it is wanted at once."""
        if self._dirty:
            return self._now.mono_ms
        parts: list[_Timed] = [self._fence, self._puller]
        if self._fence.open:
            parts += [self._slots, self._head, self._vector, self._mailbox, self._flusher]
        times = [time for time in (part.wake_at() for part in parts) if time is not None]
        return min(times, default=None)

    def live_info(self) -> LiveInfo:
        """What only a running machine knows."""
        now = self._now
        recent = sum(events for at, events in self._stored if now.mono_ms - at < _RATE_MS)
        skews = sorted(peer.skew_ms for peer in self._peers if peer.skew_ms is not None)
        off = {peer.origin: peer.clock_off_ms for peer in self._peers if peer.clock_off_ms}
        most_off = len(skews) > 1 and len(off) > len(skews) / 2
        return LiveInfo(
            self._fence.connected,
            self._since_ms,
            dict(self._counters),
            recent * 1_000 / _RATE_MS,
            tuple(peer.origin for peer in self._peers if self._fence.connected and self._online(peer.origin)),
            off,
            -skews[len(skews) // 2] if most_off else 0,
            self._mailbox.refused,
            self._mailbox.too_large,
        )

    @property
    def fence_open(self) -> bool:
        """Whether own slots may be written on this connection."""
        return self._fence.open

    # --- receiving ------------------------------------------------------------------------------------------

    def _receive(self, now: Now, topic: str, payload: bytes, retain: bool) -> None:
        group, _ = self._topics.parse(topic)
        if not payload:
            self._emptied(now, topic)
            return
        if not group:
            raise ProtocolError("topic")
        if len(payload) > max(self._settings.message_bytes_max, self._room + AUTHOR_BYTES + OVERHEAD_BYTES + 2):
            raise ProtocolError("size")
        frame = open_frame(self._keys, topic, payload)
        self._counters[frame.kind.name.lower()] += 1
        if frame.author is not None and not retain and not self._own(frame.author):
            self._peers.heard(frame.author, now)
        if frame.kind in _SLOT_KINDS:
            self._on_slot(now, topic, frame, payload, retain=retain)
        elif frame.kind in (Kind.SEGMENT, Kind.SEGMENT_PART) and self._own(frame.author):
            self._own_segment(topic, payload, retain=retain)
        else:
            self._handlers[frame.kind](now, topic, frame, retain)

    def _emptied(self, now: Now, topic: str) -> None:
        """A slot was cleared."""
        if self._slots.written(topic):
            self._slots.seen(now, topic, b"")
        self._puller.segment(now, topic)
        self._peers_emptied(topic)

    def _peers_emptied(self, topic: str) -> None:
        group, leaves = self._topics.parse(topic)
        kind = _SLOT_GROUPS.get(group)
        if kind is not None and leaves:
            self._peers.emptied(kind, lambda origin: self._topics.leaf(origin) == leaves[0])

    def _on_slot(self, now: Now, topic: str, frame: Frame, payload: bytes, *, retain: bool) -> None:
        author = frame.author
        page = self._slot_page(topic, frame.kind, author)
        if author is None or page is None:
            raise ProtocolError("topic")
        if self._own(author):
            self._own_slot(now, topic, frame, payload, page)
            return
        if self._peers.accept(frame.kind, author, page, frame.payload, live=not retain, now=now):
            self._puller.news(now)
            self._mailbox.moved(now)
        else:
            self._counters["dropped.counter"] += 1

    def _slot_page(self, topic: str, kind: Kind, author: Author | None) -> int | None:
        """The page a slot's topic names, when the topic is its author's slot of that kind; else None (P6.1)."""
        group, leaves = self._topics.parse(topic)
        if (
            author is None
            or group != kind.name[0].lower()
            or not leaves
            or leaves[0] != self._topics.leaf(author.origin)
        ):
            return None
        if kind is not Kind.VECTOR:
            return 0 if len(leaves) == 1 else None
        return (
            int(leaves[1])
            if len(leaves) == 2 and leaves[1].isascii() and leaves[1].isdigit() and len(leaves[1]) < 5
            else None
        )

    def _own_slot(self, now: Now, topic: str, frame: Frame, payload: bytes, page: int) -> None:
        """A message with our own signature in our own slot: an echo, an earlier process's, or a rollback's trace (P7.2)."""
        message, author = decode_slot(frame.kind, frame.payload), frame.author
        if isinstance(message, Index) and not self._fence.open:
            self._mailbox.adopt(message)
        if author is None or self._outbox.issued(message.counter):
            return
        self._peers.accept(frame.kind, author, page, frame.payload, live=False, now=now)
        ahead = message.counter >> 32 >= self._outbox.boot
        if ahead or self._beyond(message):
            self._reopen(
                "our slot was written by somebody else" if ahead else "the broker holds more of our log than we do"
            )
            return
        if isinstance(message, Standing):
            self._standing.seen()
        if self._fence.open:
            self._slots.seen(now, topic, payload)

    def _beyond(self, message: SlotMessage) -> bool:
        """Whether a head or an index of our origin names events that we do not hold, or hold to be others."""
        self._knowledge.reload()
        own = self._knowledge.own
        if own is None:
            return False
        if isinstance(message, Index):
            return any(segment.origin == own.id and segment.last > own.seq for segment in message.segments)
        if not isinstance(message, Head):
            return False
        return message.seq > own.seq or self._knowledge.tip(self._knowledge.states[own.id], message.seq) != message.tip

    def _own_segment(self, topic: str, payload: bytes, *, retain: bool) -> None:
        self._mailbox.segment(topic, payload, retain=retain)

    def _on_live(self, now: Now, topic: str, frame: Frame, retain: bool) -> None:  # noqa: ARG002
        self._take(now, frame.payload)

    def _on_fill(self, now: Now, topic: str, frame: Frame, retain: bool) -> None:  # noqa: ARG002
        fill = decode_fill(frame.payload)
        origin = self._take(now, unpack(Packed(fill.codec, fill.data)))
        self._puller.fill(now, origin, fill.want, last=fill.last)

    def _on_fill_part(self, now: Now, topic: str, frame: Frame, retain: bool) -> None:  # noqa: ARG002
        message = decode_fill_part(frame.payload)
        author = frame.author
        batch = self._assembler.add(author.origin, message.part) if author is not None else None
        if batch is not None:
            self._take(now, batch)
        self._puller.fill(now, OriginId(message.part.origin), message.want, last=message.last)

    def _on_segment(self, now: Now, topic: str, frame: Frame, retain: bool) -> None:  # noqa: ARG002
        author = frame.author
        if frame.kind is Kind.SEGMENT:
            self._take(now, frame.payload)
        elif author is not None:
            batch = self._assembler.add(author.origin, decode_part(frame.payload))
            if batch is not None:
                self._take(now, batch)
        self._puller.segment(now, topic)

    def _take(self, now: Now, data: bytes) -> OriginId:
        batch = decode_batch(data)
        taken = self._intake.offer(batch)
        self._counters[f"batches {taken.name.lower()}"] += 1
        origin = OriginId(batch.origin)
        if taken is Taken.STAGED:
            peer = self._peers.get(origin)
            if peer is not None:
                peer.heard_ms, peer.heard_mono_ms = now.wall_ms, now.mono_ms
        return origin

    def _on_want(self, now: Now, topic: str, frame: Frame, retain: bool) -> None:  # noqa: ARG002
        want, author = decode_want(frame.payload), frame.author
        if author is None or self._own(author):
            return
        if want.to in {state.id for state in self._knowledge.own_origins()}:
            self._server.asked(author.origin, want, self._knowledge)
        else:
            self._puller.others_want(now, want)

    def _on_ask(self, now: Now, topic: str, frame: Frame, retain: bool) -> None:  # noqa: ARG002
        ask = decode_ask(frame.payload)
        own = self._signer_origin()
        if frame.author is None or self._own(frame.author) or ask.to not in (None, own):
            return
        if ask.what == ASK_VECTOR and self._fence.open:
            self._vector.hurry(now)
        elif ask.what == ASK_OFF:
            self.off_requested = True

    def _on_fence(self, now: Now, topic: str, frame: Frame, retain: bool) -> None:  # noqa: ARG002
        self._fence.echoed(now, frame.payload)

    # --- deciding -------------------------------------------------------------------------------------------

    def _opened(self, now: Now) -> None:
        """The fence has passed: the broker's heads are read, own slots may be written."""
        self._heads_read = True
        self._outbox.trace("fence passed")
        signer = self._signer()
        if signer is not None and not self._reopening:
            self._announce(now, signer)

    def _announce(self, now: Now, signer: Signer) -> None:
        self._tidy()
        self._presence.say(now, signer, online=True)
        self._head.opened(now)
        self._vector.opened(now)
        self._mailbox.opened(now)
        self._live.opened(self._knowledge)

    def _tidy(self) -> None:
        """Clear what earlier incarnations of ours have left behind, except heads and mailboxes: those may still be needed."""
        own = self._knowledge.own
        for peer in self._peers:
            earlier = own is not None and peer.author.key == own.key and peer.generation < own.generation
            if not earlier or not (peer.presence or peer.standing or peer.pages):
                continue
            names = [self._topics.presence(peer.origin), self._topics.standing(peer.origin)]
            for name in [*names, *(self._topics.vector(peer.origin, page) for page in peer.pages)]:
                self._outbox.publish(name, b"", retain=True)
            peer.presence = peer.standing = None
            peer.pages.clear()
            peer.acks.clear()

    def _write_slots(self, now: Now, signer: Signer) -> None:
        knowledge, listeners = self._knowledge, self._listeners(now)
        self._live.moved(now, knowledge, self._room, listeners=listeners)
        self._slots.tick(now)
        self._head.tick(now)
        self._vector.tick(now, signer, knowledge, len(knowledge.active(now)) + 1)
        missing = list(knowledge.wanted()) if self._closing else self._puller.stuck(now)
        self._standing.tick(now, signer, knowledge, missing)
        urgent = self._closing or self._flusher.urgent(now, listeners=listeners)
        self._mailbox.tick(now, knowledge, signer, self._room, urgent=urgent)
        if self._greeting_due:
            self._greeting_due = False
            self._presence.say(now, signer, online=False)

    def _new_origin(self, now: Now) -> None:
        """We write another origin from now on: its slots are new ones."""
        for topic in self._slots.topics():
            if self._topics.parse(topic)[0] in ("p", "s", "v"):
                self._outbox.publish(topic, b"", retain=True)
        self._slots.forget()
        self._mailbox.new_origin()
        self._presence.new_session()
        self._outbox.trace("new incarnation", origin=(self._signer_origin() or b"").hex())
        signer = self._signer()
        self._reopening = False
        if signer is not None and self._fence.open:
            self._announce(now, signer)

    def _reopen(self, reason: str) -> None:
        if not self._reopening:
            self._reopening = True
            self._outbox.trace("opening an incarnation", reason=reason)
            self._outbox.emit(OpenIncarnation(reason))

    # --- small things ---------------------------------------------------------------------------------------

    def _step(self, now: Now) -> None:
        self._now, self._dirty = now, True

    def _signer(self) -> Signer | None:
        own = self._knowledge.own
        return None if own is None else Signer(self._device, own.incarnation, own.id)

    def _signer_origin(self) -> OriginId | None:
        return None if self._knowledge.own is None else self._knowledge.own.id

    def _own(self, author: Author | None) -> bool:
        return author is not None and author.origin == self._signer_origin()

    def _name(self) -> str:
        device = device_id(self._device.public)
        return self._knowledge.members.names.get(device) or name_of(device)

    def _online(self, origin: OriginId) -> bool:
        peer = self._peers.get(origin)
        return peer is not None and peer.online(self._now, self._settings.online_ms)

    def _listeners(self, now: Now) -> bool:
        current = self._peers.current(self._knowledge.own)
        return any(peer.online(now, self._settings.online_ms) for peer in current)

    def _room_of(self, packet_bytes_max: int | None) -> int:
        size = self._settings.message_bytes_max
        if packet_bytes_max is not None:
            size = min(size, packet_bytes_max - _PACKET_BYTES)
        return size - OVERHEAD_BYTES - 2 - AUTHOR_BYTES
