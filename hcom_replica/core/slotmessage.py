"""Payloads of slots, read and checked: heads, vectors, indexes, standing wants, presence (protocol-v1 section 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hcom_replica.errors import ProtocolError
from hcom_replica.wire.frame import Author, Kind
from hcom_replica.wire.messages import (
    Head,
    Index,
    Presence,
    Standing,
    VectorPage,
    decode_head,
    decode_index,
    decode_presence,
    decode_standing,
    decode_vector,
)
from hcom_replica.wire.signing import COMMIT, commit_digest, root_hash, verify

SlotMessage = Head | VectorPage | Index | Standing | Presence


def read_slot(group: bytes, kind: Kind, author: Author, payload: bytes) -> SlotMessage:
    """Decode and check the payload of another device's slot message.

    Raises:
        ProtocolError: it is malformed, or a head's commit signature does not hold.
    """
    message = decode_slot(kind, payload)
    if isinstance(message, Head):
        if message.system > message.seq:
            raise ProtocolError("format", "head: more system events than events")
        root = root_hash(group, author.key, author.incarnation)
        digest = commit_digest(root, message.seq, message.hlc, message.cum, message.tip)
        verify(author.key, COMMIT, digest, message.signature)
    return message


def decode_slot(kind: Kind, payload: bytes) -> SlotMessage:
    """Decode the payload of a slot message.

    Raises:
        ProtocolError: `kind` or `format`.
    """
    decode = _DECODE.get(kind)
    if decode is None:
        raise ProtocolError("kind", f"{kind.name} in a slot")
    return decode(payload)


_DECODE: Final[dict[Kind, Callable[[bytes], SlotMessage]]] = {
    Kind.HEAD: decode_head,
    Kind.VECTOR: decode_vector,
    Kind.INDEX: decode_index,
    Kind.STANDING: decode_standing,
    Kind.PRESENCE: decode_presence,
}
