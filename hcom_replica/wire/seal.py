"""The sealed envelope (protocol-v1 5.1): XChaCha20-Poly1305, bound to group and topic."""

from __future__ import annotations

from typing import Final

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from hcom_replica.errors import ProtocolError
from hcom_replica.wire.keys import GroupKeys

VERSION: Final = 1
NONCE_BYTES: Final = 24
OVERHEAD_BYTES: Final = 1 + NONCE_BYTES + 16


def seal(keys: GroupKeys, topic: str, plain: bytes, nonce: bytes) -> bytes:
    """Seal a frame for one topic.

    Args:
        keys: the group at the epoch that `topic` belongs to.
        topic: full topic name.
        plain: the frame.
        nonce: 24 bytes never used before under this key (random).

    Returns:
        The MQTT payload, OVERHEAD_BYTES longer than `plain`.
    """
    sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(plain, _associated(keys, topic), nonce, keys.seal)
    return bytes((VERSION,)) + nonce + sealed


def unseal(keys: GroupKeys, topic: str, payload: bytes) -> bytes:
    """Open an MQTT payload.

    Raises:
        ProtocolError: `version` or `seal`.
    """
    if len(payload) < OVERHEAD_BYTES or payload[0] != VERSION:
        raise ProtocolError("version")
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(
            payload[1 + NONCE_BYTES :], _associated(keys, topic), payload[1 : 1 + NONCE_BYTES], keys.seal
        )
    except (CryptoError, ValueError):
        raise ProtocolError("seal") from None


def _associated(keys: GroupKeys, topic: str) -> bytes:
    return b"hcr1" + keys.group + topic.encode()
