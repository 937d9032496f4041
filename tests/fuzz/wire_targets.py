"""Decoders of what comes from the broker: frames, messages, batches, events, parts, topics."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

import msgspec
import zstandard

from hcom_replica.api.body import decoded, spliced
from hcom_replica.core.chain import links
from hcom_replica.core.hello import check_hello, read_system
from hcom_replica.core.parts import Assembler
from hcom_replica.core.verify import verify_batch
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.limits import INFLATED_BYTES_MAX, MIB
from hcom_replica.wire import bundle, messages
from hcom_replica.wire.batch import Batch, Commit, Descriptor, decode_batch, encode_batch
from hcom_replica.wire.codec import decoder, encode
from hcom_replica.wire.epoch import decode_notice, decode_record, open_record
from hcom_replica.wire.event import check_event, decode_event
from hcom_replica.wire.frame import Kind, Packed, close_frame, open_frame, pack, unpack
from hcom_replica.wire.messages import decode_vector, unpack_entries
from hcom_replica.wire.redaction import stated_redaction
from hcom_replica.wire.seal import seal
from hcom_replica.wire.signing import COMMIT, commit_digest, origin_hash
from hcom_replica.wire.topics import Topics
from tests.fuzz.target import INFLATING_PEAK_BYTES, PEAK_BYTES, Run, Target, stateless
from tests.fuzz.vectors import data, payloads, vectors
from tests.vectors import BATCH, DEVICE, KEYS, PAYLOAD, SECOND_EPOCH, SIGNER, STATE

_NONCE: Final = bytes(24)
_TOPIC: Final = str(vectors("envelope")["topic"])
_REFUSED: Final = (ProtocolError,)
_compress = zstandard.ZstdCompressor(level=3, write_content_size=True).compress
_PARTS: Final = [bytes.fromhex(part) for part in vectors("parts")["parts"]]


def _read_redaction(body: bytes) -> None:
    stated_redaction(KEYS.group, body)


def _read_record(encoded: bytes) -> None:
    open_record(KEYS.group, decode_record(KEYS.group, encoded), DEVICE)


def _read_notice(encoded: bytes) -> None:
    decode_notice(KEYS.group, encoded)


def _bombs() -> tuple[bytes, ...]:
    """Frames of zstd that become much larger than they are, or say other sizes than they have; codec in front."""
    honest = _compress(bytes(1 << 16))
    streamed = zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 5000)
    skippable = b"\x50\x2a\x4d\x18" + (200).to_bytes(4, "little") + bytes(200)
    at = honest.index((1 << 16).to_bytes(4, "little")[1:3]) if (1 << 16).to_bytes(4, "little")[1:3] in honest else 5
    lying = honest[:at] + b"\x00\x00\x00\x7f" + honest[at + 4 :]
    whole = (honest, honest + honest, honest[:-3], lying, streamed, skippable, skippable + honest)
    large = (_compress(bytes(INFLATED_BYTES_MAX)), _compress(bytes(INFLATED_BYTES_MAX + 1)), _compress(bytes(64 * MIB)))
    return tuple(b"\x01" + one for one in (*whole, *large))


def _many_records() -> bytes:
    """A batch of very many tiny records, which compresses to nothing: what the objects cost counts, not the bytes."""
    return b"\x97" + msgspec.msgpack.encode(BATCH)[1:56] + b"\x00" + b"\xdd\x00\x1f\x00\x00" + b"\xc4\x02ab" * 0x1F0000


def _unsealed(payload: bytes) -> None:
    open_frame(KEYS, _TOPIC, payload)


def _sealed(plain: bytes) -> None:
    """Whoever has the group's secret can seal anything."""
    open_frame(KEYS, _TOPIC, seal(KEYS, _TOPIC, plain, _NONCE))


def _signed(given: bytes) -> None:
    """A member signs anything: kind and codec in front, then the payload."""
    kind = Kind(1 + given[0] % 13) if given else Kind.HEAD
    codec = given[1] if len(given) > 1 else 0
    signer = None if kind in (Kind.LIVE, Kind.FENCE) else SIGNER
    open_frame(KEYS, _TOPIC, close_frame(KEYS, _TOPIC, kind, signer, Packed(codec, given[2:]), _NONCE))


def _inflated(given: bytes) -> None:
    unpack(Packed(given[0] if given else 0, given[1:]))


def _inflated_batch(given: bytes) -> None:
    decode_batch(unpack(Packed(given[0] if given else 0, given[1:])))


def _read_event(record: bytes) -> None:
    event = decode_event(record)
    check_event(event, record)
    spliced(event.body)
    decoded(event.body)


def _read_vector(payload: bytes) -> None:
    unpack_entries(decode_vector(payload).entries)


def _verified(payload: bytes) -> None:
    verify_batch(KEYS.group, decode_batch(payload), None)


def _signed_batch(payload: bytes) -> None:
    """A member's chain and signatures are always sound: only what it says may be odd."""
    batch = decode_batch(payload)
    prev = STATE.hash if batch.first == 1 else batch.prev
    tips = links(prev, batch.records, [decode_event(record).body for record in batch.records])
    commits, at, cum = [], 0, batch.cum
    for commit in batch.commits:
        upto = commit.seq - batch.first + 1
        cum += sum(map(len, batch.records[at:upto]))
        hlc = decode_event(batch.records[upto - 1]).hlc
        if not 0 <= hlc < 1 << 64 or cum >= 1 << 64 or commit.seq >= 1 << 64:
            raise ProtocolError("limit")
        digest = commit_digest(STATE.hash, commit.seq, hlc, cum, tips[upto - 1])
        commits.append(Commit(commit.seq, DEVICE.sign(COMMIT, digest)))
        at = upto
    known = None if batch.descriptor is not None else STATE
    sound = Batch(STATE.id, batch.first, prev, batch.cum, batch.records, commits, batch.descriptor)
    verify_batch(KEYS.group, decode_batch(encode_batch(sound)), known)


_decode_descriptor: Final = decoder(Descriptor)


def _read_descriptor(given: bytes) -> None:
    origin_hash(KEYS.group, _decode_descriptor(given))


def _read_system(body: bytes) -> None:
    for kind in ("_hello", "_name", "_retire", "_return", "_later"):
        read_system(kind, body)
    check_hello("_hello", body, DEVICE.public, STATE.incarnation)


def _read_bundle_head(given: bytes) -> None:
    head = bundle.read_head(BytesIO(given).read)
    head.notice({keys.check: keys for keys in (KEYS, SECOND_EPOCH)})


def _read_bundle_frame(given: bytes) -> None:
    """A member seals anything: the first byte says whether it stands first or behind a manifest."""
    head = bundle.BundleHead(KEYS.group, 1, KEYS.check, bytes(16))
    opener = bundle.Opener(KEYS, head)
    number = given[0] & 1 if given else 0
    if number:
        manifest = bundle.Manifest(DEVICE.public, STATE.incarnation, 0, "BOXE")
        opener.open(bundle.Sealer(KEYS, head).manifest(manifest, _NONCE)[bundle.LENGTH_BYTES :], 0)
    opener.open(seal(KEYS, f"bundle/{head.id.hex()}/{number}", given[1:], _NONCE), 0)


_BUNDLE_HEAD: Final = bytes.fromhex(vectors("bundle")["valid"][0]["data"])[: bundle.HEAD_BYTES]
_HEAD_WITH_NOTICE: Final = bytes.fromhex(vectors("bundle")["with_notice"])
_MANIFEST: Final = encode(bundle.Manifest(DEVICE.public, STATE.incarnation, 7, "BOXE"))


def _assembling() -> Run:
    """Parts on their way to a batch; the same assembler for all."""
    assembler = Assembler()

    def add(given: bytes) -> None:
        author = OriginId(given[:1] * 8)
        assembler.add(author, messages.decode_part(given[1:]))

    return add


def _split_topic(given: bytes) -> None:
    topics = Topics(KEYS)
    topic = given.decode(errors="replace")
    topics.parse(topic)
    topics.parse(f"{topics.prefix}/{topic}")


def _message(name: str, decode: Callable[[bytes], Any]) -> Target:
    return Target(name.lower().replace("_", " "), stateless(lambda given: _drop(decode(given))),
                  tuple(payloads(name)), _REFUSED)  # fmt: skip


def _drop(_: Any) -> None:
    """What was decoded is of no interest, only that it was."""


def _system_bodies() -> tuple[bytes, ...]:
    hello = decode_event(BATCH.records[0]).body
    return (hello, hello.replace(b"null", b'{"origin":"00","seq":1,"c":"ff"}', 1), b'{"name":"LUNA"}',
            b'{"device":"0011","last":{"0011223344556677":9}}', b'{"device":"00"}')  # fmt: skip


JSON_WORDS: Final = (
    b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u0000", b"\\ud800", b"\\u001b[31m", b"null", b"true", b"-", b"1e999",
    b"18446744073709551616", b"-1", b"1.5", b"9" * 400, b'"name":', b'"seq":', b'"last":{', b'{"a":', b",", b":",
    "\u202e".encode(), "\u009b".encode(), b"\x7f", b"\x1b", b"\xed\xa0\x80", b"\xff", b"\n", b" ",
)  # fmt: skip

TARGETS: Final = (
    Target("payload of an outsider", stateless(_unsealed),
           (*data("envelope"), *data("envelope", group="invalid"),
            *(bytes.fromhex(one["sealed"]) for one in vectors("messages")["valid"])), _REFUSED),
    Target("frame of a member", stateless(_sealed),
           (*(bytes((number, 0)) + payloads(kind)[0] for number, kind in ((6, "LIVE"), (13, "FENCE"))),
            bytes((6, 1)) + pack(PAYLOAD * 4).data, bytes((1, 0)) + bytes(108) + payloads("HEAD")[0]),
           _REFUSED, prefix=2, peak_bytes=INFLATING_PEAK_BYTES),
    Target("frame that a member signed", stateless(_signed),
           tuple(bytes((kind, codec)) + payload for kind in (0, 5, 7) for codec in (0, 1)
                 for payload in (payloads("HEAD")[0], pack(PAYLOAD * 4).data)),
           _REFUSED, prefix=2, weight=4, peak_bytes=INFLATING_PEAK_BYTES),
    Target("packed payload", stateless(_inflated), (*_bombs()[:-3], b"\x00plain", b"\x01" + pack(PAYLOAD * 4).data),
           _REFUSED, prefix=1, peak_bytes=INFLATING_PEAK_BYTES),
    Target("bomb", stateless(_inflated_batch), (*_bombs(), b"\x01" + _compress(_many_records())), _REFUSED,
           prefix=40, weight=1, peak_bytes=INFLATING_PEAK_BYTES),
    _message("HEAD", messages.decode_head),
    Target("vector", stateless(_read_vector), tuple(payloads("VECTOR")), _REFUSED),
    _message("INDEX", messages.decode_index),
    _message("STANDING", messages.decode_standing),
    _message("PRESENCE", messages.decode_presence),
    _message("WANT", messages.decode_want),
    _message("FILL", messages.decode_fill),
    _message("FILL_PART", messages.decode_fill_part),
    _message("ASK", messages.decode_ask),
    Target("part", _assembling, tuple(b"a" + part for part in _PARTS), _REFUSED, prefix=1,
           peak_bytes=INFLATING_PEAK_BYTES),
    Target("batch", stateless(_verified), (*payloads("LIVE"), *data("batches"), *data("batches", group="valid"),
            *data("redactions", group="batches"), *data("redactions", group="invalid")), _REFUSED, weight=6),
    Target("batch that a member signed", stateless(_signed_batch), (PAYLOAD, *data("batches", group="valid")),
           _REFUSED, weight=2),
    Target("event", stateless(_read_event), (*data("events", "record", "valid"), *data("events")), _REFUSED),
    Target("descriptor", stateless(_read_descriptor),
           (*data("origins", "descriptor", "valid"), *data("origins")), _REFUSED),
    Target("redaction", stateless(_read_redaction),
           (vectors("redactions")["statement"].encode(), *(b["body"].encode() for b in
            vectors("redactions")["statements_that_prove_nothing"])), _REFUSED, words=JSON_WORDS),
    Target("epoch record", stateless(_read_record),
           (bytes.fromhex(vectors("epochs")["record"]["encoded"]), *data("epochs", group="invalid")), _REFUSED),
    Target("notice", stateless(_read_notice), (bytes.fromhex(vectors("epochs")["notice"]),), _REFUSED),
    _message("REKEY", messages.decode_rekey),
    _message("GONE", messages.decode_gone),
    Target("head of a bundle", stateless(_read_bundle_head), (_BUNDLE_HEAD, _HEAD_WITH_NOTICE), _REFUSED, prefix=81),
    Target("frame of a bundle", stateless(_read_bundle_frame),
           (b"\x00\x01\x00" + _MANIFEST, b"\x01\x02\x00" + PAYLOAD, b"\x01\x02\x01" + pack(PAYLOAD * 4).data,
            b"\x01\x03\x00" + encode(bundle.End(1, 0, bytes(64)))),
           _REFUSED, prefix=3, peak_bytes=INFLATING_PEAK_BYTES),
    Target("system event", stateless(_read_system), _system_bodies(), _REFUSED, words=JSON_WORDS),
    Target("topic", stateless(_split_topic), tuple(one["topic"].encode() for one in vectors("messages")["valid"]),
           _REFUSED, words=(b"/", b"+", b"#", b"$SYS", b"\x00", b"..", "\u0663".encode(), b"-1", b"99999"),
           peak_bytes=PEAK_BYTES),
)  # fmt: skip
