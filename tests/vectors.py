"""The test vectors of specs/vectors, made from fixed seeds: `python -m tests.vectors` compares, `--rewrite` writes.

A vector that changes means that devices or folders of the version before cannot be read any more: the README there
says so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from hcom_replica.core.append import Writer, WriterState, append
from hcom_replica.core.chain import walk
from hcom_replica.core.continuity import Home, Mark, Place
from hcom_replica.core.hello import Rename, system_draft
from hcom_replica.core.hlc import pack as pack_hlc
from hcom_replica.core.origin import CommitRow, OriginState, encode_state
from hcom_replica.ids import OriginId, order_key
from hcom_replica.limits import COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX
from hcom_replica.store.marker import STRIDE_BYTES, newest, pack_mark
from hcom_replica.store.schema import Stretch, pack_commit, pack_home, pack_peer, pack_stretch, seq_key, u64
from hcom_replica.wire.batch import Batch, Commit, Descriptor, ForkPoint, encode_batch
from hcom_replica.wire.bundle import HEAD_BYTES, BundleHead, Manifest, Sealer
from hcom_replica.wire.codec import encode
from hcom_replica.wire.epoch import EpochRecord, Notice, certify, encode_notice, make_record
from hcom_replica.wire.event import Draft, Event, decode_event, encode_event
from hcom_replica.wire.frame import Kind, Packed, Signer, close_frame
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.messages import (
    Ack,
    Ask,
    Fill,
    FillPart,
    Gone,
    Head,
    Index,
    Part,
    Presence,
    Rekey,
    Segment,
    Standing,
    VectorPage,
    Want,
    WantItem,
    pack_entries,
)
from hcom_replica.wire.names import name_of, suffix_of
from hcom_replica.wire.redaction import Redaction, redacted, sign_redaction, statement
from hcom_replica.wire.seal import seal
from hcom_replica.wire.signing import (
    COMMIT,
    MESSAGE,
    DeviceKey,
    commit_digest,
    device_id,
    hash32,
    message_digest,
    origin_hash,
    short,
)
from hcom_replica.wire.token import JoinToken
from hcom_replica.wire.topics import Topics

FOLDER: Final = Path(__file__).parents[1] / "specs" / "vectors"
Json = dict[str, Any]

KEYS: Final = GroupKeys(bytes(range(16)), bytes(range(32)))
SECOND_EPOCH: Final = GroupKeys(bytes(range(16)), bytes(range(32, 64)), 2)
TOPICS: Final = Topics(KEYS)
SEEDS: Final = (bytes(range(100, 132)), bytes(range(200, 232)))
DEVICE: Final = DeviceKey(SEEDS[0])
STRANGER: Final = DeviceKey(SEEDS[1])
NONCE: Final = bytes(range(24))
NOW_MS: Final = 1_700_000_000_000
COUNTER: Final = 3 << 32 | 7

DRAFTS: Final = [
    Draft("note", "luna", 1_700_000_000_123_456, b'{"text":"hello"}'),
    Draft("note", None, None, b"null"),
    Draft("n", "\u00e9\u4e16\U0001f600", -1, "\u00fc".encode()),
    Draft("empty", None, 0, b""),
    Draft("binary", "a" * 256, (1 << 63) - 1, bytes(range(256))),
    Draft("k" * 64, None, 1 - (1 << 63), b"x" * 300),
]


def _log() -> tuple[OriginState, list[bytes], list[int], list[CommitRow]]:
    """A small log: a hello and five plain events in one commit, a rename in a second one."""
    writer = Writer(DEVICE, KEYS.group, "BOXE", KEYS.check)
    first = append(writer, WriterState(None, 0), DRAFTS[:5], NOW_MS, bytes(range(8)))
    renamed = [system_draft("_name", Rename("LUNA"))]
    second = append(writer, WriterState(first.origin, first.high_water), renamed, NOW_MS + 5, bytes(8))
    return (
        second.origin,
        [*first.records, *second.records],
        [*first.hlcs, *second.hlcs],
        [*first.commits, *second.commits],
    )


STATE, RECORDS, HLCS, COMMITS = _log()
SIGNER: Final = Signer(DEVICE, STATE.incarnation, STATE.id)
BATCH: Final = Batch(
    STATE.id, 1, STATE.hash, 0, RECORDS, [Commit(row.seq, row.signature) for row in COMMITS], STATE.descriptor
)
PAYLOAD: Final = encode_batch(BATCH)


def events() -> Json:
    """Events: fields, encoding, order."""
    valid = []
    for number, draft in enumerate(DRAFTS):
        hlc = pack_hlc(NOW_MS, number)
        record = encode_event(hlc, draft)
        valid.append({
            "hlc": hlc, "kind": draft.kind, "agent": draft.agent, "time": draft.time, "body": draft.body.hex(),
            "record": record.hex(), "header_bytes": len(record) - len(draft.body),
        })  # fmt: skip
    raw = msgspec.msgpack.encode
    return {
        "valid": valid,
        "invalid": [
            _bad("empty", b"", "format"),
            _bad("four fields", raw([1, "k", None, None]), "format"),
            _bad("six fields", raw([1, "k", None, None, b"", 0]), "format"),
            _bad("a map", raw({"hlc": 1, "kind": "k", "agent": None, "time": None, "body": b""}), "format"),
            _bad("trailing byte", raw([1, "k", None, None, b""]) + b"\x00", "format"),
            _bad("hlc is a float", raw([1.0, "k", None, None, b""]), "format"),
            _bad("kind is binary", raw([1, b"k", None, None, b""]), "format"),
            _bad("body is text", raw([1, "k", None, None, "x"]), "format"),
            _bad("kind is not UTF-8", b"\x95\x01\xa1\xff\xc0\xc0\xc4\x00", "format"),
            _bad("kind is a lone surrogate", b"\x95\x01\xa3\xed\xa0\x80\xc0\xc0\xc4\x00", "format"),
            _bad("hlc is negative", raw([-1, "k", None, None, b""]), "limit"),
            _bad("kind is empty", raw([1, "", None, None, b""]), "limit"),
            _bad("kind of 65 bytes", raw([1, "k" * 65, None, None, b""]), "limit"),
            _bad("agent is empty", raw([1, "k", "", None, b""]), "limit"),
            _bad("agent of 257 bytes", raw([1, "k", "a" * 257, None, b""]), "limit"),
            _bad("time of -2^63", raw([1, "k", None, -(1 << 63), b""]), "limit"),
            _bad("time of 2^63", raw([1, "k", None, 1 << 63, b""]), "limit"),
        ],
        "order": [key.hex() for key in sorted(
            order_key(hlc, OriginId(origin)) for hlc in (1, 255, 256, 1 << 63) for origin in (bytes(8), b"\xff" * 8)
        )],
    }  # fmt: skip


def _bad(what: str, data: bytes, reason: str) -> Json:
    return {"what": what, "data": data.hex(), "reason": reason}


def chain() -> Json:
    """Chain and commits of one small log."""
    tips = [walk(STATE.hash, RECORDS[: count + 1]) for count in range(len(RECORDS))]
    return {
        "group": KEYS.group.hex(),
        "seed": bytes(range(100, 132)).hex(),
        "key": DEVICE.public.hex(),
        "incarnation": STATE.incarnation.hex(),
        "c0": STATE.hash.hex(),
        "events": [
            {"seq": seq, "hlc": hlc, "record": record.hex(), "c": tip.hex()}
            for seq, (hlc, record, tip) in enumerate(zip(HLCS, RECORDS, tips, strict=True), 1)
        ],
        "commits": [
            {
                "seq": row.seq,
                "hlc": row.hlc,
                "cumulative_bytes": row.cum,
                "c": row.tip.hex(),
                "digest": commit_digest(STATE.hash, row.seq, row.hlc, row.cum, row.tip).hex(),
                "signature": row.signature.hex(),
            }
            for row in COMMITS
        ],
    }


def origins() -> Json:
    """Origin hashes, ids, descriptors, device ids and the names made from them."""
    link = hash32(b"the first differing event")
    cases = [
        Descriptor(DEVICE.public, STATE.incarnation, ()),
        Descriptor(STRANGER.public, (2).to_bytes(4, "big") + b"8 random", ()),
        Descriptor(DEVICE.public, STATE.incarnation, (ForkPoint(5, link),)),
        Descriptor(DEVICE.public, STATE.incarnation, tuple(ForkPoint(5 + n, hash32(bytes((n,)))) for n in range(8))),
    ]
    raw = msgspec.msgpack.encode
    key, incarnation = DEVICE.public, STATE.incarnation
    return {
        "group": KEYS.group.hex(),
        "valid": [
            {
                "key": case.key.hex(),
                "incarnation": case.incarnation.hex(),
                "forks": [{"base": fork.base, "link": fork.link.hex()} for fork in case.forks],
                "descriptor": encode(case).hex(),
                "hash": origin_hash(KEYS.group, case).hex(),
                "id": short(origin_hash(KEYS.group, case)).hex(),
                "base": case.forks[-1].base if case.forks else 0,
                "device": device_id(case.key).hex(),
                "name": name_of(device_id(case.key)),
                "suffix": suffix_of(device_id(case.key)),
            }
            for case in cases
        ],
        "invalid": [
            _bad("key of 31 bytes", raw([key[:31], incarnation, []]), "format"),
            _bad("incarnation of 13 bytes", raw([key, incarnation + b"x", []]), "format"),
            _bad("no forks", raw([key, incarnation]), "format"),
            _bad("nine forks", raw([key, incarnation, [[n, link] for n in range(9)]]), "format"),
            _bad("negative base", raw([key, incarnation, [[-1, link]]]), "format"),
            _bad("link of 8 bytes", raw([key, incarnation, [[1, link[:8]]]]), "format"),
        ],
    }


def _signed(records: list[bytes], commits: list[int], **changes: Any) -> bytes:
    """A batch of any records, with true signatures at the seqs given."""
    rows, tip, total = [], STATE.hash, 0
    for seq, record in enumerate(records, 1):
        tip, total = walk(tip, [record]), total + len(record)
        if seq in commits:
            digest = commit_digest(STATE.hash, seq, msgspec.msgpack.decode(record)[0], total, tip)
            rows.append(Commit(seq, DEVICE.sign(COMMIT, digest)))
    batch = Batch(STATE.id, 1, STATE.hash, 0, records, rows, STATE.descriptor)
    return encode_batch(msgspec.structs.replace(batch, **changes))


def _many(hlcs: range, size: int) -> list[bytes]:
    return [RECORDS[0], *(encode_event(HLCS[0] + hlc, Draft("k", None, None, bytes(size))) for hlc in hlcs)]


def batches() -> Json:
    """Batches: valid ones, and one for each way to be refused."""
    branch = _branch()
    large = [RECORDS[0], encode_event(HLCS[0] + 1, Draft("k", None, None, b"x" * COMMIT_BYTES_MAX))]
    swapped = [RECORDS[0], RECORDS[2], RECORDS[1], *RECORDS[3:]]
    flipped = [*RECORDS[:-1], RECORDS[-1][:-1] + bytes((RECORDS[-1][-1] ^ 1,))]
    other = msgspec.structs.replace(STATE.descriptor, incarnation=bytes(12))
    stolen = [Commit(row.seq, STRANGER.sign(COMMIT, bytes(32))) for row in COMMITS]
    raw = list(msgspec.msgpack.decode(PAYLOAD))
    last = len(RECORDS)

    def changed(**changes: Any) -> bytes:
        return encode_batch(msgspec.structs.replace(BATCH, **changes))

    return {
        "group": KEYS.group.hex(),
        "valid": [
            _good("two commits from the start", PAYLOAD),
            _good("the second commit alone", encode_batch(_second()), known=encode(STATE.descriptor)),
            _good("a commit of 256 events", _signed(_many(range(1, COMMIT_EVENTS_MAX), 0), [COMMIT_EVENTS_MAX])),
            _good("an event over 48 KiB is a commit alone", _signed(large, [1, 2])),
            _good("a derived origin from its base", encode_batch(branch)),
        ],
        "invalid": [
            _bad("empty", b"", "format"),
            _bad("trailing byte", PAYLOAD + b"\x00", "format"),
            _bad("cut off", PAYLOAD[:-1], "format"),
            _bad("six fields", encode(raw[:6]), "format"),
            _bad("eight fields", encode([*raw, None]), "format"),
            _bad("origin of 7 bytes", encode([raw[0][:7], *raw[1:]]), "format"),
            _bad("first is text", encode([raw[0], "1", *raw[2:]]), "format"),
            _bad("no records", encode([*raw[:4], [], *raw[5:]]), "format"),
            _bad("no commits", encode([*raw[:5], [], raw[6]]), "format"),
            _bad("signature of 63 bytes", encode([*raw[:5], [[last, bytes(63)]], raw[6]]), "format"),
            _bad("a record is no event", changed(records=[*RECORDS[:-1], b"\xc0"]), "format"),
            _bad("first is 0", changed(first=0), "order"),
            _bad("does not end at a commit", changed(commits=BATCH.commits[:1]), "order"),
            _bad("commits do not ascend", changed(commits=BATCH.commits[::-1]), "order"),
            _bad("hlc does not grow", _signed(swapped, [last]), "order"),
            _bad("a record changed", changed(records=flipped), "signature"),
            _bad("signed by another key", changed(commits=stolen), "signature"),
            _bad("cumulative bytes differ", changed(cum=1), "signature"),
            _bad("prev is not c0", changed(prev=bytes(32)), "chain"),
            _bad("cumulative bytes beyond 64 bits", changed(cum=(1 << 64) - 1), "limit"),
            _bad("a commit of 257 events", _signed(_many(range(1, 257), 0), [257]), "limit"),
            _bad("a commit over 48 KiB of two events", _signed(large, [2]), "limit"),
            _bad("kind of 65 bytes", _signed([RECORDS[0], _long_kind()], [2]), "limit"),
            _bad("no descriptor, origin unknown", changed(descriptor=None), "hello"),
            _bad("descriptor of another origin", changed(descriptor=other), "hello"),
            _bad("no hello in front", _signed([RECORDS[1]], [1]), "hello"),
            _bad("hello of another key", _signed([_foreign_hello()], [1]), "hello"),
            _bad(
                "a derived origin at its base",
                encode_batch(msgspec.structs.replace(branch, first=branch.first - 1, records=RECORDS[4:])),
                "order",
            ),
            _bad(
                "a derived origin with another first event",
                encode_batch(msgspec.structs.replace(branch, prev=bytes(32))),
                "chain",
            ),
        ],
    }


def _good(what: str, data: bytes, known: bytes | None = None) -> Json:
    batch = msgspec.msgpack.decode(data)
    return {
        "what": what,
        "data": data.hex(),
        "origin": batch[0].hex(),
        "first": batch[1],
        "last": batch[1] + len(batch[4]) - 1,
        "c_last": walk(batch[2], batch[4]).hex(),
        "known_descriptor": known.hex() if known is not None else None,
    }


def _second() -> Batch:
    row = COMMITS[0]
    return Batch(
        STATE.id, row.seq + 1, row.tip, row.cum, RECORDS[row.seq :],
        [Commit(COMMITS[1].seq, COMMITS[1].signature)], None,
    )  # fmt: skip


def _branch() -> Batch:
    base = 5
    link = walk(STATE.hash, RECORDS[: base + 1])
    descriptor = Descriptor(STATE.key, STATE.incarnation, (ForkPoint(base, link),))
    return Batch(
        short(origin_hash(KEYS.group, descriptor)), base + 1, walk(STATE.hash, RECORDS[:base]),
        sum(map(len, RECORDS[:base])), RECORDS[base:], BATCH.commits, descriptor,
    )  # fmt: skip


def _long_kind() -> bytes:
    return encode_event(HLCS[0] + 1, Draft("k" * 65, None, None, b""))


def _foreign_hello() -> bytes:
    writer = Writer(STRANGER, KEYS.group, "BOXE")
    return append(writer, WriterState(None, 0), [], NOW_MS, bytes(range(8))).records[0]


def keys() -> Json:
    """Key derivation and topics."""
    return {
        "epochs": [
            {
                "group": epoch.group.hex(),
                "secret": epoch.secret.hex(),
                "epoch": epoch.epoch,
                "seal": epoch.seal.hex(),
                "topic": epoch.derive("topic").hex(),
                "leaf": epoch.leaf.hex(),
                "prefix": epoch.prefix,
            }
            for epoch in (KEYS, SECOND_EPOCH)
        ],
        "origin": STATE.id.hex(),
        "topics": {
            "head": TOPICS.head(STATE.id),
            "vector page 1": TOPICS.vector(STATE.id, 1),
            "index": TOPICS.index(STATE.id),
            "standing": TOPICS.standing(STATE.id),
            "presence": TOPICS.presence(STATE.id),
            "live": TOPICS.live,
            "want": TOPICS.want,
            "fill from 1": TOPICS.fill(STATE.id, 1),
            "fill from 1099511627776": TOPICS.fill(STATE.id, 1 << 40),
            "segment 31": TOPICS.segment(STATE.id, 31),
            "ask": TOPICS.ask,
            "fence": TOPICS.fence(bytes(range(16))),
            "head under a path": Topics(KEYS, "team/x").head(STATE.id),
        },
    }


def envelope() -> Json:
    """A sealed frame, and how it is refused under anything but its own topic and group."""
    topic = TOPICS.live
    sealed = seal(KEYS, topic, b"\x06\x00plain", NONCE)
    return {
        "group": KEYS.group.hex(),
        "secret": KEYS.secret.hex(),
        "nonce": NONCE.hex(),
        "topic": topic,
        "plain": b"\x06\x00plain".hex(),
        "associated": (b"hcr1" + KEYS.group + topic.encode()).hex(),
        "sealed": sealed.hex(),
        "invalid": [
            {"what": "version 2", "topic": topic, "data": (b"\x02" + sealed[1:]).hex(), "reason": "version"},
            {"what": "empty", "topic": topic, "data": "", "reason": "version"},
            {"what": "too short for nonce and tag", "topic": topic, "data": sealed[:40].hex(), "reason": "version"},
            {"what": "another topic", "topic": TOPICS.want, "data": sealed.hex(), "reason": "seal"},
            {"what": "last byte changed", "topic": topic, "data": sealed[:-1].hex() + "ff", "reason": "seal"},
            {"what": "nonce changed", "topic": topic, "data": "01ff" + sealed[2:].hex(), "reason": "seal"},
            {
                "what": "another epoch",
                "topic": topic,
                "data": seal(SECOND_EPOCH, topic, b"\x06\x00plain", NONCE).hex(),
                "reason": "seal",
            },
        ],
    }


def record() -> EpochRecord:
    """A record of epoch 2 for two devices, that revokes a third."""
    devices = (DEVICE.public, STRANGER.public)
    gone = DeviceKey(bytes(range(64, 96))).public
    return make_record(SECOND_EPOCH, DEVICE, devices, [gone], lambda count: bytes(range(count)))


def notice() -> Notice:
    """The record, with a certificate."""
    return Notice((record(),), (certify(KEYS.group, DEVICE, 1, STRANGER.public),))


def gone() -> Gone:
    """The group's second move, and a certificate."""
    chain = [certify(KEYS.group, DEVICE, 1, STRANGER.public)]
    return Gone(COUNTER, NOW_MS, 2, pack_hlc(NOW_MS), STATE.id, "mqtts://broker.example.org:8883", chain)


def epochs() -> Json:
    """Certificates, epoch records and notices."""
    one, sealed, told = certify(KEYS.group, DEVICE, 7, STRANGER.public), record(), notice()
    elsewhere = GroupKeys(bytes(16), SECOND_EPOCH.secret, 2)
    foreign = make_record(elsewhere, DEVICE, (DEVICE.public,), (), lambda count: bytes(range(count)))
    return {
        "group": KEYS.group.hex(),
        "author": DEVICE.public.hex(),
        "certificate": {
            "device": STRANGER.public.hex(),
            "number": 7,
            "signature": one.signature.hex(),
        },
        "record": {
            "encoded": sealed.encoded.hex(),
            "number": 2,
            "secret": SECOND_EPOCH.secret.hex(),
            "check": SECOND_EPOCH.check.hex(),
            "revoked": [key.hex() for key in sealed.revoked],
            "ephemeral": sealed.ephemeral.hex(),
            "devices": [{"seed": seed.hex(), "key": DeviceKey(seed).public.hex()} for seed in SEEDS],
        },
        "notice": encode_notice(told).hex(),
        "invalid": [
            {"what": "empty", "data": "", "reason": "format"},
            {"what": "signature changed", "data": sealed.encoded[:-1].hex() + "00", "reason": "signature"},
            {"what": "a byte of a box changed", "data": _flipped(sealed.encoded, -70).hex(), "reason": "signature"},
            {"what": "of another group", "data": foreign.encoded.hex(), "reason": "topic"},
        ],
    }


def _flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def messages() -> Json:
    """Every kind of message, as a whole sealed frame."""
    origin, tip, row = STATE.id, STATE.tip, COMMITS[-1]
    part = Part(hash32(b"\x00" + PAYLOAD)[:16], 0, 2, origin, 1, (b"\x00" + PAYLOAD)[:100])
    head = Head(
        COUNTER, NOW_MS, "BOXE", row.seq, row.hlc, row.tip, row.signature, row.cum, STATE.system, pack_hlc(NOW_MS + 9)
    )
    vector = VectorPage(COUNTER, NOW_MS, 1, True, pack_entries([(origin, Ack(STATE.seq, tip[:8]))]))
    segment = Segment(0, origin, 1, STATE.seq, hash32(b"sealed")[:8], 0, 1, STATE.cum)
    want = Want(9, origin, 262_144, [WantItem(STATE.hash, 3, 0), WantItem(origin, 1, 7)])
    fill_topic = TOPICS.fill(origin, 1)
    cases: list[tuple[Kind, str, bytes, bool]] = [
        (Kind.HEAD, TOPICS.head(origin), encode(head), True),
        (Kind.VECTOR, TOPICS.vector(origin, 0), encode(vector), True),
        (Kind.INDEX, TOPICS.index(origin), encode(Index(COUNTER, NOW_MS, 32, [segment])), True),
        (Kind.STANDING, TOPICS.standing(origin), encode(Standing(COUNTER, NOW_MS, [WantItem(origin, 1, 0)])), True),
        (Kind.PRESENCE, TOPICS.presence(origin), encode(Presence(COUNTER, NOW_MS, online=True)), True),
        (Kind.LIVE, TOPICS.live, PAYLOAD, False),
        (Kind.WANT, TOPICS.want, encode(want), False),
        (Kind.FILL, fill_topic, encode(Fill(9, True, 0, PAYLOAD)), False),
        (Kind.FILL_PART, fill_topic, encode(FillPart(9, False, part)), False),
        (Kind.SEGMENT, TOPICS.segment(origin, 0), PAYLOAD, True),
        (Kind.SEGMENT_PART, TOPICS.segment(origin, 1), encode(part), True),
        (Kind.ASK, TOPICS.ask, encode(Ask(4, None, 1)), False),
        (Kind.FENCE, TOPICS.fence(bytes(range(16))), bytes(range(16)), False),
        (Kind.REKEY, TOPICS.rekeyed(origin), encode(Rekey(COUNTER, NOW_MS, encode_notice(notice()))), True),
        (Kind.GONE, TOPICS.gone(origin), encode(gone()), True),
    ]
    return {
        "group": KEYS.group.hex(),
        "secret": KEYS.secret.hex(),
        "key": DEVICE.public.hex(),
        "incarnation": STATE.incarnation.hex(),
        "valid": [_message(*case) for case in cases],
        "invalid": _bad_frames(head),
    }


def _message(kind: Kind, topic: str, payload: bytes, retained: bool) -> Json:
    signer = None if kind in (Kind.LIVE, Kind.FENCE) else SIGNER
    return {
        "kind": int(kind),
        "name": kind.name,
        "topic": topic,
        "retained": retained,
        "payload": payload.hex(),
        "digest": message_digest(kind, 0, topic, payload).hex() if signer is not None else None,
        "sealed": close_frame(KEYS, topic, kind, signer, Packed(0, payload), NONCE).hex(),
    }


def bundle() -> Json:
    """A sealed bundle, frame by frame, and what is none."""
    head = BundleHead(KEYS.group, KEYS.epoch, KEYS.check, bytes(range(16)))
    sealer = Sealer(KEYS, head)
    manifest = Manifest(DEVICE.public, STATE.incarnation, NOW_MS, "BOXE")
    frames = [sealer.manifest(manifest, NONCE), sealer.batch(PAYLOAD, NONCE)]
    frames.append(sealer.end(DEVICE, STATE.seq, NONCE))
    whole = head.encode() + b"".join(frames)
    foreign = Sealer(KEYS, head)
    other = [foreign.manifest(manifest, NONCE), foreign.batch(PAYLOAD, NONCE), foreign.end(STRANGER, STATE.seq, NONCE)]
    told = BundleHead(KEYS.group, 2, SECOND_EPOCH.check, head.id).with_notices([KEYS], notice(), lambda _: NONCE)
    newer = Sealer(SECOND_EPOCH, told)
    later = [newer.manifest(manifest, NONCE), newer.end(DEVICE, 0, NONCE)]
    return {
        "group": KEYS.group.hex(),
        "secret": KEYS.secret.hex(),
        "second_secret": SECOND_EPOCH.secret.hex(),
        "notice": encode_notice(notice()).hex(),
        "with_notice": (told.encode() + b"".join(later)).hex(),
        "id": head.id.hex(),
        "key": DEVICE.public.hex(),
        "incarnation": STATE.incarnation.hex(),
        "wall_ms": NOW_MS,
        "name": "BOXE",
        "batches": [PAYLOAD.hex()],
        "events": STATE.seq,
        "valid": [{"what": "one origin", "data": whole.hex()}],
        "invalid": [
            {"what": "no bundle", "data": b"hcrbundle".hex() + "00" * 60, "reason": "format"},
            {"what": "version 2", "data": (whole[:7] + b"\x02" + whole[8:]).hex(), "reason": "version"},
            {"what": "a bit changed", "data": _flipped(whole, HEAD_BYTES + 90).hex(), "reason": "seal"},
            {"what": "begins with a batch", "data": (head.encode() + frames[1]).hex(), "reason": "seal"},
            {"what": "signed by another", "data": (head.encode() + b"".join(other)).hex(), "reason": "signature"},
            {"what": "counts wrongly", "data": (head.encode() + b"".join(_miscounted(head, manifest))).hex(),
             "reason": "order"},
        ],
    }  # fmt: skip


def _miscounted(head: BundleHead, manifest: Manifest) -> list[bytes]:
    sealer = Sealer(KEYS, head)
    frames = [sealer.manifest(manifest, NONCE), sealer.batch(PAYLOAD, NONCE)]
    return [*frames, sealer.end(DEVICE, STATE.seq + 1, NONCE)]


def _bad_frames(head: Head) -> list[Json]:
    topic = TOPICS.head(STATE.id)
    author = DEVICE.public + STATE.incarnation
    payload = encode(head)
    signature = DEVICE.sign(MESSAGE, message_digest(1, 0, topic, payload))
    elsewhere = DEVICE.sign(MESSAGE, message_digest(1, 0, TOPICS.index(STATE.id), payload))
    bomb = b"\x28\xb5\x2f\xfd\xe0" + (1 << 40).to_bytes(8, "little")
    by_codec = {
        codec: DEVICE.sign(MESSAGE, message_digest(1, codec, topic, data)) for codec, data in ((1, bomb), (9, payload))
    }
    cases = [
        ("no codec", b"\x06", "format"),
        ("kind 0", b"\x00\x00", "kind"),
        ("kind 16", b"\x10\x00", "kind"),
        ("author cut off", b"\x01\x00" + author, "format"),
        ("signature of another topic", b"\x01\x00" + author + elsewhere + payload, "signature"),
        ("payload changed", b"\x01\x00" + author + signature + payload + b"x", "signature"),
        ("codec changed", b"\x01\x01" + author + signature + payload, "signature"),
        ("author changed", b"\x01\x00" + STRANGER.public + STATE.incarnation + signature + payload, "signature"),
        ("unknown codec", b"\x01\x09" + author + by_codec[9] + payload, "codec"),
        ("claims to inflate to a tebibyte", b"\x01\x01" + author + by_codec[1] + bomb, "size"),
        ("not zstd", b"\x06\x01junk", "codec"),
        ("a zstd frame to be skipped, of 4 GiB", b"\x06\x01\x50\x2a\x4d\x18\xff\xff\xff\xff" + bytes(8), "codec"),
        ("a zstd frame of nothing", b"\x06\x01\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00", "size"),
    ]
    return [
        {"what": what, "topic": topic, "data": seal(KEYS, topic, plain, NONCE).hex(), "reason": reason}
        for what, plain, reason in cases
    ]


def parts() -> Json:
    """A batch in parts."""
    blob = b"\x00" + PAYLOAD
    size = 400
    name = hash32(blob)[:16]
    chunks = [blob[at : at + size] for at in range(0, len(blob), size)]
    return {
        "batch": PAYLOAD.hex(),
        "codec": 0,
        "blob": name.hex(),
        "parts": [
            encode(Part(name, index, len(chunks), STATE.id, 1, chunk)).hex() for index, chunk in enumerate(chunks)
        ],
    }


def tokens() -> Json:
    """Join tokens."""
    brokers = ("mqtts://broker.example:8883", "mqtt://127.0.0.1:1883")
    token = JoinToken(KEYS, brokers, DEVICE.public).encode()
    hcom = "BAABAgMEBQYHCAkKCwwNDg8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHw"
    newer = JoinToken(KEYS, brokers, DEVICE.public)
    return {
        "valid": [
            {
                "token": token,
                "group": KEYS.group.hex(),
                "secret": KEYS.secret.hex(),
                "epoch": 1,
                "founder": DEVICE.public.hex(),
                "brokers": list(brokers),
            },
            {
                "token": JoinToken(SECOND_EPOCH, (), DEVICE.public).encode(),
                "group": KEYS.group.hex(),
                "secret": SECOND_EPOCH.secret.hex(),
                "epoch": 2,
                "founder": DEVICE.public.hex(),
                "brokers": [],
            },
            {
                "token": f"  {token[:30]}\n{token[30:]}  ",
                "group": KEYS.group.hex(),
                "secret": KEYS.secret.hex(),
                "epoch": 1,
                "founder": DEVICE.public.hex(),
                "brokers": list(brokers),
            },
        ],
        "invalid": [
            {"what": "empty", "token": "", "says": "not a join token"},
            {"what": "the prefix alone", "token": "hcr1_", "says": "cut off"},
            {"what": "cut short", "token": token[:40], "says": "cut off"},
            {"what": "cut at the end", "token": token[:-3], "says": "cut off"},
            {"what": "one letter mistyped", "token": _mistyped(token), "says": "mistyped"},
            {"what": "a letter that no token has", "token": token[:20] + "*" + token[21:], "says": "characters"},
            {"what": "version 2", "token": _other_version(newer), "says": "version 2"},
            {"what": "hcom 0x04", "token": hcom, "says": "hcom's own relay"},
            {"what": "something else", "token": "ssh-ed25519 AAAA", "says": "not a join token"},
        ],
    }


def _mistyped(token: str) -> str:
    return token[:50] + ("A" if token[50] != "A" else "B") + token[51:]


def _other_version(token: JoinToken) -> str:
    text = token.encode()
    return text[:5] + "Ag" + text[7:]


def storage() -> Json:
    """Rows of the tables, as storage-v1 lays them out."""
    row, hlc = COMMITS[-1], HLCS[1]
    derived = msgspec.structs.replace(
        STATE,
        hash=origin_hash(KEYS.group, _branch().descriptor or STATE.descriptor),
        forks=(_branch().descriptor or STATE.descriptor).forks,
        base=5,
        drift_ms=90_000,
    )
    peer = pack_peer((1, STATE.id, 0, NOW_MS, b"key, incarnation, payload"))
    return {
        "origin_state": [
            {"what": what, "key": state.id.hex(), "value": encode_state(state).hex()}
            for what, state in (("plain", STATE), ("derived", derived))
        ],
        "log": {"hlc": hlc, "seq": 2, "key": order_key(hlc, STATE.id).hex(), "value": (u64(2) + RECORDS[1]).hex()},
        "index": {"seq": 2, "key": seq_key(STATE.id, 2).hex(), "value": u64(hlc).hex()},
        "arrivals": {
            "number": 7,
            "key": u64(7).hex(),
            "first": 2,
            "length": 1_000,
            "received_ms": NOW_MS,
            "in_time": pack_stretch(Stretch(7, STATE.id, 2, 1_000, False, NOW_MS))[1].hex(),
            "late": pack_stretch(Stretch(7, STATE.id, 2, 1_000, True, NOW_MS))[1].hex(),
        },
        "commits": {"seq": row.seq, "key": seq_key(STATE.id, row.seq).hex(), "value": pack_commit(row).hex()},
        "peers": {"key": peer[0].hex(), "value": peer[1].hex()},
        "home": {
            "id": HOME.id.hex(),
            "inode": HOME.place.inode,
            "born_ns": HOME.place.born_ns,
            "key": b"home".hex(),
            "value": pack_home(HOME).hex(),
        },
    }


HOME: Final = Home(bytes(range(16)), Place(2_146_851, NOW_MS * 1_000_000 + 1))


def marker() -> Json:
    """Slots and whole files of a continuity marker, sound and not."""
    older = Mark(
        7, HOME.id, KEYS.group, STATE.incarnation, STATE.id, STATE.seq - 1, HLCS[-2], bytes(range(16, 32)), bytes(16)
    )
    newer = older._replace(counter=8, seq=STATE.seq, hlc=HLCS[-1])
    slots = {mark: pack_mark(mark) for mark in (older, newer)}
    slot, gap = slots[newer], bytes(STRIDE_BYTES - len(slots[newer]))
    files = [
        ("both sound, the second newer", slots[older] + gap + slots[newer]),
        ("both sound, the first newer", slots[newer] + gap + slots[older]),
        ("the first alone", slots[older]),
        ("the first torn", slots[newer][:60] + bytes(68) + gap + slots[older]),
        ("the second torn", slots[older] + gap + slots[newer][:64] + slots[older][64:]),
        ("the second cut off", slots[older] + gap + slots[newer][:127]),
        ("empty", b""),
        ("zero bytes", bytes(640)),
    ]
    return {
        "slots": [
            {**{name: _plain(value) for name, value in mark._asdict().items()}, "slot": data.hex()}
            for mark, data in slots.items()
        ],
        "invalid": [
            {"what": "empty", "slot": ""},
            {"what": "zero bytes", "slot": bytes(128).hex()},
            {"what": "cut short", "slot": slot[:127].hex()},
            {"what": "a later form", "slot": (b"hcm2" + slot[4:]).hex()},
            {"what": "seq changed", "slot": (slot[:71] + bytes([slot[71] ^ 1]) + slot[72:]).hex()},
            {"what": "sum changed", "slot": (slot[:-1] + bytes([slot[-1] ^ 1])).hex()},
            {"what": "half of another", "slot": (slot[:64] + slots[older][64:]).hex()},
        ],
        "files": [_marker_file(what, data) for what, data in files],
    }


def _marker_file(what: str, data: bytes) -> Json:
    """A file, the counter of its newest sound slot, and at which offset the next one is written."""
    following, mark = newest(data)
    return {
        "what": what,
        "file": data.hex(),
        "newest": mark.counter if mark is not None else None,
        "next_at": following * STRIDE_BYTES,
    }


def _plain(value: bytes | int) -> str | int:
    return value.hex() if isinstance(value, bytes) else value


def redactions() -> Json:
    """Redacted records, and the statements of redactions."""
    gone = {seq: _redacted(seq) for seq in range(2, 7)}
    records = [gone.get(seq, record) for seq, record in enumerate(RECORDS, 1)]
    wide = b"\x95" + msgspec.msgpack.encode(HLCS[0] + 1) + b"\xa1k\xc0\xc0" + b"\xc6\x00\x00\x00\x05"
    return {
        "group": KEYS.group.hex(),
        "key": DEVICE.public.hex(),
        "incarnation": STATE.incarnation.hex(),
        "c0": STATE.hash.hex(),
        "valid": [_gone(seq) for seq in gone],
        "batches": [
            _good("all but hello and rename", encode_batch(msgspec.structs.replace(BATCH, records=records))),
            _good("one of them", encode_batch(_with(3, gone[3]))),
            _good("a length that is written longer than need be", _signed_gone([RECORDS[0], wide + b"hello"], 2)),
            _good("an event over 48 KiB is a commit alone", _large_gone([1, 2])),
        ],
        "invalid": _bad_redactions(gone),
        "statement": statement(_redaction(3), DEVICE.public, STATE.incarnation).decode(),
        "statements_that_prove_nothing": _idle_statements(),
        "row": {
            "key": (seq_key(STATE.id, 3) + _redaction(3).tip).hex(),
            "value": _redaction(3).signature.hex(),
        },
    }


def _redaction(seq: int, key: DeviceKey = DEVICE) -> Redaction:
    return sign_redaction(key, STATE.hash, seq, walk(STATE.hash, RECORDS[:seq]))


def _redacted(seq: int, key: DeviceKey = DEVICE) -> bytes:
    record = RECORDS[seq - 1]
    return redacted(record, decode_event(record), _redaction(seq, key))


def _gone(seq: int) -> Json:
    """An event, what its redaction is made of, and its redacted record."""
    record, redaction = RECORDS[seq - 1], _redaction(seq)
    body = decode_event(record).body
    return {
        "seq": seq,
        "record": record.hex(),
        "header": record[: len(record) - len(body)].hex(),
        "body_hash": hash32(body).hex(),
        "c": redaction.tip.hex(),
        "signature": redaction.signature.hex(),
        "redacted": _redacted(seq).hex(),
    }


def _with(seq: int, record: bytes) -> Batch:
    """The batch of all, with another record at a place."""
    return msgspec.structs.replace(BATCH, records=[*RECORDS[: seq - 1], record, *RECORDS[seq:]])


def _signed_gone(records: list[bytes], seq: int, commits: list[int] | None = None) -> bytes:
    """A batch with true commits over the records, of which one is sent without its body."""
    whole = msgspec.msgpack.decode(_signed(records, commits or [len(records)]))
    tip = walk(STATE.hash, records[:seq])
    record = records[seq - 1]
    redaction = sign_redaction(DEVICE, STATE.hash, seq, tip)
    whole[4][seq - 1] = redacted(record, decode_event(record), redaction)
    return encode(whole)


def _large_gone(commits: list[int]) -> bytes:
    large = encode_event(HLCS[0] + 1, Draft("k", None, None, b"x" * COMMIT_BYTES_MAX))
    return _signed_gone([RECORDS[0], large], 2, commits)


def _bad_redactions(gone: dict[int, bytes]) -> list[Json]:
    true, record, event = gone[3], RECORDS[2], decode_event(RECORDS[2])

    def told(length: int) -> bytes:
        return true[:1] + length.to_bytes(4, "big") + true[5:]

    def at_3(what: str, made: bytes, reason: str) -> Json:
        return _bad(what, encode_batch(_with(3, made)), reason)

    other_body = redacted(record, Event(event.hlc, event.kind, event.agent, event.time, b"nope"), _redaction(3))
    rename = redacted(RECORDS[-1], decode_event(RECORDS[-1]), _redaction(len(RECORDS)))
    hello = redacted(RECORDS[0], decode_event(RECORDS[0]), _redaction(1))
    long_kind = redacted(_long_kind(), decode_event(_long_kind()), _redaction(3))
    return [
        at_3("signed by another key", _redacted(3, STRANGER), "signature"),
        at_3("signed for another event", redacted(record, event, _redaction(4)), "signature"),
        at_3("no signature", true[:37] + bytes(64) + true[101:], "signature"),
        at_3("hash of another body", other_body, "signature"),
        at_3("header of another event", true[:101] + gone[2][101:], "format"),
        at_3("nothing but the first byte", true[:1], "format"),
        at_3("cut off in the header", true[:-1], "format"),
        at_3("the body is there all the same", true + event.body, "format"),
        at_3("another length than the header tells", told(3), "format"),
        at_3("a length over the limit", told(4 << 20), "limit"),
        at_3("a header over the limit", true[:101] + bytes(1023) + true[-2:], "limit"),
        at_3("a redacted record in the header", true[:101] + true, "format"),
        at_3("a redacted record without length in the header", gone[5][:101] + gone[5], "format"),
        at_3("a body of which the end looks like the beginning of another", gone[5][:101] + _two_ends(), "format"),
        at_3("five fields before the body", true[:101] + b"\x96" + true[102:-2] + b"\xc0" + true[-2:], "format"),
        at_3("kind of 65 bytes", long_kind, "limit"),
        _bad("a rename", encode_batch(_with(len(RECORDS), rename)), "format"),
        _bad("a hello", encode_batch(_with(1, hello)), "format"),
        _bad("a commit over 48 KiB of two events", _large_gone([2]), "limit"),
    ]


def _two_ends() -> bytes:
    """An event with a body of two bytes, which are those that stand before an empty one."""
    return encode_event(HLCS[2], Draft("k", None, None, b"\xc4\x00"))


def _idle_statements() -> list[Json]:
    true = json.loads(statement(_redaction(3), DEVICE.public, STATE.incarnation))
    cases: dict[str, Json] = {
        "signed by another key": {"signature": _redaction(3, STRANGER).signature.hex()},
        "key of somebody else": {"key": STRANGER.public.hex()},
        "another incarnation": {"incarnation": bytes(12).hex()},
        "another origin": {"origin": bytes(8).hex()},
        "another seq": {"seq": 4},
        "seq 0": {"seq": 0},
        "seq beyond 64 bits": {"seq": 1 << 64},
        "another c": {"c": STATE.hash.hex()},
        "c of 31 bytes": {"c": true["c"][2:]},
        "no hexadecimal": {"c": "x" * 64},
        "seq is text": {"seq": "3"},
    }
    bodies = {what: json.dumps({**true, **changes}) for what, changes in cases.items()}
    bodies |= {"empty": "", "null": "null"}
    return [{"what": what, "body": body} for what, body in bodies.items()]


FILES: Final[dict[str, Callable[[], Json]]] = {
    "events": events,
    "chain": chain,
    "origins": origins,
    "batches": batches,
    "keys": keys,
    "envelope": envelope,
    "messages": messages,
    "parts": parts,
    "tokens": tokens,
    "epochs": epochs,
    "storage": storage,
    "marker": marker,
    "redactions": redactions,
    "bundle": bundle,
}


def text_of(name: str) -> str:
    """A vector file as it should be."""
    return json.dumps(FILES[name](), indent=1, ensure_ascii=True) + "\n"


def main(arguments: list[str]) -> int:
    """Write the files, or compare them: 0 when all are as they should be."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    changed = []
    for name in FILES:
        path, text = FOLDER / f"{name}.json", text_of(name)
        if not path.exists() or path.read_text(encoding="ascii") != text:
            changed.append(name)
            if "--rewrite" in arguments:
                path.write_text(text, encoding="ascii")
    sys.stdout.write("".join(f"{name} differs\n" for name in changed))
    return 0 if "--rewrite" in arguments or not changed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
