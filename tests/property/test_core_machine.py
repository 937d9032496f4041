"""Hostile members: whatever a machine is sent, nothing is raised, nothing unsigned is stored, and it goes on."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hcom_replica.core.chain import walk
from hcom_replica.core.effects import Now
from hcom_replica.core.membership import Viewer
from hcom_replica.core.settings import Settings
from hcom_replica.core.status import DaemonStatus, StatusInput, build_status
from hcom_replica.wire.batch import Batch, Commit, Descriptor, encode_batch
from hcom_replica.wire.codec import U64_MAX
from hcom_replica.wire.epoch import encode_notice
from hcom_replica.wire.event import Draft, encode_event
from hcom_replica.wire.frame import Kind, Packed, close_frame
from hcom_replica.wire.redaction import sign_redaction, statement
from hcom_replica.wire.signing import COMMIT, commit_digest, root_hash, short
from tests.unit.core.builders import KEYS, TOPICS, Device, draft, noise
from tests.unit.core.host import Host
from tests.vectors import notice

VICTIM = Device("BOXE")
VICTIM.append(*noise(3, 300))
MEMBER = Device("NOVA")
MEMBER.append(draft(b"1"))
ORIGINS = [VICTIM.own.id, MEMBER.own.id, b"nobody--"]

NUMBERS = st.one_of(
    st.sampled_from([0, 1, 2, 3, 5, 255, 256, 4095, 4096, 1 << 31, 1 << 32, 1 << 63, U64_MAX - 1, U64_MAX]),
    st.integers(0, U64_MAX),
    st.integers(-2, 10),
)
SMALL = st.integers(0, 6)
BYTES = st.one_of(
    st.sampled_from([b"", bytes(8), bytes(12), bytes(32), bytes(64), *ORIGINS, VICTIM.own.hash, MEMBER.own.hash]),
    st.binary(max_size=100),
)
ID = st.sampled_from(ORIGINS)
HASH = st.sampled_from([bytes(32), VICTIM.own.hash, MEMBER.own.hash, VICTIM.own.tip])
SIG = st.sampled_from([bytes(64), b"\xff" * 64])
ANY = st.recursive(
    st.one_of(NUMBERS, BYTES, st.text(max_size=20), st.none(), st.booleans(), st.floats()),
    lambda inner: st.one_of(st.lists(inner, max_size=8), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=20,
)
ITEM = st.tuples(st.one_of(ID, HASH), NUMBERS, NUMBERS)
SEGMENT = st.tuples(ID, NUMBERS, NUMBERS, st.binary(min_size=8, max_size=8), SMALL, st.integers(1, 4), NUMBERS)
ENTRIES = st.lists(
    st.builds(lambda o, n, d: o + max(0, n).to_bytes(8, "big") + d, ID, NUMBERS, st.binary(min_size=8, max_size=8)),
    max_size=4,
).map(b"".join)
PART = st.tuples(st.binary(min_size=16, max_size=16), SMALL, st.integers(1, 4), ID, NUMBERS, st.binary(max_size=30))
DESCRIPTOR = st.one_of(
    st.none(),
    st.tuples(HASH, st.binary(min_size=12, max_size=12), st.lists(st.tuples(NUMBERS, HASH), max_size=2)),
    st.just((MEMBER.own.key, MEMBER.own.incarnation, ())),
    st.tuples(st.just(MEMBER.own.key), st.just(MEMBER.own.incarnation), st.lists(st.tuples(NUMBERS, HASH), max_size=2)),
)
RECORDS = st.lists(
    st.one_of(st.sampled_from(MEMBER.batch().records), BYTES, st.binary(max_size=150).map(b"\xc1".__add__)),
    min_size=1,
    max_size=3,
)


def batch_of(
    origin: bytes, first: int, prev: bytes, cum: int, records: list[bytes], signature: bytes, descriptor: Any
) -> list[Any]:
    """A batch that ends at a commit, as an array."""
    return [origin, first, prev, cum, records, [[first + len(records) - 1, signature]], descriptor]


def packed(value: Any) -> bytes:
    """Its encoding; nothing for what msgpack cannot hold."""
    return msgspec.msgpack.encode(value) if _fits(value) else b""


BATCH = st.builds(batch_of, ID, NUMBERS, HASH, NUMBERS, RECORDS, SIG, DESCRIPTOR)
LINE = SEGMENT.flatmap(lambda fields: st.tuples(st.integers(0, 40), *map(st.just, fields)))
PAGES = st.one_of(SMALL, st.just(0xFFFF))
SHAPES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.HEAD: st.tuples(
        NUMBERS, NUMBERS, st.text(max_size=16), NUMBERS, NUMBERS, HASH, SIG, NUMBERS, NUMBERS, NUMBERS
    ),
    Kind.VECTOR: st.tuples(NUMBERS, NUMBERS, PAGES, st.booleans(), st.one_of(ENTRIES, BYTES)),
    Kind.INDEX: st.tuples(NUMBERS, NUMBERS, st.integers(0, 0xFFFF), st.lists(LINE, max_size=5)),
    Kind.STANDING: st.tuples(NUMBERS, NUMBERS, st.lists(ITEM, max_size=4)),
    Kind.PRESENCE: st.tuples(NUMBERS, NUMBERS, st.booleans()),
    Kind.LIVE: BATCH,
    Kind.WANT: st.tuples(NUMBERS, ID, st.integers(0, 4 << 20), st.lists(ITEM, max_size=4)),
    Kind.FILL: st.tuples(NUMBERS, st.booleans(), st.integers(0, 2), st.one_of(BYTES, BATCH.map(packed))),
    Kind.FILL_PART: st.tuples(NUMBERS, st.booleans(), PART),
    Kind.SEGMENT: BATCH,
    Kind.SEGMENT_PART: PART,
    Kind.ASK: st.tuples(NUMBERS, st.one_of(st.none(), ID), NUMBERS),
    Kind.REKEY: st.tuples(NUMBERS, NUMBERS, st.one_of(st.binary(max_size=99), st.just(encode_notice(notice())))),
    Kind.GONE: st.tuples(
        NUMBERS,
        NUMBERS,
        NUMBERS,
        NUMBERS,
        ID,
        st.sampled_from(["mqtt://h:1", "mqtts://[::1]:9", "http://x", ""]),
        st.lists(st.tuples(HASH, NUMBERS, HASH, SIG), max_size=2),
    ),
    Kind.FENCE: BYTES,
}
INCARNATION = (7).to_bytes(4, "big") + b"hostile!"
ROOT = root_hash(KEYS.group, MEMBER.key.public, INCARNATION)
TEXT = st.one_of(
    st.sampled_from([origin.hex() for origin in ORIGINS] + ["", "zz", "00", MEMBER.key.public.hex(), "BOXE"]),
    st.text(max_size=20),
)
ANY_INT = st.one_of(NUMBERS, st.integers())
SYSTEM = st.one_of(
    st.tuples(st.just("_name"), st.fixed_dictionaries({"name": TEXT})),
    st.tuples(st.just("_retire"), st.fixed_dictionaries(
        {"device": TEXT, "last": st.dictionaries(TEXT, ANY_INT, max_size=3)})),
    st.tuples(st.just("_return"), st.fixed_dictionaries({"device": TEXT})),
    st.tuples(st.just("_redact"), st.builds(
        lambda seq, tip: json.loads(
            statement(sign_redaction(MEMBER.key, ROOT, seq, tip), MEMBER.key.public, INCARNATION)),
        st.integers(0, U64_MAX), HASH)),
    st.tuples(st.just("_redact"), st.fixed_dictionaries(
        {"origin": TEXT, "key": TEXT, "incarnation": TEXT, "seq": ANY_INT, "c": TEXT, "signature": TEXT})),
    st.tuples(st.just("_admit"), st.fixed_dictionaries({"certificates": st.lists(st.tuples(TEXT, ANY_INT, TEXT))})),
    st.tuples(st.just("_move"), st.fixed_dictionaries({"number": ANY_INT, "broker": st.just("mqtt://h:1")})),
    st.tuples(st.just("_epoch"), st.fixed_dictionaries({"record": TEXT})),
    st.tuples(st.just("_adopt"), st.fixed_dictionaries(
        {"epoch": TEXT, "held": st.dictionaries(TEXT, ANY_INT, max_size=3), "notice": st.one_of(st.none(), TEXT)})),
    st.tuples(st.sampled_from(["_hello", "_later", "plain"]), st.dictionaries(TEXT, ANY_INT, max_size=3)),
)  # fmt: skip
LINK = st.one_of(st.none(), st.fixed_dictionaries({"origin": TEXT, "seq": ANY_INT, "c": TEXT}))


@st.composite
def signed_batch(draw: st.DrawFn) -> bytes:
    """A batch that verifies, or nearly: system events of any content by a member that knows how to sign."""
    hello = {
        "key": MEMBER.key.public.hex(), "incarnation": INCARNATION.hex(),
        "name": draw(TEXT)[:16], "link": draw(LINK), "epoch": "", "reason": "",
    }  # fmt: skip
    drafts = [Draft("_hello", None, None, json.dumps(hello).encode())]
    drafts += [Draft(kind, None, None, json.dumps(body).encode()) for kind, body in draw(st.lists(SYSTEM, max_size=3))]
    hlcs = sorted(draw(st.sets(st.one_of(st.integers(1, 100), st.integers(1, U64_MAX)), min_size=4, max_size=4)))
    records = [encode_event(hlc, item) for hlc, item in zip(hlcs, drafts, strict=False)]
    cum, tip = draw(st.sampled_from([0, 0, 0, 1, U64_MAX])), walk(ROOT, records)
    total = min(U64_MAX, cum + sum(map(len, records)))
    digest = commit_digest(ROOT, len(records), hlcs[len(records) - 1], total, tip)
    commit = Commit(len(records), MEMBER.key.sign(COMMIT, digest))
    descriptor = Descriptor(MEMBER.key.public, INCARNATION, ())
    return encode_batch(Batch(short(ROOT), 1, ROOT, cum, records, [commit], descriptor))


@st.composite
def signed_head(draw: st.DrawFn) -> tuple[Any, ...]:
    """A head whose commit is truly signed, for an origin that says it has any length."""
    own = MEMBER.own
    seq, hlc, cum = (draw(st.one_of(st.integers(0, 9), st.integers(0, U64_MAX))) for _ in range(3))
    signature = MEMBER.key.sign(COMMIT, commit_digest(own.hash, seq, hlc, cum, own.tip))
    return (draw(NUMBERS), draw(NUMBERS), draw(st.text(max_size=16)), seq, hlc, own.tip, signature, cum,
            draw(NUMBERS), draw(NUMBERS))  # fmt: skip


GROUPS = {Kind.LIVE: "l", Kind.WANT: "w", Kind.FILL: "b", Kind.FILL_PART: "b", Kind.SEGMENT: "m",
          Kind.SEGMENT_PART: "m", Kind.ASK: "a", Kind.FENCE: "f"}  # fmt: skip


def _fits(value: Any) -> bool:
    try:
        msgspec.msgpack.encode(value)
    except OverflowError:
        return False
    return True


def topic_of(kind: Kind, tail: str) -> str:
    group = GROUPS.get(kind, kind.name[0].lower())
    leaf = TOPICS.leaf(MEMBER.own.id)
    base = f"{TOPICS.prefix}/{group}"
    if group in "lwa":
        return base
    return f"{base}/{leaf}{tail}"


_ODD = ["/x", "/-1", "/0/0", "/\u0663", "/10000"]
TAILS = {kind: (["/0", "/1", "/31", "/9999", *_ODD] if kind in (Kind.VECTOR, Kind.SEGMENT, Kind.SEGMENT_PART)
                else ["", "", "", *_ODD]) for kind in Kind}  # fmt: skip


@st.composite
def hostile(draw: st.DrawFn) -> tuple[str, bytes]:
    """A message that a member signs truly, with any content."""
    kind = draw(st.sampled_from(list(Kind)))
    special = {Kind.LIVE: signed_batch(), Kind.SEGMENT: signed_batch(), Kind.HEAD: signed_head()}
    likely = special.get(kind, SHAPES[kind])
    value = draw(st.one_of(likely, likely, SHAPES[kind], ANY))
    data = value if isinstance(value, bytes) else msgspec.msgpack.encode(value) if _fits(value) else b"\xc1"
    if draw(st.integers(0, 9)) == 9:
        data = draw(st.one_of(st.binary(max_size=60), st.just(data[:-1]), st.just(data + b"\0")))
    tail = draw(st.sampled_from(TAILS[kind]))
    topic = topic_of(kind, tail)
    codec = draw(st.sampled_from([0] * 8 + [1, 2]))
    signer = None if kind in (Kind.LIVE, Kind.FENCE) else MEMBER.signer
    return topic, close_frame(KEYS, topic, kind, signer, Packed(codec, data), bytes(24))


def status_input(host: Host, now: Now) -> StatusInput:
    log = host.device.log
    return StatusInput(
        Viewer(host.device.key, KEYS, b""), "BOXE", [*log.peers()], now.wall_ms, log.event_count(),
        DaemonStatus(running=True, pid=1), None, host.machine.live_info(), str,
    )  # fmt: skip


def victim() -> Host:
    device = VICTIM.clone()
    device.log.ingest([MEMBER.run()], 0)
    return Host(device, Settings(mailbox_slots=4)).connect()


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(st.tuples(hostile(), st.booleans(), st.sampled_from([0, 300, 5_000])), min_size=1, max_size=6))
def test_machine_under_hostile_members_goes_on(steps: list[tuple[tuple[str, bytes], bool, int]]) -> None:
    """P5.4: dropped, counted, and held against nobody but the sender."""
    host = victim()
    for (topic, payload), retain, ms in steps:
        host.hear(topic, payload, retain=retain)
        host.run(ms)
    honest = Device("LUNA")
    honest.append(draft(b"honest"))
    host.hear(TOPICS.live, honest.sealed(Kind.LIVE, TOPICS.live, honest.batch_bytes()))
    assert host.device.log.origin_state(honest.own.id) is not None
    host.machine.live_info()
    host.machine.wait_result()
    number = host.machine.start_flush(host.now, None)
    host.run(40_000, step_ms=1_000)
    host.machine.flush_result(number)
    build_status(host.device.log, status_input(host, host.now))
    host.disconnect()
    host.connect()


@given(st.binary(max_size=300), st.sampled_from([TOPICS.live, TOPICS.want, "elsewhere", TOPICS.head(VICTIM.own.id)]))
@example(b"", TOPICS.live)
def test_machine_under_arbitrary_bytes_counts_and_drops_them(payload: bytes, topic: str) -> None:
    host = Host(VICTIM.clone())
    host.machine.received(host.now, topic, payload, retain=False)
    if payload:
        assert sum(host.dropped().values()) == 1
