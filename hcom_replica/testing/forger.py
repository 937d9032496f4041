"""A member with the group's key and no scruples, and the topics that outsiders on a public broker can write to.

Owns a device key of its own. What it makes is well sealed and well signed, by itself: exactly what a device must not
believe of others.
"""

from __future__ import annotations

from typing import Final

from hcom_replica.core.append import Writer, WriterState, append
from hcom_replica.core.origin import OriginState
from hcom_replica.errors import UsageError
from hcom_replica.ids import OriginId
from hcom_replica.store.log import Log
from hcom_replica.testing.device import EPOCH_MS
from hcom_replica.testing.script import Words, parse_point
from hcom_replica.testing.stage import Stage
from hcom_replica.wire.batch import Batch, Commit, Descriptor, ForkPoint, encode_batch
from hcom_replica.wire.codec import encode
from hcom_replica.wire.event import Draft, decode_event
from hcom_replica.wire.frame import Author, Kind, Packed, Signer, close_frame, pack
from hcom_replica.wire.messages import (
    WINDOW_BYTES_MAX,
    Ack,
    Head,
    Index,
    Payload,
    Presence,
    Segment,
    Standing,
    VectorPage,
    Want,
    WantItem,
    pack_entries,
)
from hcom_replica.wire.redaction import REDACT, Redaction, redacted, sign_redaction, statement
from hcom_replica.wire.seal import NONCE_BYTES
from hcom_replica.wire.signing import COMMIT, DeviceKey, commit_digest, fork_hash, root_hash, short
from hcom_replica.wire.topics import Topics

_RUN_BYTES: Final = 1 << 20
_COUNTER: Final = 1 << 62
"""Far above any honest counter."""


class Forger:
    """The cheat.

    Args:
        stage: the world.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._topics = Topics(stage.world.keys)
        self._key = DeviceKey(b"a member without any scruples...")
        incarnation = (1).to_bytes(4, "big") + b"cheating"
        self._root = root_hash(stage.world.keys.group, self._key.public, incarnation)
        self._signer = Signer(self._key, incarnation, short(self._root))
        self._counter = _COUNTER

    @property
    def key(self) -> bytes:
        """Its public key."""
        return self._key.public

    def topic(self, places: list[str]) -> str:
        """The topic that `head A`, `segment A 3` or `live` stands for.

        Raises:
            UsageError: nothing of the kind.
        """
        what, topics = places[0], self._topics
        if what in ("live", "want", "ask"):
            return str(getattr(topics, what))
        origin = self._stage.names.origin(places[1])
        if what in ("segment", "vector"):
            number = int(places[2]) if len(places) > 2 else 0
            return topics.segment(origin, number) if what == "segment" else topics.vector(origin, number)
        if what not in ("head", "index", "standing", "presence"):
            raise UsageError(f"not a topic: {what}")
        return str(getattr(topics, what)(origin))

    def act(self, words: Words) -> None:
        """Cheat as a scenario's line says.

        Raises:
            UsageError: it does not know how.
        """
        verb, options = words.place(0), words.options
        if verb in ("claims", "announces", "redacts", "blanks"):
            self._speak_of(verb, *parse_point(words.place(1)), options)
        elif verb == "poisons":
            self._poison(words.place(1), int(options["from"]))
        elif verb == "splits":
            self._split(words.place(1), int(options["at"]))
        elif verb == "says":
            self._say(words.place(1), self._stage.names.origin(words.place(2)), int(words.place(3)))
        else:
            raise UsageError(f"a member cannot {verb}")

    def _speak_of(self, verb: str, name: str, seq: int, options: dict[str, str]) -> None:
        """Lie about one event of somebody."""
        if verb == "announces":
            self._announce(name, seq)
        elif verb == "redacts":
            self._redact(name, seq)
        elif verb == "blanks":
            self._blank(name, seq)
        elif "as" in options:
            self._claim_as(name, seq, options["as"])
        else:
            self._claim(name, seq, in_slot_of=options.get("in"))

    def _say(self, kind: str, origin: OriginId, seq: int) -> None:
        """Say in its own name what is well formed and untrue.

        Args:
            kind: a kind of message that a member has a right to send: `head`, `index`, `standing`, `presence`, `want`.
            origin: of whom it speaks.
            seq: how far.
        """
        counter, wall_ms, own = self._next(), self._now_ms(), self._signer.origin
        item = WantItem(origin, max(1, seq), 0)
        said: dict[str, Payload] = {
            "head": self._head(seq),
            "index": Index(counter, wall_ms, 32, [Segment(3, origin, 1, seq, bytes(8), 0, 1, 99)]),
            "standing": Standing(counter, wall_ms, [item]),
            "presence": Presence(counter, wall_ms, online=seq > 0),
            "want": Want(counter, origin, WINDOW_BYTES_MAX, [item]),
        }
        if kind not in said:
            raise UsageError(f"a member does not say: {kind}")
        topic = self._topics.want if kind == "want" else str(getattr(self._topics, kind)(own))
        self._publish(topic, Kind[kind.upper()], pack(encode(said[kind])), retain=kind != "want")

    def _claim(self, name: str, seq: int, *, in_slot_of: str | None) -> None:
        """Say in a vector that its author holds an origin up to `seq`, with 8 bytes that are made up."""
        entries = pack_entries([(self._stage.names.origin(name), Ack(seq, b"made up!"))])
        page = VectorPage(self._next(), self._now_ms(), 1, True, entries)  # noqa: FBT003 - a field of the format
        slot = self._signer.origin if in_slot_of is None else self._stage.names.origin(in_slot_of)
        self._publish(self._topics.vector(slot, 0), Kind.VECTOR, pack(encode(page)), retain=True)

    def _claim_as(self, name: str, seq: int, victim: str) -> None:
        """Say truly what stands at `seq`, in the name of a device that lacks it: only the signature is wrong."""
        origin, author = self._stage.names.origin(name), self._stage.names.origin(victim)
        logs = [device.log for device in self._stage.devices.values()]
        log = max(logs, key=lambda log: _held(log, origin))
        state = max(logs, key=lambda log: _held(log, author)).origin_state(author)
        if state is None:
            raise UsageError(f"nobody holds anything of {victim}")
        mask = DeviceKey(b"a member without any scruples...")
        mask.public = state.key
        entries = pack_entries([(origin, Ack(seq, log.tip_at(origin, seq)[:8]))])
        page = VectorPage(self._next(), self._now_ms(), 1, True, entries)  # noqa: FBT003 - a field of the format
        signer = Signer(mask, state.incarnation, author)
        self._publish(self._topics.vector(author, 0), Kind.VECTOR, pack(encode(page)), retain=True, signer=signer)

    def _announce(self, name: str, seq: int) -> None:
        """Say in somebody's head slot that its origin has come to `seq`."""
        origin = self._stage.names.origin(name)
        self._publish(self._topics.head(origin), Kind.HEAD, pack(encode(self._head(seq))), retain=True)

    def _head(self, seq: int) -> Head:
        """Its own, of events that it has never written."""
        tip, hlc = b"t" * 32, self._now_ms() << 16
        signature = self._key.sign(COMMIT, commit_digest(self._root, seq, hlc, seq, tip))
        return Head(self._next(), self._now_ms(), "LIAR", seq, hlc, tip, signature, seq, min(1, seq), hlc)

    def _poison(self, name: str, first: int) -> None:
        """Send a run of somebody's events, with one byte of one event changed."""
        batch = self._run(self._stage.names.origin(name), first)
        record = batch.records[-1]
        forged = [*batch.records[:-1], record[:-1] + bytes([record[-1] ^ 1])]
        data = encode_batch(Batch(batch.origin, batch.first, batch.prev, batch.cum, forged, batch.commits, None))
        self._publish(self._topics.live, Kind.LIVE, pack(data), retain=False)

    def _split(self, name: str, at: int) -> None:
        """Send true events of an origin under the name of a branch that does not exist."""
        origin = self._stage.names.origin(name)
        holder = next(device for device in self._stage.devices.values() if device.log.origin_state(origin))
        state = holder.log.origin_state(origin)
        run = self._run(origin, at)
        if state is None or run.first > at:
            raise UsageError("nobody holds that")
        link = holder.log.tip_at(origin, run.first)
        descriptor = Descriptor(state.key, state.incarnation, (ForkPoint(run.first - 1, link),))
        branch = short(fork_hash(state.hash, link))
        data = encode_batch(Batch(branch, run.first, run.prev, run.cum, run.records, run.commits, descriptor))
        self._publish(self._topics.live, Kind.LIVE, pack(data), retain=False)

    def _redact(self, name: str, seq: int) -> None:
        """Say in a log of its own that somebody's event is to lose its body."""
        state, redaction = self._forged_redaction(name, seq)
        said = Draft(REDACT, None, None, statement(redaction, state.key, state.incarnation))
        writer = Writer(self._key, self._stage.world.keys.group, "LIAR")
        made = append(writer, WriterState(None, 0), [said], self._now_ms(), self._signer.incarnation[4:])
        commits = [Commit(row.seq, row.signature) for row in made.commits]
        batch = Batch(made.origin.id, 1, self._root, 0, made.records, commits, made.origin.descriptor)
        self._publish(self._topics.live, Kind.LIVE, pack(encode_batch(batch)), retain=False)

    def _blank(self, name: str, seq: int) -> None:
        """Send a run of somebody's events, one of them without its body."""
        batch = self._run(self._stage.names.origin(name), seq)
        at = seq - batch.first
        record = batch.records[at]
        batch.records[at] = redacted(record, decode_event(record), self._forged_redaction(name, seq)[1])
        self._publish(self._topics.live, Kind.LIVE, pack(encode_batch(batch)), retain=False)

    def _forged_redaction(self, name: str, seq: int) -> tuple[OriginState, Redaction]:
        origin = self._stage.names.origin(name)
        log = next(d.log for d in self._stage.devices.values() if d.log.origin_state(origin))
        state = log.origin_state(origin)
        if state is None:
            raise UsageError("nobody holds that")
        root = state.root(self._stage.world.keys.group)
        return state, sign_redaction(self._key, root, seq, log.tip_at(origin, seq))

    def _run(self, origin: OriginId, first: int) -> Batch:
        for device in self._stage.devices.values():
            run = device.log.read_run(origin, first, _RUN_BYTES)
            if run is not None:
                commits = [Commit(row.seq, row.signature) for row in run.commits]
                return Batch(origin, run.first, run.prev, run.cum, run.records, commits, None)
        raise UsageError("nobody holds that")

    def _publish(self, topic: str, kind: Kind, packed: Packed, *, retain: bool, signer: Signer | None = None) -> None:
        signer = None if kind is Kind.LIVE else signer or self._signer
        if signer is self._signer:  # a member like others: mail is kept for it
            self._stage.tap.passing[signer.origin] = Author(signer.device.public, signer.incarnation, signer.origin)
        nonce = self._stage.scheduler.random.randbytes(NONCE_BYTES)
        payload = close_frame(self._stage.world.keys, topic, kind, signer, packed, nonce)
        self._stage.broker.inject(topic, payload, retain=retain)

    def _next(self) -> int:
        self._counter += 1
        return self._counter

    def _now_ms(self) -> int:
        return EPOCH_MS + self._stage.now_ms


def _held(log: Log, origin: OriginId) -> int:
    state = log.origin_state(origin)
    return state.seq if state is not None else 0
