"""Frames: what is inside an envelope (protocol-v1 5.3, 5.4).

Order of the checks on arrival: sizes, seal, kind, sender's signature, then inflate, then decode.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.limits import INFLATED_BYTES_MAX, MESSAGE_BYTES_MAX
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.seal import OVERHEAD_BYTES, seal, unseal
from hcom_replica.wire.signing import MESSAGE, DeviceKey, message_digest, root_hash, short, verify

if TYPE_CHECKING:
    import zstandard


class Kind(IntEnum):
    """Kinds of message (protocol-v1 section 6). Numbers are never used again."""

    HEAD = 1
    VECTOR = 2
    INDEX = 3
    STANDING = 4
    PRESENCE = 5
    LIVE = 6
    WANT = 7
    FILL = 8
    FILL_PART = 9
    SEGMENT = 10
    SEGMENT_PART = 11
    ASK = 12
    FENCE = 13
    REKEY = 14
    GONE = 15


class Author(NamedTuple):
    """Who signed a message: one incarnation of one device."""

    key: bytes
    incarnation: bytes
    origin: OriginId


class Signer(NamedTuple):
    """One incarnation of this device, able to sign."""

    device: DeviceKey
    incarnation: bytes
    origin: OriginId


class Frame(NamedTuple):
    """An opened message. `author` is None for kinds that carry none."""

    kind: Kind
    author: Author | None
    payload: bytes


class Packed(NamedTuple):
    """A payload as it will be sent: codec number and bytes."""

    codec: int
    data: bytes


RAW: Final = 0
ZSTD: Final = 1
UNSIGNED: Final = frozenset((Kind.LIVE, Kind.FENCE))
AUTHOR_BYTES: Final = 32 + 12 + 64
ROOM_BYTES: Final = MESSAGE_BYTES_MAX - OVERHEAD_BYTES - 2 - AUTHOR_BYTES
"""Largest packed payload that fits a message of the default size."""
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_LEVEL: Final = 3
_SMALL: Final = 128


def pack(data: bytes) -> Packed:
    """Compress when it helps; small payloads go as they are."""
    if len(data) > _SMALL:
        squeezed = _compressor().compress(data)
        if len(squeezed) < len(data):
            return Packed(ZSTD, squeezed)
    return Packed(RAW, data)


def unpack(packed: Packed, limit: int = INFLATED_BYTES_MAX) -> bytes:
    """Undo `pack`, allocating at most `limit` bytes.

    Raises:
        ProtocolError: `codec` or `size`.
    """
    if packed.codec == RAW:
        return packed.data
    if packed.codec != ZSTD:
        raise ProtocolError("codec")
    if packed.data[:4] != _ZSTD_MAGIC:  # a frame to be skipped has a size, too, and would be given room of that size
        raise ProtocolError("codec", "not a frame of zstd")
    import zstandard

    try:
        size = zstandard.frame_content_size(packed.data)
        if not 0 < size <= limit:
            raise ProtocolError("size", f"{size} bytes inflated")
        inflated = _decompressor().decompress(packed.data, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError:
        raise ProtocolError("codec") from None
    return inflated


def close_frame(keys: GroupKeys, topic: str, kind: Kind, signer: Signer | None, packed: Packed, nonce: bytes) -> bytes:
    """Make the MQTT payload of a message.

    Args:
        keys: the group at the topic's epoch.
        topic: where it will be published; the seal and the signature are bound to it.
        kind: the kind.
        signer: who speaks; None exactly for unsigned kinds.
        packed: its payload.
        nonce: 24 fresh random bytes.
    """
    head = bytes((kind, packed.codec))
    if signer is not None:
        digest = message_digest(kind, packed.codec, topic, packed.data)
        head += signer.device.public + signer.incarnation + signer.device.sign(MESSAGE, digest)
    return seal(keys, topic, head + packed.data, nonce)


def open_frame(keys: GroupKeys, topic: str, payload: bytes) -> Frame:
    """Open and check an MQTT payload from anyone.

    Raises:
        ProtocolError: for every way in which it is not a frame of this group, validly signed.
    """
    plain = unseal(keys, topic, payload)
    if len(plain) < 2:
        raise ProtocolError("format", "frame: too short")
    try:
        kind = Kind(plain[0])
    except ValueError:
        raise ProtocolError("kind", str(plain[0])) from None
    author, start = (None, 2) if kind in UNSIGNED else (_author(keys, topic, plain), 2 + AUTHOR_BYTES)
    return Frame(kind, author, unpack(Packed(plain[1], plain[start:])))


def _author(keys: GroupKeys, topic: str, plain: bytes) -> Author:
    if len(plain) < 2 + AUTHOR_BYTES:
        raise ProtocolError("format", "frame: too short")
    key, incarnation, signature = plain[2:34], plain[34:46], plain[46:110]
    verify(key, MESSAGE, message_digest(plain[0], plain[1], topic, plain[110:]), signature)
    return Author(key, incarnation, short(root_hash(keys.group, key, incarnation)))


@cache
def _compressor() -> zstandard.ZstdCompressor:
    import zstandard  # commands that read what was unpacked long ago do without it

    return zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True, write_checksum=False)


@cache
def _decompressor() -> zstandard.ZstdDecompressor:
    import zstandard

    return zstandard.ZstdDecompressor()
