"""Everything one replica machine is made of, in one place: shared by the machine and its inbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from hcom_replica.core.announce import HeadSlot, PresenceSlot
from hcom_replica.core.comparing import Comparer
from hcom_replica.core.disputes import Disputes
from hcom_replica.core.earlier import EarlierEpochs
from hcom_replica.core.effects import Now, OpenIncarnation
from hcom_replica.core.fence import Fence
from hcom_replica.core.flush import Flusher
from hcom_replica.core.hunts import Hunts
from hcom_replica.core.intake import Intake
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.lacks import Lacks
from hcom_replica.core.live import Live
from hcom_replica.core.mailbox import Mailbox
from hcom_replica.core.membership import Viewer
from hcom_replica.core.moving import Moving
from hcom_replica.core.nudge import Nudge
from hcom_replica.core.outbox import Outbox, Random
from hcom_replica.core.ownslots import OwnSlots
from hcom_replica.core.parts import Assembler
from hcom_replica.core.peers import Note, Peers
from hcom_replica.core.pull import Puller
from hcom_replica.core.reader import LogReader
from hcom_replica.core.rekey import Rekey
from hcom_replica.core.reread import Reread
from hcom_replica.core.serve import Server
from hcom_replica.core.settings import Settings
from hcom_replica.core.standing import StandingSlot
from hcom_replica.core.usher import Usher
from hcom_replica.core.vectors import VectorSlots
from hcom_replica.ids import OriginId
from hcom_replica.wire.frame import AUTHOR_BYTES, Author, Signer
from hcom_replica.wire.names import name_of
from hcom_replica.wire.seal import OVERHEAD_BYTES
from hcom_replica.wire.signing import device_id
from hcom_replica.wire.topics import Topics

_PACKET_BYTES: Final = 256
"""Room for the topic and the properties of an MQTT packet."""

_ROOM_BYTES_MIN: Final = 512
"""A broker that takes less takes no head either; parts are cut as if it took this much."""


class Context:
    """The parts of one machine, and the few facts that several of them need.

    Args:
        viewer: the device's key, and the group as its token told of it; without a founder it has one epoch only.
        log: reads of its log; writes leave as effects.
        settings: see there.
        rng: randomness; seeded in simulations.
        boot: number of this start, raised durably before (P6.2).
        notes: what table `peers` holds.
        topic_path: see wire.topics.

    Attributes:
        room: packed payload bytes that fit a message on this connection.
        reopening: an incarnation was asked for and is not open yet: nothing of the own log is published meanwhile.
    """

    def __init__(
        self,
        viewer: Viewer,
        log: LogReader,
        settings: Settings,
        rng: Random,
        boot: int,
        notes: Iterable[Note] = (),
        topic_path: str = "",
    ) -> None:
        self.device, keys = viewer.device, viewer.joined
        self.settings = settings
        self.topics = topics = Topics(keys, topic_path)
        self.outbox = outbox = Outbox(keys, rng, boot)
        self.peers = Peers(keys.group, notes)
        self.knowledge = Knowledge(log, self.peers, settings.lease_ms, viewer if any(viewer.founder) else None)
        self.rekey = Rekey(outbox, settings, self.knowledge)
        self.usher = Usher(outbox, settings, self.knowledge, self.rekey)
        self.disputes = Disputes(self.knowledge)
        self.slots = slots = OwnSlots(outbox, settings)
        self.fence = Fence(outbox, topics, settings)
        self.head = HeadSlot(outbox, slots, topics, settings)
        self.vector = VectorSlots(outbox, slots, topics, settings)
        self.presence = PresenceSlot(outbox, slots, topics)
        self.standing = StandingSlot(outbox, slots, topics)
        self.live = Live(outbox, topics, settings)
        self.intake = Intake(outbox, self.knowledge)
        self.assembler = Assembler()
        self.hunts = Hunts()
        self.lacks = Lacks(outbox, settings, self.intake, self.hunts)
        self.puller = Puller(outbox, topics, settings, self.intake, self.hunts, self.lacks)
        self.server = Server(outbox, topics, settings)
        self.mailbox = Mailbox(outbox, slots, topics, settings)
        self.nudge = Nudge(outbox, topics, settings)
        self.reread = Reread(outbox, topics, settings)
        self.comparer = Comparer(outbox, topics, self.knowledge, self.hunts)
        self.flusher = Flusher(outbox, topics, settings, self.mailbox)
        self.earlier = EarlierEpochs(outbox, slots, topics, settings, self.mailbox)
        self.moving = Moving(outbox, slots, topics, settings, self.knowledge, self.presence)
        self.counters: Counter[str] = Counter()
        self.room = self._room(None)
        self.reopening = False
        self.turn_epoch()

    def signer(self) -> Signer | None:
        """The incarnation that this device writes as; None before the first append."""
        own = self.knowledge.own
        return None if own is None else Signer(self.device, own.incarnation, own.id)

    def own_id(self) -> OriginId | None:
        """The origin that this device writes; None before the first append."""
        return self.knowledge.own_id

    def is_own(self, author: Author | None) -> bool:
        """Whether an author is this very incarnation."""
        return author is not None and author.origin == self.knowledge.own_id

    def name(self) -> str:
        """The name that this device claims."""
        device = device_id(self.device.public)
        return self.knowledge.members.names.get(device) or name_of(device)

    def turn_epoch(self, now: Now | None = None) -> bool:
        """Speak under the epoch that the log says is adopted, and listen to those known besides; False: as before."""
        membership = self.knowledge.membership
        if membership is None:
            return False
        earlier = membership.earlier()
        before = (self.topics.keys, [topics.keys for topics in self.topics.earlier.values()])
        if before == (membership.adopted, earlier):
            return False
        if membership.adopted != self.topics.keys:
            self.mailbox.new_origin()  # the ring of this epoch is another one
            self.peers.forget_left()
            self.slots.forget()
            if now is not None:
                self.earlier.turned(now)
        self.topics.rekey(membership.adopted, earlier)
        self.outbox.keys = membership.adopted
        return True

    def listeners(self, now: Now) -> bool:
        """Whether any other device seems online."""
        current = self.peers.current(self.knowledge.own)
        return any(peer.online(now, self.settings.online_ms) for peer in current)

    def dispute(self, now: Now, claims: list[tuple[OriginId, int]]) -> None:
        """Look into claims that contradict what is held (P4.9)."""
        for origin, seq in claims:
            self.outbox.trace("disputed", origin=origin.hex(), seq=seq)
            self.puller.misfit(now, self.knowledge, origin, seq)

    def reopen(self, reason: str) -> None:
        """Ask for a new incarnation, once."""
        if not self.reopening:
            self.reopening = True
            self.outbox.trace("opening an incarnation", reason=reason)
            self.outbox.emit(OpenIncarnation(reason))

    def link_up(self, packet_bytes_max: int | None) -> None:
        """A new connection takes packets of so many bytes."""
        self.room = self._room(packet_bytes_max)

    def _room(self, packet_bytes_max: int | None) -> int:
        size = self.settings.message_bytes_max
        if packet_bytes_max is not None:
            size = min(size, packet_bytes_max - _PACKET_BYTES)
        return max(size - OVERHEAD_BYTES - 2 - AUTHOR_BYTES, _ROOM_BYTES_MIN)
