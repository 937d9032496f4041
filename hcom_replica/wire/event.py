"""The event: its encoding, and the split into header and body (protocol-v1 section 3).

Owns the only place where events are encoded or decoded. An encoded event (a *record*) is never encoded again:
it is stored, hashed and sent as its writer made it, or, once redacted, with its hash in the place of its body.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hcom_replica.errors import LimitError, ProtocolError
from hcom_replica.limits import AGENT_BYTES_MAX, EVENT_BYTES_MAX, KIND_BYTES_MAX

HEADER_BYTES_MAX: Final = 1024
BODY_BYTES_MAX: Final = EVENT_BYTES_MAX - HEADER_BYTES_MAX
HLC_MAX: Final = (1 << 64) - 1
TIME_US_MAX: Final = (1 << 63) - 1

REDACTED: Final = b"\xc1"
"""First byte of a redacted record: the one that no MessagePack begins with."""

_LENGTH_AT: Final = 1
_BODY_HASH_AT: Final = _LENGTH_AT + 4
_SIGNATURE_AT: Final = _BODY_HASH_AT + 32
_HEADER_AT: Final = _SIGNATURE_AT + 64
_BODY_PREFIXES: Final = ((b"\xc4", 1), (b"\xc5", 2), (b"\xc6", 4))
"""How a binary field begins: a byte, then its length in so many bytes."""

_NO_BODY: Final = b"\xc4\x00"


class Event(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False):
    """One event as it is encoded.

    Attributes:
        hlc: hybrid logical time, milliseconds << 16 | counter.
        kind: what it is; `_` in front marks a system event.
        agent: who did it on its device, or None.
        time: the writer's claimed time, microseconds since 1970 UTC, or None.
        body: opaque bytes; JSON text for what the command line writes.
    """

    hlc: int
    kind: str
    agent: str | None
    time: int | None
    body: bytes


class RedactedEvent(Event, frozen=True, gc=False):
    """An event whose body is gone for good: `body` is empty, and everything else stands (P3.9).

    Attributes:
        header: what stood before the body, as it was written.
        length: bytes of the body, from 0.
        body_hash: H(body), 32 bytes.
        signature: of the key that wrote the event, 64 bytes; see `redaction`.
    """

    header: bytes
    length: int
    body_hash: bytes
    signature: bytes


class Draft(msgspec.Struct, frozen=True, gc=False):
    """An event to be appended: everything but its place in the log."""

    kind: str
    agent: str | None = None
    time: int | None = None
    body: bytes = b"null"


_encode = msgspec.msgpack.Encoder().encode
_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode = msgspec.msgpack.Decoder(Event).decode


def encode_event(hlc: int, draft: Draft) -> bytes:
    """Encode an event. The body is the tail of the result (P3.1)."""
    return _encode((hlc, draft.kind, draft.agent, draft.time, draft.body))  # as an Event, without making one


def decode_event(record: bytes) -> Event:
    """Decode a record that this device has stored, and therefore checked before; a `RedactedEvent` for a redacted one.

    Raises:
        ProtocolError: `format`, or `limit` for a redacted one; nothing was changed.
    """
    try:
        return _decode(record)
    except _UNDECODABLE as error:
        if record[:1] == REDACTED:  # looked at only here, because nearly all records are none
            return _decode_redacted(record)
        raise ProtocolError("format", f"event: {error}") from None


def decode_events(records: Sequence[bytes]) -> tuple[list[Event], bool]:
    """Decode records, and tell whether each is whole, that is none of them redacted; see `decode_event`."""
    events = sound_events(records)
    return (list(map(decode_event, records)), False) if events is None else (events, True)


def sound_events(records: Sequence[bytes]) -> list[Event] | None:
    """Decode records; None when one of them is damaged or redacted."""
    try:
        return list(map(_decode, records))
    except _UNDECODABLE:
        return None


def _decode_redacted(record: bytes) -> RedactedEvent:
    """Decode a redacted record (P3.9). What an event of its header and length would not be, it is not either."""
    length, header = int.from_bytes(record[_LENGTH_AT:_BODY_HASH_AT], "big"), record[_HEADER_AT:]
    if len(header) > HEADER_BYTES_MAX or length > BODY_BYTES_MAX:
        raise ProtocolError("limit", "redacted event: size")
    prefix = next((p for p in _prefixes(length) if header.endswith(p)), None)
    if prefix is None:
        raise ProtocolError("format", "redacted event: cut off, or its header tells another length")
    event = decode_event(header[: -len(prefix)] + _NO_BODY)
    if event.body or isinstance(event, RedactedEvent):
        raise ProtocolError("format", "redacted event: its header does not end where the body begins")
    if is_system(event.kind):
        raise ProtocolError("format", "redacted event: a system event")
    return RedactedEvent(
        event.hlc,
        event.kind,
        event.agent,
        event.time,
        b"",
        header,
        length,
        record[_BODY_HASH_AT:_SIGNATURE_AT],
        record[_SIGNATURE_AT:_HEADER_AT],
    )


def _prefixes(length: int) -> list[bytes]:
    """What may stand before a body of a length; no header ends with two of them."""
    return [mark + length.to_bytes(size, "big") for mark, size in _BODY_PREFIXES if length < 1 << 8 * size]


def encode_redacted(record: bytes, event: Event, body_hash: bytes, signature: bytes) -> bytes:
    """Make the redacted record of an event.

    Args:
        record: encoded event.
        event: the same, decoded, its body not gone yet.
        body_hash: H(body), 32 bytes.
        signature: 64 bytes.
    """
    length = len(event.body)
    return REDACTED + length.to_bytes(4, "big") + body_hash + signature + record[: len(record) - length]


def encoded_bytes(records: Sequence[bytes]) -> int:
    """Bytes of records, none of them empty, as their writer encoded them: a body that is gone counts all the same."""
    return sum(map(len, records)) + sum(_gone_bytes(record) for record in records if record[0] == REDACTED[0])


def _gone_bytes(record: bytes) -> int:
    return int.from_bytes(record[_LENGTH_AT:_BODY_HASH_AT], "big") - _HEADER_AT


def check_event(event: Event, record: bytes) -> None:
    """Check the limits of an event that came from outside.

    Raises:
        ProtocolError: `limit` or `format`.
    """
    if not (0 <= event.hlc <= HLC_MAX) or len(record) > EVENT_BYTES_MAX or len(event.body) > BODY_BYTES_MAX:
        raise ProtocolError("limit", "event: hlc or size")
    if not event.kind or len(event.kind.encode()) > KIND_BYTES_MAX:
        raise ProtocolError("limit", "event: kind")
    if event.agent is not None and not (0 < len(event.agent.encode()) <= AGENT_BYTES_MAX):
        raise ProtocolError("limit", "event: agent")
    if event.time is not None and not (-TIME_US_MAX <= event.time <= TIME_US_MAX):
        raise ProtocolError("limit", "event: time")
    if not record.endswith(event.body):
        raise ProtocolError("format", "event: the body is not its tail")


def check_draft(draft: Draft) -> None:
    """Check an event before it is appended here.

    Raises:
        LimitError: the field that is over its limit, with the limit; nothing was appended.
    """
    if not draft.kind or len(_utf8(draft.kind, "kind")) > KIND_BYTES_MAX:
        raise LimitError(f"kind must be 1 to {KIND_BYTES_MAX} bytes of UTF-8")
    if draft.agent is not None and not (0 < len(_utf8(draft.agent, "agent")) <= AGENT_BYTES_MAX):
        raise LimitError(f"agent must be 1 to {AGENT_BYTES_MAX} bytes of UTF-8")
    if draft.time is not None and not (-TIME_US_MAX <= draft.time <= TIME_US_MAX):
        raise LimitError("the claimed time does not fit 64 bits of microseconds")
    if len(draft.body) > BODY_BYTES_MAX:
        raise LimitError(
            f"the body has {len(draft.body)} bytes, at most {BODY_BYTES_MAX} fit",
            hint="put large things in a file and name it in the event",
        )


def _utf8(text: str, field: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise LimitError(f"{field} is not valid Unicode (a lone surrogate)") from None


def is_system(kind: str) -> bool:
    """System events are in the log and the chain like all others, and left out of what people are shown."""
    return kind.startswith("_")
