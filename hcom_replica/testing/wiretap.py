"""Invariants of what a device says: looked at when a message is handed to the link, against the disk as it is then.

Owns nothing but what it needs to judge the next message of the same device, and the places where it listens: a broker
and devices that tell it. It opens frames with the group's key and believes none of the machine's own opinions: neither
that a fence has passed nor that an index was taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hcom_replica.core.effects import Effect, Publish
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.testing.broker import SimBroker
from hcom_replica.testing.brokerconfig import BrokerConfig
from hcom_replica.testing.checkers import Checkers, Violation
from hcom_replica.testing.device import Device
from hcom_replica.testing.faults import Faults
from hcom_replica.testing.faults import Kind as FaultKind
from hcom_replica.testing.scheduler import Scheduler
from hcom_replica.testing.session import Session
from hcom_replica.wire.frame import Author, Kind, open_frame
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.messages import Ack, Segment, decode_head, decode_index, decode_vector, unpack_entries
from hcom_replica.wire.signing import hash32
from hcom_replica.wire.topics import Topics

_OWN_SLOTS: Final = frozenset("hvispmr")
_PASSING: Final = frozenset("wab")
"""Wants, asks and fills: signed, and not retained."""


@dataclass(slots=True)
class _Voice:
    """What one connection of a device has said.

    Attributes:
        fence: topic of its fence; empty before it was sent.
        index: its newest index: segments by slot; None before one was written.
        index_payload: as published.
        acks: vector page -> entries said last.
        lost: publishes of this device that faults had lost or spoilt when the connection began.
    """

    boot: object
    fence: str = ""
    index: dict[int, Segment] | None = None
    index_payload: bytes = b""
    acks: dict[tuple[OriginId, int], dict[OriginId, Ack]] = field(default_factory=dict)
    lost: int = 0


class Wiretap:
    """Listens to what devices publish.

    Args:
        keys: the group's.
        checkers: knows the disks.
        faults: tells what was lost on the way.

    Attributes:
        passing: whose messages to all, which no slot keeps, the broker was given.
    """

    def __init__(self, keys: GroupKeys, checkers: Checkers, faults: Faults) -> None:
        self._topics = Topics(keys)
        self._later: dict[str, Topics] = {}
        self._checkers = checkers
        self._faults = faults
        self._voices: dict[str, _Voice] = {}
        self._vectors: dict[OriginId, dict[OriginId, Ack]] = {}
        self._echoed: set[str] = set()
        self._arrived: set[bytes] = set()
        self.passing: dict[OriginId, Author] = {}

    # --- at the broker -----------------------------------------------------------------------------------------

    def arrived(self, topic: str, payload: bytes) -> None:
        """The broker was given a message."""
        group, _ = self._of(topic).parse(topic)
        if group == "f":
            self._echoed.add(topic)
        elif group == "i":
            self._arrived.add(hash32(payload))
        elif group in _PASSING:
            self._note_author(topic, payload)

    def _note_author(self, topic: str, payload: bytes) -> None:
        try:
            author = open_frame(self._of(topic).keys, topic, payload).author
        except ProtocolError:  # spoilt on the way
            return
        if author is not None:
            self.passing[author.origin] = author

    # --- at the device -----------------------------------------------------------------------------------------

    def said(self, device: Device, link: object, effect: Publish) -> None:
        """A device is about to hand a message to its link.

        Raises:
            Violation: S4, S6, S8, P6.3 or P8.1.
        """
        self._learn(device)
        group, leaves = self._of(effect.topic).parse(effect.topic)
        voice = self._voices.get(device.name)
        if voice is None or voice.boot is not link:
            voice = self._voices[device.name] = _Voice(link, lost=self._lost(device))
        if group == "f":
            voice.fence = effect.topic
        elif group in _OWN_SLOTS and voice.fence not in self._echoed:
            raise Violation("S8", f"{device.name} writes slot {group} before its fence has been at the broker")
        if not effect.payload or group not in _OWN_SLOTS:
            return
        self._judge(device, voice, effect, group, leaves)

    def _learn(self, device: Device) -> None:
        """Learn of the epochs that a device speaks in."""
        for keys in device.machine.epochs:
            if keys.prefix != self._topics.prefix and keys.prefix not in self._later:
                self._later[keys.prefix] = Topics(keys)

    def _of(self, topic: str) -> Topics:
        return self._later.get(topic.split("/", 1)[0], self._topics)

    def _judge(self, device: Device, voice: _Voice, effect: Publish, group: str, leaves: list[str]) -> None:
        topics = self._of(effect.topic)
        frame = open_frame(topics.keys, effect.topic, effect.payload)
        if frame.author is None or leaves[0] != topics.leaf(frame.author.origin):
            raise Violation("P6.1", f"{device.name} writes a slot that is not its own")
        if frame.kind is Kind.HEAD:
            self._judge_head(device, frame.author.origin, frame.payload)
        elif frame.kind is Kind.VECTOR:
            self._judge_vector(device, voice, frame.author.origin, int(leaves[1]), frame.payload)
        elif frame.kind is Kind.INDEX:
            index = decode_index(frame.payload)
            voice.index = {segment.slot: segment for segment in index.segments}
            voice.index_payload = effect.payload
            if any(slot >= device.settings.mailbox_slots for slot in voice.index):
                raise Violation("P8.1", f"{device.name} has more slots than its ring")
        elif group == "m":
            self._judge_segment(device, voice, int(leaves[1]), effect.payload)

    def _judge_head(self, device: Device, author: OriginId, payload: bytes) -> None:
        head = decode_head(payload)
        state = device.log.origin_state(author)
        if state is None or state.seq < head.seq or device.log.tip_at(author, head.seq) != head.tip:
            raise Violation("P6.3", f"{device.name} announces {head.seq}, which its disk does not hold")
        if device.log.high_water() < head.promise:
            raise Violation("P6.3", f"{device.name} makes a promise that is not durable")
        self._checkers.promised(author, head.seq, head.promise)

    def _judge_vector(self, device: Device, voice: _Voice, author: OriginId, page: int, payload: bytes) -> None:
        entries = unpack_entries(decode_vector(payload).entries)
        before = voice.acks.get((author, page), {})
        for origin, ack in entries.items():
            state = device.log.origin_state(origin)
            if state is None or state.seq < ack.seq or device.log.tip_at(origin, ack.seq)[:8] != ack.digest:
                raise Violation("S6", f"{device.name} acknowledges {origin.hex()}:{ack.seq}, which it does not hold")
            if ack.seq < before.get(origin, ack).seq and state.key not in self._checkers.twinned:
                raise Violation("S4", f"{device.name}: its vector steps back in {origin.hex()} to {ack.seq}")
        voice.acks[author, page] = entries

    def _judge_segment(self, device: Device, voice: _Voice, slot: int, payload: bytes) -> None:
        named = (voice.index or {}).get(slot)
        if named is None or named.digest != hash32(payload)[:8]:
            raise Violation("P8.1", f"{device.name} writes slot {slot}, of which its index says something else")
        if hash32(voice.index_payload) not in self._arrived and self._lost(device) == voice.lost:
            raise Violation("P8.1", f"{device.name} writes slot {slot} before the broker has its index")

    def _lost(self, device: Device) -> int:
        hits = self._faults.of(device.name).hits
        return hits[FaultKind.DROP_UP] + hits[FaultKind.CORRUPT]


class TappedBroker(SimBroker):
    """A broker that tells a wiretap what arrives, before it decides about it."""

    def __init__(self, scheduler: Scheduler, config: BrokerConfig | None = None) -> None:
        super().__init__(scheduler, config)
        self.tap: Wiretap | None = None

    def publish(self, session: Session, topic: str, payload: bytes, *, retain: bool, token: int) -> None:
        """See SimBroker."""
        if self.tap is not None:
            self.tap.arrived(topic, payload)
        super().publish(session, topic, payload, retain=retain, token=token)


class WatchedDevice(Device):
    """A device that tells a wiretap what it is about to say."""

    tap: Wiretap | None = None

    def before_effect(self, effect: Effect) -> None:
        """See Device."""
        super().before_effect(effect)
        process = self._process
        if self.tap is not None and isinstance(effect, Publish) and process is not None and process.engine.online:
            self.tap.said(self, process.link, effect)
