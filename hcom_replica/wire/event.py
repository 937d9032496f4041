"""The event: its encoding, and the split into header and body (protocol-v1 section 3).

Owns the only place where events are encoded or decoded. An encoded event (a *record*) is never encoded again:
it is stored, hashed and sent as its writer made it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hcom_replica.errors import LimitError, ProtocolError
from hcom_replica.limits import AGENT_BYTES_MAX, EVENT_BYTES_MAX, KIND_BYTES_MAX

BODY_BYTES_MAX: Final = EVENT_BYTES_MAX - 1024
HLC_MAX: Final = (1 << 64) - 1
TIME_US_MAX: Final = (1 << 63) - 1


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


class Draft(msgspec.Struct, frozen=True, gc=False):
    """An event to be appended: everything but its place in the log."""

    kind: str
    agent: str | None = None
    time: int | None = None
    body: bytes = b"null"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Event).decode


def encode_event(hlc: int, draft: Draft) -> bytes:
    """Encode an event. The body is the tail of the result (P3.1)."""
    return _encode((hlc, draft.kind, draft.agent, draft.time, draft.body))  # as an Event, without making one


def decode_event(record: bytes) -> Event:
    """Decode a record that this device has stored, and therefore checked before.

    Raises:
        ProtocolError: `format`; nothing was changed.
    """
    try:
        return _decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError("format", f"event: {error}") from None


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
