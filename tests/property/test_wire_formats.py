"""Round trips of every format, and bytes of any kind: nothing but ProtocolError is ever raised (P5.4)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec.inspect as mi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcom_replica.core.chain import chained
from hcom_replica.errors import ProtocolError, TokenError
from hcom_replica.ids import OriginId
from hcom_replica.wire.batch import Batch, Descriptor, decode_batch
from hcom_replica.wire.codec import decoder, encode
from hcom_replica.wire.event import (
    BODY_BYTES_MAX,
    Draft,
    RedactedEvent,
    check_event,
    decode_event,
    encode_event,
    encoded_bytes,
    is_system,
)
from hcom_replica.wire.frame import ZSTD, Kind, Packed, Signer, close_frame, open_frame, pack, unpack
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.messages import (
    Ack,
    Ask,
    Fill,
    FillPart,
    Head,
    Index,
    Part,
    Presence,
    Standing,
    VectorPage,
    Want,
    pack_entries,
    unpack_entries,
)
from hcom_replica.wire.redaction import Redaction, redacted
from hcom_replica.wire.seal import seal, unseal
from hcom_replica.wire.signing import DeviceKey, root_hash, short
from hcom_replica.wire.token import JoinToken, decode_token
from hcom_replica.wire.topics import Topics

KEYS = GroupKeys(bytes(16), bytes(32))
TOPICS = Topics(KEYS)
KEY = DeviceKey(bytes(32))
INCARNATION = (1).to_bytes(4, "big") + bytes(8)
SIGNER = Signer(KEY, INCARNATION, short(root_hash(KEYS.group, KEY.public, INCARNATION)))
TYPES: list[type[Any]] = [
    Ask, Batch, Descriptor, Fill, FillPart, Head, Index, Part, Presence, Standing, VectorPage, Want,
]  # fmt: skip
NONCE = bytes(24)
U64 = st.integers(0, (1 << 64) - 1)


def sound(kind: mi.Type) -> st.SearchStrategy[Any]:
    """Values within the limits that a type states."""
    if isinstance(kind, mi.StructType):
        return st.builds(kind.cls, *(sound(field.type) for field in kind.fields))
    if isinstance(kind, mi.UnionType):
        return st.one_of(*(sound(one) for one in kind.types))
    if isinstance(kind, mi.ListType | mi.VarTupleType):
        low = kind.min_length or 0
        many = st.lists(sound(kind.item_type), min_size=low, max_size=min(kind.max_length or 3, low + 3))
        return many if isinstance(kind, mi.ListType) else many.map(tuple)
    return PLAIN[type(kind)](kind)


def _bytes(kind: Any) -> st.SearchStrategy[bytes]:
    low = kind.min_length or 0
    return st.binary(min_size=low, max_size=min(kind.max_length if kind.max_length is not None else 99, low + 99))


def _integers(kind: Any) -> st.SearchStrategy[int]:
    return st.integers(kind.ge or 0, kind.le if kind.le is not None else (1 << 64) - 1)


PLAIN: dict[type[mi.Type], Callable[[Any], st.SearchStrategy[Any]]] = {
    mi.BytesType: _bytes,
    mi.IntType: _integers,
    mi.StrType: lambda kind: st.text(max_size=kind.max_length),
    mi.BoolType: lambda _: st.booleans(),
    mi.NoneType: lambda _: st.none(),
}


@pytest.mark.parametrize("kind", TYPES)
def test_structure_of_any_content_comes_back_as_it_was(kind: type[Any]) -> None:
    @given(sound(mi.type_info(kind)))
    def check(value: Any) -> None:
        data = encode(value)
        assert decoder(kind)(data) == value
        with pytest.raises(ProtocolError):
            decoder(kind)(data + b"\x00")
        with pytest.raises(ProtocolError):
            decoder(kind)(data[:-1])

    check()


@pytest.mark.parametrize("kind", TYPES)
def test_structure_of_any_bytes_is_refused_or_read(kind: type[Any]) -> None:
    decode = decode_batch if kind is Batch else decoder(kind)

    @given(st.one_of(st.binary(max_size=200), sound(mi.type_info(kind)).map(encode).flatmap(mutated)))
    def check(data: bytes) -> None:
        _only_protocol_errors(decode, data)

    check()


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """Some bytes with a few of them changed, left out or put in."""

    def change(edits: list[tuple[int, int, bytes]]) -> bytes:
        result = data
        for at, length, new in edits:
            start = at % (len(result) + 1)
            result = result[:start] + new + result[start + length :]
        return result

    edit = st.tuples(st.integers(0, 1 << 16), st.integers(0, 3), st.binary(max_size=3))
    return st.lists(edit, min_size=1, max_size=4).map(change)


def _only_protocol_errors(run: Callable[..., Any], *arguments: Any) -> None:
    with suppress(ProtocolError):
        run(*arguments)


@given(
    U64,
    st.text(max_size=70),
    st.none() | st.text(max_size=260),
    st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
    st.binary(),
)
def test_event_of_any_content_keeps_its_bytes(
    hlc: int, kind: str, agent: str | None, time: int | None, body: bytes
) -> None:
    """P3.1: the body is the tail"""
    record = encode_event(hlc, Draft(kind, agent, time, body))
    event = decode_event(record)
    assert (event.hlc, event.kind, event.agent, event.time, event.body) == (hlc, kind, agent, time, body)
    assert record.endswith(body)
    _only_protocol_errors(check_event, event, record)


@given(st.binary(max_size=100))
def test_event_of_any_bytes_is_refused_or_read(data: bytes) -> None:
    def read(record: bytes) -> None:
        check_event(decode_event(record), record)

    _only_protocol_errors(read, data)


DRAFTS = st.builds(
    Draft,
    st.text(min_size=1, max_size=20).filter(lambda kind: not is_system(kind)),
    st.none() | st.text(min_size=1, max_size=20),
    st.none() | st.integers(-(1 << 63) + 1, (1 << 63) - 1),
    st.one_of(st.binary(), st.sampled_from([b"", bytes(255), bytes(256), bytes(65_535), bytes(65_536)])),
)


@given(U64, DRAFTS, st.binary(min_size=32, max_size=32))
def test_redacted_event_keeps_all_but_its_body(hlc: int, draft: Draft, before: bytes) -> None:
    """P3.9, P4.1, P4.2: fields, size and chain are those of the event."""
    record = encode_event(hlc, draft)
    event = decode_event(record)
    gone = redacted(record, event, Redaction(bytes(32), 1, bytes(32), b"s" * 64))
    found = decode_event(gone)
    assert isinstance(found, RedactedEvent)
    assert (found.hlc, found.kind, found.agent, found.time) == (hlc, draft.kind, draft.agent, draft.time)
    assert (found.body, found.length, found.signature) == (b"", len(draft.body), b"s" * 64)
    assert encoded_bytes([gone, record]) == 2 * len(record)
    assert chained(before, [gone], [found]) == chained(before, [record], [event])
    assert chained(before, [record, gone], [event, found]) == chained(before, [record] * 2, [event] * 2)


@given(
    st.one_of(
        st.binary(max_size=150),
        st.builds(
            lambda hlc, draft: redacted(
                encode_event(hlc, draft),
                decode_event(encode_event(hlc, draft)),
                Redaction(bytes(32), 1, bytes(32), bytes(64)),
            )[1:],
            U64,
            DRAFTS,
        ).flatmap(mutated),
    )
)
def test_redacted_record_of_any_bytes_is_refused_or_read(data: bytes) -> None:
    """P3.9, P5.4: what is read has the header and the length of an event, within its limits."""
    record = b"\xc1" + data

    def read() -> None:
        event = decode_event(record)
        check_event(event, record)
        assert isinstance(event, RedactedEvent)
        assert record.endswith(event.header)
        whole = decode_event(event.header + bytes(event.length))
        assert (whole.hlc, whole.kind, whole.agent, whole.time) == (event.hlc, event.kind, event.agent, event.time)
        assert len(whole.body) == event.length <= BODY_BYTES_MAX
        assert encoded_bytes([record]) == len(event.header) + event.length

    _only_protocol_errors(read)


@given(st.binary(max_size=5_000))
def test_packed_payload_comes_back_as_it_was(data: bytes) -> None:
    packed = pack(data)
    assert unpack(packed) == data
    assert len(packed.data) <= len(data)


@given(st.integers(0, 300), st.one_of(st.binary(max_size=100), st.binary(min_size=200, max_size=400).map(
    lambda data: pack(data * 3).data).flatmap(mutated)))  # fmt: skip
def test_packed_payload_of_any_bytes_is_refused_or_inflates_within_its_limit(codec: int, data: bytes) -> None:
    """P5.4: sizes before allocating"""
    limit = 1_000

    def inflate() -> None:
        assert len(unpack(Packed(codec, data), limit)) <= max(limit, len(data))

    _only_protocol_errors(inflate)


def test_packed_payload_that_inflates_beyond_the_limit_is_refused() -> None:
    """P5.4: a decompression bomb"""
    packed = pack(bytes(9 << 20))
    assert packed.codec == ZSTD
    assert len(packed.data) < 2_000
    with pytest.raises(ProtocolError) as error:
        unpack(packed)
    assert error.value.reason == "size"


FRAMES = st.sampled_from(list(Kind))


@given(FRAMES, st.binary(max_size=300))
def test_frame_comes_back_as_it_was(kind: Kind, payload: bytes) -> None:
    signer = None if kind in (Kind.LIVE, Kind.FENCE) else SIGNER
    sealed = close_frame(KEYS, TOPICS.live, kind, signer, pack(payload), NONCE)
    frame = open_frame(KEYS, TOPICS.live, sealed)
    assert (frame.kind, frame.payload) == (kind, payload)
    assert (frame.author is None) is (signer is None)
    if frame.author is not None:
        assert frame.author == (KEY.public, INCARNATION, SIGNER.origin)


@given(FRAMES, st.data())
def test_frame_changed_anywhere_is_refused(kind: Kind, data: st.DataObject) -> None:
    """P5.1, P5.3"""
    signer = None if kind in (Kind.LIVE, Kind.FENCE) else SIGNER
    sealed = close_frame(KEYS, TOPICS.live, kind, signer, Packed(0, b"payload"), NONCE)
    changed = data.draw(mutated(sealed))
    if changed == sealed:
        return
    with pytest.raises(ProtocolError):
        open_frame(KEYS, TOPICS.live, changed)


@given(st.one_of(st.binary(max_size=200), st.integers(0, 15).flatmap(lambda kind: st.binary(max_size=200).map(
    lambda rest: bytes((kind,)) + rest))))  # fmt: skip
def test_frame_that_a_member_seals_around_any_bytes_is_refused_or_read(plain: bytes) -> None:
    """Whoever has the group's secret can seal anything."""
    _only_protocol_errors(open_frame, KEYS, TOPICS.live, seal(KEYS, TOPICS.live, plain, NONCE))


@given(st.binary(max_size=200))
def test_payload_of_any_bytes_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        unseal(KEYS, TOPICS.live, data)


@given(
    st.dictionaries(st.binary(min_size=8, max_size=8), st.tuples(U64, st.binary(min_size=8, max_size=8)), max_size=20)
)
def test_vector_entries_come_back_as_they_were(entries: dict[bytes, tuple[int, bytes]]) -> None:
    typed = {OriginId(origin): Ack(*ack) for origin, ack in entries.items()}
    assert unpack_entries(pack_entries(typed.items())) == typed


@given(st.binary(max_size=100))
def test_vector_entries_of_any_bytes_are_refused_or_read(data: bytes) -> None:
    _only_protocol_errors(unpack_entries, data)


URLS = st.lists(st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=30), max_size=4)


BYTES32 = st.binary(min_size=32, max_size=32)


@given(st.binary(min_size=16, max_size=16), BYTES32, st.integers(1, (1 << 32) - 1), URLS, BYTES32)
def test_token_comes_back_as_it_was(
    group: bytes, secret: bytes, epoch: int, brokers: list[str], founder: bytes
) -> None:
    token = JoinToken(GroupKeys(group, secret, epoch), tuple(brokers), founder)
    assert decode_token(token.encode()) == token


@given(st.data())
def test_token_mistyped_anywhere_is_refused_or_means_the_same(data: st.DataObject) -> None:
    """The last character has bits that mean nothing."""
    token = JoinToken(KEYS, ("mqtts://broker.example",), bytes(32))
    text = token.encode()
    at = data.draw(st.integers(0, len(text) - 1))
    wrong = text[:at] + data.draw(st.characters(codec="ascii", min_codepoint=33)) + text[at + 1 :]
    with suppress(TokenError):
        assert decode_token(wrong) == token


@given(st.text(max_size=200), st.booleans())
def test_token_of_any_text_is_refused(text: str, prefixed: bool) -> None:
    with pytest.raises(TokenError):
        decode_token(f"hcr1_{text}" if prefixed else text)


@given(st.text(max_size=60))
def test_topic_of_any_text_is_split_or_is_none_of_ours(text: str) -> None:
    assert TOPICS.parse(text) == ("", [])
    group, leaves = TOPICS.parse(f"{TOPICS.prefix}/{text}")
    assert "/".join([group, *leaves]) == text
