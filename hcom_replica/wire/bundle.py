"""Bundles: events in a file that is carried by hand, sealed for the group and signed by who made it (protocol-v1 14).

Owns head, frames and signature of such a file, and that frames stand in their order. What a batch in it says is for
`core.verify`. Pure: who calls reads and writes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Annotated, Final, NamedTuple

import msgspec

from hcom_replica.errors import ProtocolError
from hcom_replica.limits import INFLATED_BYTES_MAX, KIB, NAME_CHARS_MAX
from hcom_replica.wire.codec import Hash32, Incarnation, Natural, Sig64, decoder, encode
from hcom_replica.wire.epoch import Notice, decode_notice, encode_notice
from hcom_replica.wire.frame import Packed, pack, unpack
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.seal import NONCE_BYTES, seal, unseal
from hcom_replica.wire.signing import DeviceKey, hash32, verify

BUNDLE: Final = b"hcr1 bundle\x00"
ENVELOPE_BYTES_MAX: Final = INFLATED_BYTES_MAX + KIB
LENGTH_BYTES: Final = 4

_MAGIC: Final = b"hcrbndl"
_VERSION: Final = 1
_HEAD: Final = struct.Struct(">7sB16sI16s16sB")
HEAD_BYTES: Final = _HEAD.size
"""Of a head without notices."""

_NOTICE: Final = struct.Struct(">16sI")
_NOTICES_MAX: Final = 255
_NOTICE_BYTES_MAX: Final = 64 * KIB


class Kind(IntEnum):
    """Kinds of frame."""

    MANIFEST = 1
    BATCH = 2
    END = 3


class SealedNotice(NamedTuple):
    """What those who know an earlier epoch only are to be told of the present one (P12.13).

    Attributes:
        check: of the earlier epoch, 16 bytes.
        envelope: the notice, sealed under its keys.
    """

    check: bytes
    envelope: bytes


class BundleHead(NamedTuple):
    """What stands in front.

    Attributes:
        group: 16 bytes.
        epoch: number of the epoch under whose keys the rest is sealed.
        check: of that epoch, 16 bytes.
        id: 16 random bytes.
        notices: for those who do not know that epoch yet.
    """

    group: bytes
    epoch: int
    check: bytes
    id: bytes
    notices: tuple[SealedNotice, ...] = ()

    @property
    def place(self) -> str:
        """What the envelopes of this bundle are bound to, each with an ending of its own."""
        return f"bundle/{self.id.hex()}"

    def encode(self) -> bytes:
        """The first bytes of the file."""
        fixed = _HEAD.pack(_MAGIC, _VERSION, *self[:4], len(self.notices))
        return fixed + b"".join(_NOTICE.pack(check, len(data)) + data for check, data in self.notices)

    def with_notices(
        self, epochs: Sequence[GroupKeys], notice: Notice, randbytes: Callable[[int], bytes]
    ) -> BundleHead:
        """The head that also tells those who know one of these epochs; of very many, the newest.

        Args:
            epochs: earlier ones, the newest last.
            notice: what they are told.
            randbytes: gives fresh random bytes, for nonces.
        """
        packed = pack(encode_notice(notice))
        plain = bytes((packed.codec,)) + packed.data
        sealed = [
            SealedNotice(keys.check, seal(keys, f"{self.place}/notice", plain, randbytes(NONCE_BYTES)))
            for keys in epochs[-_NOTICES_MAX:]
        ]
        return self._replace(notices=tuple(sealed))

    def notice(self, known: Mapping[bytes, GroupKeys]) -> Notice | None:
        """The notice for somebody who knows these epochs, by their checks; None when it has none for them.

        Raises:
            ProtocolError: it does not open, or is none.
        """
        for check, envelope in self.notices:
            keys = known.get(check)
            if keys is not None:
                plain = unseal(keys, f"{self.place}/notice", envelope)
                return decode_notice(self.group, unpack(Packed(plain[0], plain[1:])) if plain else b"")
        return None


class Manifest(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Who made a bundle.

    Attributes:
        key: the author's public key.
        incarnation: 12 bytes.
        wall_ms: when, by the author's clock.
        name: of the author's device.
    """

    key: Hash32
    incarnation: Incarnation
    wall_ms: Natural
    name: Annotated[str, msgspec.Meta(max_length=4 * NAME_CHARS_MAX)]


class End(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What closes a bundle: how many frames stand before it, with how many events, and the author's signature."""

    frames: Natural
    events: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
    signature: Sig64


_decode_manifest = decoder(Manifest)
_decode_end = decoder(End)


def read_head(read: Callable[[int], bytes]) -> BundleHead:
    """Read the head.

    Args:
        read: gives so many bytes of the file, from its beginning on; fewer at its end.

    Raises:
        ProtocolError: `format` for what is no bundle or ends too early, `version` for one of a newer version.
    """
    data = read(HEAD_BYTES)
    if len(data) != HEAD_BYTES or not data.startswith(_MAGIC):
        raise ProtocolError("format", "not a bundle")
    _, version, *fixed, count = _HEAD.unpack(data)
    if version != _VERSION:
        raise ProtocolError("version", f"bundle of version {version}")
    group, epoch, check, name = fixed
    return BundleHead(group, epoch, check, name, tuple(_read_notice(read) for _ in range(count)))


def _read_notice(read: Callable[[int], bytes]) -> SealedNotice:
    fixed = read(_NOTICE.size)
    check, size = _NOTICE.unpack(fixed) if len(fixed) == _NOTICE.size else (b"", _NOTICE_BYTES_MAX + 1)
    envelope = read(size) if size <= _NOTICE_BYTES_MAX else b""
    if len(envelope) != size:
        raise ProtocolError("format", "bundle: a notice is cut off, or too long")
    return SealedNotice(check, envelope)


class _Digest:
    """d[n] of P14.3, as frames pass by."""

    def __init__(self, head: BundleHead) -> None:
        self._value = hash32(head.encode())
        self._place = head.place
        self.frames = 0

    @property
    def place(self) -> str:
        """What the next envelope is bound to."""
        return f"{self._place}/{self.frames}"

    def add(self, plain: bytes) -> None:
        """Count a frame."""
        self._value = hash32(self._value, hash32(plain))
        self.frames += 1

    def signed(self, events: int) -> bytes:
        """What the author signs."""
        return hash32(self._value, events.to_bytes(8, "big"))


class Sealer:
    """Makes the frames of one bundle, in their order: a manifest, batches, the end.

    Args:
        keys: the group at the head's epoch.
        head: the file begins with.
    """

    def __init__(self, keys: GroupKeys, head: BundleHead) -> None:
        self._keys = keys
        self._digest = _Digest(head)

    def manifest(self, manifest: Manifest, nonce: bytes) -> bytes:
        """The first frame, with its length."""
        return self._frame(Kind.MANIFEST, encode(manifest), nonce)

    def batch(self, batch: bytes, nonce: bytes) -> bytes:
        """A frame for an encoded batch."""
        return self._frame(Kind.BATCH, batch, nonce)

    def end(self, device: DeviceKey, events: int, nonce: bytes) -> bytes:
        """The last frame."""
        signature = device.sign(BUNDLE, self._digest.signed(events))
        return self._frame(Kind.END, encode(End(self._digest.frames, events, signature)), nonce)

    def _frame(self, kind: Kind, payload: bytes, nonce: bytes) -> bytes:
        packed = pack(payload)
        plain = bytes((kind, packed.codec)) + packed.data
        envelope = seal(self._keys, self._digest.place, plain, nonce)
        self._digest.add(plain)
        return len(envelope).to_bytes(LENGTH_BYTES, "big") + envelope


class Opener:
    """Opens the frames of one bundle, in their order, and checks who signed it.

    Args:
        keys: the group at the head's epoch.
        head: the file begins with.

    Attributes:
        manifest: who made it; set by the first frame.
        ended: the last frame was opened, and everything verified.
    """

    def __init__(self, keys: GroupKeys, head: BundleHead) -> None:
        self._keys = keys
        self._digest = _Digest(head)
        self._manifest: Manifest | None = None
        self.ended = False

    @property
    def manifest(self) -> Manifest:
        """Who made it.

        Raises:
            ProtocolError: `order`: the first frame has not been opened.
        """
        if self._manifest is None:
            raise ProtocolError("order", "bundle: no manifest")
        return self._manifest

    def open(self, envelope: bytes, events: int) -> bytes | None:
        """Open the next frame; give the batch in it, encoded, or None for the first and the last one.

        Args:
            envelope: at most ENVELOPE_BYTES_MAX.
            events: that the batches before it hold.

        Raises:
            ProtocolError: it is not the next frame of this bundle; nothing of the bundle is to be believed then.
        """
        plain = unseal(self._keys, self._digest.place, envelope)
        if len(plain) < 2 or self.ended:
            raise ProtocolError("order", "bundle: a frame behind its end")
        payload = unpack(Packed(plain[1], plain[2:]))
        if (plain[0] == Kind.MANIFEST) != (self._digest.frames == 0):
            raise ProtocolError("order", "bundle: the manifest is not its first frame")
        batch = None
        if plain[0] == Kind.MANIFEST:
            self._manifest = _decode_manifest(payload)
        elif plain[0] == Kind.END:
            self._check_end(_decode_end(payload), events)
        elif plain[0] == Kind.BATCH:
            batch = payload
        else:
            raise ProtocolError("kind", "bundle: an unknown kind of frame")
        self._digest.add(plain)
        return batch

    def _check_end(self, end: End, events: int) -> None:
        if (end.frames, end.events) != (self._digest.frames, events):
            raise ProtocolError("order", "bundle: its end counts otherwise")
        verify(self.manifest.key, BUNDLE, self._digest.signed(events), end.signature)
        self.ended = True
