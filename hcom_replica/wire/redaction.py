"""Redactions: the signed word of an event's writer that its body is to go (protocol-v1 3.8 to 3.10).

Owns what is signed, and the body of the system event that says it. A redaction proves itself: who has these bytes
needs no other state to know that the key which wrote the event wants it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.wire.codec import U64_MAX
from hcom_replica.wire.event import Event, encode_redacted
from hcom_replica.wire.signing import DeviceKey, hash32, root_hash, short, verify

REDACT: Final = "_redact"
TAG: Final = b"hcr1 redact\x00"


class Redaction(NamedTuple):
    """A proven redaction of one event.

    Attributes:
        root: c0 of the origin that is not derived, 32 bytes.
        seq: of the event, from 1.
        tip: c[seq]; with it the event and all before it are named.
        signature: 64 bytes.
    """

    root: bytes
    seq: int
    tip: bytes
    signature: bytes

    @property
    def origin(self) -> OriginId:
        """Id of the origin that is not derived."""
        return short(self.root)


class Statement(msgspec.Struct, frozen=True):
    """Body of `_redact`. All bytes in hexadecimal."""

    origin: str
    key: str
    incarnation: str
    seq: int
    c: str
    signature: str


_decode: Final = msgspec.json.Decoder(Statement).decode


def sign_redaction(device: DeviceKey, root: bytes, seq: int, tip: bytes) -> Redaction:
    """Say that an event of this device is to lose its body; see `Redaction` for the arguments."""
    return Redaction(root, seq, tip, device.sign(TAG, _digest(root, seq, tip)))


def check_redaction(key: bytes, redaction: Redaction) -> Redaction:
    """Return a redaction if the key that wrote its event has signed it.

    Args:
        key: 32 bytes, that of the origin.
        redaction: from anyone.

    Raises:
        ProtocolError: `signature`.
    """
    verify(key, TAG, _digest(redaction.root, redaction.seq, redaction.tip), redaction.signature)
    return redaction


def statement(redaction: Redaction, key: bytes, incarnation: bytes) -> bytes:
    """The body of the `_redact` that says a redaction; `key` and `incarnation` are the origin's."""
    return msgspec.json.encode(
        Statement(
            redaction.origin.hex(),
            key.hex(),
            incarnation.hex(),
            redaction.seq,
            redaction.tip.hex(),
            redaction.signature.hex(),
        )
    )


def stated_redaction(group: bytes, body: bytes) -> Redaction | None:
    """Read the body of a `_redact` from anyone; None when it proves nothing, for whatever reason."""
    try:
        stated = _decode(body)
        key, incarnation = _sized(stated.key, 32), _sized(stated.incarnation, 12)
        root = root_hash(group, key, incarnation)
        redaction = Redaction(root, stated.seq, _sized(stated.c, 32), _sized(stated.signature, 64))
        if redaction.origin != _sized(stated.origin, 8) or not 1 <= stated.seq <= U64_MAX:
            return None
        return check_redaction(key, redaction)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ProtocolError, ValueError):
        return None


def redacted(record: bytes, event: Event, redaction: Redaction) -> bytes:
    """The record of an event once it has lost its body; `event` is the record decoded, not redacted yet."""
    return encode_redacted(record, event, hash32(event.body), redaction.signature)


def _sized(text: str, size: int) -> bytes:
    data = bytes.fromhex(text)
    if len(data) != size:
        raise ValueError(text)
    return data


def _digest(root: bytes, seq: int, tip: bytes) -> bytes:
    """What a redaction signs (P3.8)."""
    return hash32(root, seq.to_bytes(8, "big"), tip)
