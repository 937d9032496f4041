"""Devices over memory, peers that speak through sealed frames, and the parts of a machine, for tests of the core."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hcom_replica.core.append import Writer
from hcom_replica.core.effects import Effect, Now, Publish, Subscribe, Trace, Unsubscribe
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.origin import OriginState
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.ownslots import OwnSlots
from hcom_replica.core.packer import as_batch
from hcom_replica.core.peers import Peers
from hcom_replica.core.settings import Settings
from hcom_replica.core.verify import Run, verify_batch
from hcom_replica.ids import OriginId
from hcom_replica.store.log import Log
from hcom_replica.store.memory_kv import MemoryKv
from hcom_replica.wire.batch import Batch, decode_batch
from hcom_replica.wire.codec import encode
from hcom_replica.wire.event import Draft
from hcom_replica.wire.frame import Author, Kind, Packed, Signer, close_frame, open_frame, pack
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.messages import Ack, Head, Payload, VectorPage, pack_entries
from hcom_replica.wire.signing import DeviceKey
from hcom_replica.wire.topics import Topics

KEYS = GroupKeys(bytes(range(16)), bytes(range(32)))
TOPICS = Topics(KEYS)
WALL = 1_800_000_000_000
ROOM = 60 * 1024 - 41 - 110
"""Packed payload bytes in a message of 60 KiB: less the envelope, and the frame's kind, codec and author."""


LMDB_KEY_BYTES = 511


class MemoryRows(dict[bytes, bytes]):
    """Rows of views in a dict, which takes the keys that a table takes."""

    def put(self, key: bytes, value: bytes) -> None:
        """See `core.crdt.rows.Rows`."""
        assert len(key) <= LMDB_KEY_BYTES
        self[key] = value

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See Rows."""
        yield from sorted((key, value) for key, value in self.items() if key.startswith(prefix))


def at(mono_ms: int) -> Now:
    """A time of both clocks, so many ms after the test began."""
    return Now(WALL + mono_ms, mono_ms)


def draft(body: bytes = b'"x"', kind: str = "note") -> Draft:
    """A plain event."""
    return Draft(kind, "luna", None, body)


def noise(count: int, size: int, seed: int = 1) -> list[Draft]:
    """Events whose bodies do not compress."""
    rng = random.Random(seed)
    return [draft(rng.randbytes(size)) for _ in range(count)]


class Device:
    """A device with a log in memory, and all that it can say to others."""

    def __init__(self, name: str, kv: MemoryKv | None = None, *, draw: int = 0) -> None:
        self.name = name
        self.kv = kv or MemoryKv()
        self.key = DeviceKey(name.encode().ljust(32, b"."))
        rng = random.Random(f"{name}{draw}")
        self.rng = rng
        self.log = Log(self.kv, KEYS.group, Writer(self.key, KEYS.group, name), entropy=rng.randbytes)
        self._counter = 0

    def clone(self, draw: int = 1) -> Device:
        """The same device from a copy of its disk."""
        return Device(self.name, self.kv.clone(), draw=draw)

    def append(self, *drafts: Draft, now_ms: int = WALL) -> None:
        """Append events, one for each draft; one plain one for none."""
        self.log.append(drafts or (draft(),), now_ms)

    @property
    def own(self) -> OriginState:
        """The current origin."""
        own = self.log.own_origin()
        assert own is not None
        return own

    @property
    def author(self) -> Author:
        """As others see it."""
        own = self.own
        return Author(own.key, own.incarnation, own.id)

    @property
    def signer(self) -> Signer:
        """Of its current origin."""
        own = self.own
        return Signer(self.key, own.incarnation, own.id)

    def counter(self, boot: int = 1) -> int:
        """The next slot counter."""
        self._counter += 1
        return boot << 32 | self._counter

    def batch(self, origin: OriginId | None = None, first: int = 1, raw_bytes: int = 1 << 22) -> Batch:
        """What it would send of an origin from `first` on."""
        return decode_batch(self.batch_bytes(origin, first, raw_bytes))

    def batch_bytes(self, origin: OriginId | None = None, first: int = 1, raw_bytes: int = 1 << 22) -> bytes:
        """The same, encoded."""
        state = self.own if origin is None else self.log.origin_state(origin)
        assert state is not None
        run = self.log.read_run(state.id, first, raw_bytes)
        assert run is not None
        return as_batch(state, run)

    def run(self, origin: OriginId | None = None, first: int = 1) -> Run:
        """The same, verified."""
        return verify_batch(KEYS.group, self.batch(origin, first), self.own if origin is None else None)

    def send_to(self, other: Device, now_ms: int = WALL) -> None:
        """Give all of every origin to another device."""
        for state in self.log.origins():
            known = other.log.origin_state(state.id)
            run = verify_batch(KEYS.group, self.batch(state.id, state.base + 1), known)
            other.log.ingest([run], now_ms)

    def head(self, *, wall_ms: int = WALL, promise: int = 0) -> Head:
        """Its head as it is now."""
        own = self.own
        commit = self.log.commit_at_or_below(own.id, own.seq)
        assert commit is not None
        return Head(
            self.counter(), wall_ms, self.name, commit.seq, commit.hlc, commit.tip, commit.signature, commit.cum,
            own.system, promise,
        )  # fmt: skip

    def vector(self, *, durable: bool = True, entries: dict[OriginId, Ack] | None = None) -> VectorPage:
        """What it holds, or what it is to claim."""
        held = {state.id: Ack(state.seq, state.tip[:8]) for state in self.log.origins()}
        return VectorPage(
            self.counter(), WALL, 1, durable, pack_entries((held if entries is None else entries).items())
        )

    def sealed(self, kind: Kind, topic: str, payload: bytes) -> bytes:
        """A message of it, ready for the broker."""
        signer = None if kind in (Kind.LIVE, Kind.FENCE) else self.signer
        return close_frame(KEYS, topic, kind, signer, pack(payload), self.rng.randbytes(24))

    def say(self, kind: Kind, message: Payload, page: int = 0) -> tuple[str, bytes]:
        """Topic and payload of a slot message of it."""
        topic = {
            Kind.HEAD: TOPICS.head(self.own.id),
            Kind.VECTOR: TOPICS.vector(self.own.id, page),
            Kind.INDEX: TOPICS.index(self.own.id),
            Kind.STANDING: TOPICS.standing(self.own.id),
            Kind.PRESENCE: TOPICS.presence(self.own.id),
            Kind.WANT: TOPICS.want,
            Kind.ASK: TOPICS.ask,
        }[kind]
        return topic, self.sealed(kind, topic, encode(message))


@dataclass
class Parts:
    """What the parts of a machine of one device share, with the effects they have asked for."""

    device: Device
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self.outbox = Outbox(KEYS, random.Random(7), 1)
        self.slots = OwnSlots(self.outbox, self.settings)
        self.peers = Peers(KEYS.group)
        self.knowledge = Knowledge(self.device.log, self.peers, self.settings.lease_ms)

    def hear(self, peer: Device, kind: Kind, message: Payload, *, page: int = 0, now: Now | None = None) -> bool:
        """Take a slot message of a peer, live when a time is given."""
        return self.peers.accept(
            kind, peer.author, page, encode(message), live=now is not None, now=now if now is not None else at(0)
        )

    def effects(self) -> list[Effect]:
        """What was asked for since the last call, traces left out."""
        return [effect for effect in self.outbox.take() if not isinstance(effect, Trace)]

    def published(self) -> list[Publish]:
        """The publishes since the last call."""
        return [effect for effect in self.effects() if isinstance(effect, Publish)]

    def answer_all(self, *, taken: bool = True) -> list[Publish]:
        """Let the broker answer publishes until there are no more of them; return them all in order."""
        seen: list[Publish] = []
        while new := self.published():
            seen += new
            for publish in new:
                self.outbox.answered(publish.token, taken=taken)
        return seen


def opened(publish: Publish) -> tuple[Kind, bytes]:
    """Kind and payload of what was published."""
    frame = open_frame(KEYS, publish.topic, publish.payload)
    return frame.kind, frame.payload


def subscribed(effects: Sequence[Effect]) -> set[str]:
    """Filters that are subscribed to after these effects."""
    filters: set[str] = set()
    for effect in effects:
        if isinstance(effect, Subscribe):
            filters.update(effect.filters)
        elif isinstance(effect, Unsubscribe):
            filters.difference_update(effect.filters)
    return filters


def raw(data: bytes) -> Packed:
    """A payload as it is."""
    return Packed(0, data)


def forked_short() -> tuple[Device, Device]:
    """A device, and a clone of it whose branch is the shorter one and keeps the name of both."""
    for draw in range(1, 100):
        boxe = Device("BOXE")
        boxe.append()
        twin = boxe.clone(draw)
        boxe.append(*[draft(b"here %d" % draw)] * 9)
        twin.append(draft(b"there"))
        if twin.log.tip_at(twin.own.id, twin.own.seq) < boxe.log.tip_at(boxe.own.id, twin.own.seq):
            return boxe, twin
    raise AssertionError("no clone won")
