"""Ed25519 keys and domain-separated signatures (protocol-v1 2.6), and origin hashes (2.3, 2.4)."""

from __future__ import annotations

from typing import Final

from nacl.bindings import (
    crypto_sign,
    crypto_sign_ed25519_sk_to_curve25519,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError

from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.wire.batch import Descriptor
from hcom_replica.wire.hashing import blake2b

COMMIT: Final = b"hcr1 commit\x00"
MESSAGE: Final = b"hcr1 message\x00"
ADMIT: Final = b"hcr1 admit\x00"
EPOCH: Final = b"hcr1 epoch\x00"
SIGNATURE_BYTES: Final = 64
_ORIGIN: Final = b"hcr1 origin\x00"
_FORK: Final = b"hcr1 fork\x00"


def hash32(*parts: bytes) -> bytes:
    """H of the joined parts: BLAKE2b with a 32-byte digest."""
    return blake2b(b"".join(parts), digest_size=32).digest()


class DeviceKey:
    """A device's signing key. Its repr shows nothing secret.

    Args:
        seed: 32 secret bytes.
    """

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        self.public, self._secret = crypto_sign_seed_keypair(seed)

    def sign(self, tag: bytes, digest: bytes) -> bytes:
        """Sign a 32-byte digest under a tag; 64 bytes."""
        return crypto_sign(tag + digest, self._secret)[:SIGNATURE_BYTES]

    def curve_secret(self) -> bytes:
        """The X25519 secret that opens boxes made for this device; 32 bytes."""
        return crypto_sign_ed25519_sk_to_curve25519(self._secret)

    def __repr__(self) -> str:
        return f"DeviceKey({self.public.hex()[:8]})"


def verify(key: bytes, tag: bytes, digest: bytes, signature: bytes) -> None:
    """Check a signature.

    Raises:
        ProtocolError: `signature`.
    """
    try:
        crypto_sign_open(signature + tag + digest, key)
    except (BadSignatureError, ValueError):
        raise ProtocolError("signature") from None


def root_hash(group: bytes, key: bytes, incarnation: bytes) -> bytes:
    """c0: the full hash of an origin that is not derived (P2.3)."""
    return hash32(_ORIGIN, group, key, incarnation)


def fork_hash(parent: bytes, link: bytes) -> bytes:
    """The full hash of a derived origin (P2.4)."""
    return hash32(_FORK, parent, link)


def origin_hash(group: bytes, descriptor: Descriptor) -> bytes:
    """The full hash of the origin that a descriptor defines."""
    result = root_hash(group, descriptor.key, descriptor.incarnation)
    for fork in descriptor.forks:
        result = fork_hash(result, fork.link)
    return result


def short(full: bytes) -> OriginId:
    """The short id of a full origin hash."""
    return OriginId(full[:8])


def device_id(key: bytes) -> bytes:
    """8 bytes that stand for a device, whatever its incarnation."""
    return hash32(b"hcr1 device\x00", key)[:8]


def commit_digest(root: bytes, seq: int, hlc: int, cum: int, tip: bytes) -> bytes:
    """What a commit signs (P4.2)."""
    return hash32(root, seq.to_bytes(8, "big"), hlc.to_bytes(8, "big"), cum.to_bytes(8, "big"), tip)


def message_digest(kind: int, codec: int, topic: str, payload: bytes) -> bytes:
    """What the sender of a message signs (P5.3)."""
    name = topic.encode()
    return hash32(bytes((kind, codec)), len(name).to_bytes(2, "big"), name, payload)
