"""hcom's sealed envelope (hcom-bridge-v1 B1.2): XChaCha20-Poly1305 under the group's key, bound to topic and time."""

from __future__ import annotations

from typing import Final, NamedTuple

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from hcom_replica.errors import ProtocolError

SUITE: Final = 1
NONCE_BYTES: Final = 24
OVERHEAD_BYTES: Final = 1 + NONCE_BYTES + 8 + 16
_TS_AT: Final = 1 + NONCE_BYTES
_BODY_AT: Final = _TS_AT + 8


class Opened(NamedTuple):
    """What an envelope held: its plain text, and its sender's time in whole seconds since 1970."""

    plain: bytes
    ts_s: int


def seal(key: bytes, topic: str, ts_s: int, plain: bytes, nonce: bytes) -> bytes:
    """Seal for one topic.

    Args:
        key: 32 bytes.
        topic: in full; its first level is the relay's id.
        ts_s: seconds since 1970, which receivers hold to grow.
        plain: JSON text.
        nonce: 24 bytes never used before under this key.
    """
    ts = ts_s.to_bytes(8, "big")
    sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(plain, _associated(topic, ts), nonce, key)
    return bytes((SUITE,)) + nonce + ts + sealed


def unseal(key: bytes, topic: str, payload: bytes) -> Opened:
    """Open what was published on a topic.

    Raises:
        ProtocolError: `version` or `seal`.
    """
    if len(payload) < OVERHEAD_BYTES or payload[0] != SUITE:
        raise ProtocolError("version")
    ts = payload[_TS_AT:_BODY_AT]
    try:
        plain = crypto_aead_xchacha20poly1305_ietf_decrypt(
            payload[_BODY_AT:], _associated(topic, ts), payload[1:_TS_AT], key
        )
    except (CryptoError, ValueError):
        raise ProtocolError("seal") from None
    return Opened(plain, int.from_bytes(ts, "big"))


def _associated(topic: str, ts: bytes) -> bytes:
    return topic.partition("/")[0].encode() + b"\0" + topic.encode() + b"\0" + ts
