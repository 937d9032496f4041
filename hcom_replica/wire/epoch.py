"""Certificates, epoch records and notices: who may change the group's secret, and how the new one is told (section 12).

A record holds the new secret in one box for each device that is to have it; a notice is a record with the certificates
that show its author's place in the group. Nothing here judges whether a record counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Annotated, Final, NamedTuple

import msgspec
from nacl.bindings import (
    crypto_box_easy,
    crypto_box_open_easy,
    crypto_box_seed_keypair,
    crypto_sign_ed25519_pk_to_curve25519,
)
from nacl.exceptions import CryptoError

from hcom_replica.errors import ProtocolError
from hcom_replica.limits import EPOCH_BOXES_MAX
from hcom_replica.wire.codec import Hash32, Sig64, decoder, encode
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.signing import ADMIT, EPOCH, DeviceKey, device_id, hash32, verify

_BOX_BYTES: Final = 32 + 16
_ENTRY_BYTES: Final = 8 + _BOX_BYTES
CERTIFICATES_MAX: Final = 64
_NUMBER_MAX: Final = (1 << 31) - 1

Number = Annotated[int, msgspec.Meta(ge=0, le=_NUMBER_MAX)]
Bytes16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]


class Certificate(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A device with a rank admits another one (P12.1).

    Attributes:
        admitter: 32-byte key.
        number: "as my n-th".
        device: 32-byte key of the device admitted.
        signature: by the admitter.
    """

    admitter: Hash32
    number: Number
    device: Hash32
    signature: Sig64


class _Body(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What the author of a record signs; `boxes` are entries of 8-byte device id and box, sorted (P12.5)."""

    group: Bytes16
    number: Annotated[int, msgspec.Meta(ge=2, le=_NUMBER_MAX)]
    author: Hash32
    check: Bytes16
    ephemeral: Hash32
    revoked: Annotated[tuple[Hash32, ...], msgspec.Meta(max_length=EPOCH_BOXES_MAX)]
    boxes: Annotated[bytes, msgspec.Meta(max_length=EPOCH_BOXES_MAX * _ENTRY_BYTES)]


class _Signed(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A record as it travels: the encoded body, and the author's signature of its hash."""

    body: bytes
    signature: Sig64


class _Notice(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A notice as it travels: records as they travel, then certificates; both in the order of `Notice`."""

    records: Annotated[list[bytes], msgspec.Meta(min_length=1, max_length=CERTIFICATES_MAX)]
    certificates: Annotated[list[Certificate], msgspec.Meta(max_length=CERTIFICATES_MAX)]


class EpochRecord(NamedTuple):
    """A record whose signature holds (P12.5).

    Attributes:
        number: of the epoch, from 2.
        author: 32-byte key of who made it.
        check: 16 bytes that name the epoch (P12.4).
        revoked: 32-byte keys of the devices that its author revokes by it.
        boxes: device id -> box.
        encoded: as it travels.
        ephemeral: 32-byte public key that the boxes are from.
    """

    number: int
    author: bytes
    check: bytes
    revoked: tuple[bytes, ...]
    boxes: dict[bytes, bytes]
    encoded: bytes
    ephemeral: bytes


class Notice(NamedTuple):
    """What those who are to come, or are shut out, are told (P12.13).

    Attributes:
        records: the current one, unless whoever tells is in doubt of it; then others that revoke somebody.
        certificates: they lead from the founder to the authors, admitters first.
    """

    records: tuple[EpochRecord, ...]
    certificates: tuple[Certificate, ...]

    @property
    def record(self) -> EpochRecord:
        """The first of them."""
        return self.records[0]


_decode_body: Final = decoder(_Body)
_decode_signed: Final = decoder(_Signed)
_decode_notice: Final = decoder(_Notice)


def certify(group: bytes, admitter: DeviceKey, number: int, device: bytes) -> Certificate:
    """Admit a device as the admitter's n-th."""
    return Certificate(admitter.public, number, device, admitter.sign(ADMIT, _admission(group, number, device)))


@lru_cache(maxsize=4096)
def is_certified(group: bytes, certificate: Certificate) -> bool:
    """Whether a certificate's signature holds."""
    digest = _admission(group, certificate.number, certificate.device)
    try:
        verify(certificate.admitter, ADMIT, digest, certificate.signature)
    except ProtocolError:
        return False
    return True


def make_record(
    keys: GroupKeys,
    author: DeviceKey,
    devices: Iterable[bytes],
    revoked: Iterable[bytes],
    randbytes: Callable[[int], bytes],
) -> EpochRecord:
    """Make the record of a new epoch.

    Args:
        keys: the new epoch.
        author: who makes it.
        devices: 32-byte keys of all devices that are to have it, the author's included.
        revoked: 32-byte keys of the devices that it revokes.
        randbytes: real randomness; 32 bytes are taken, and forgotten.
    """
    public, secret = crypto_box_seed_keypair(randbytes(32))
    boxes = {}
    for key in devices:
        with suppress(CryptoError):  # a key of a kind that nothing can be sealed to
            curve = crypto_sign_ed25519_pk_to_curve25519(key)
            boxes[device_id(key)] = crypto_box_easy(keys.secret, _nonce(public, key), curve, secret)
    packed = b"".join(name + box for name, box in sorted(boxes.items()))
    body = encode(_Body(keys.group, keys.epoch, author.public, keys.check, public, tuple(sorted(revoked)), packed))
    return decode_record(keys.group, encode(_Signed(body, author.sign(EPOCH, hash32(body)))))


@lru_cache(maxsize=256)
def decode_record(group: bytes, data: bytes) -> EpochRecord:
    """Read a record from anyone.

    Raises:
        ProtocolError: `format`, `signature`, or `topic` when it is of another group.
    """
    signed = _decode_signed(data)
    body = _decode_body(signed.body)
    if body.group != group:
        raise ProtocolError("topic", "record of another group")
    if len(body.boxes) % _ENTRY_BYTES:
        raise ProtocolError("format", "record: boxes")
    verify(body.author, EPOCH, hash32(signed.body), signed.signature)
    entries = (body.boxes[at : at + _ENTRY_BYTES] for at in range(0, len(body.boxes), _ENTRY_BYTES))
    boxes = {entry[:8]: entry[8:] for entry in entries}
    return EpochRecord(body.number, body.author, body.check, body.revoked, boxes, data, body.ephemeral)


def open_record(group: bytes, record: EpochRecord, device: DeviceKey) -> GroupKeys | None:
    """The epoch that a record tells a device of; None when it has no box for it that holds what it says."""
    return _open(group, record.encoded, device)


@lru_cache(maxsize=256)
def _open(group: bytes, data: bytes, device: DeviceKey) -> GroupKeys | None:
    record = decode_record(group, data)
    box = record.boxes.get(device_id(device.public))
    if box is None:
        return None
    try:
        secret = crypto_box_open_easy(
            box, _nonce(record.ephemeral, device.public), record.ephemeral, device.curve_secret()
        )
    except (CryptoError, ValueError):
        return None
    keys = GroupKeys(group, secret, record.number)
    return keys if keys.check == record.check else None


def encode_notice(notice: Notice) -> bytes:
    """A notice as it travels."""
    return encode(_Notice([record.encoded for record in notice.records], list(notice.certificates)))


def decode_notice(group: bytes, data: bytes) -> Notice:
    """Read a notice from anyone; certificates that do not hold are left out.

    Raises:
        ProtocolError: as `decode_record`.
    """
    raw = _decode_notice(data)
    sound = tuple(certificate for certificate in raw.certificates if is_certified(group, certificate))
    return Notice(tuple(decode_record(group, record) for record in raw.records), sound)


def _admission(group: bytes, number: int, device: bytes) -> bytes:
    return hash32(group, number.to_bytes(4, "big"), device)


def _nonce(ephemeral: bytes, device: bytes) -> bytes:
    return hash32(b"hcr1 box", ephemeral, device)[:24]
