"""hcom's join token, version 4 (hcom-bridge-v1 B1.1): the group that hcom's relay worker is in."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from hashlib import sha256
from typing import Final, NamedTuple
from uuid import UUID

from hcom_replica.errors import TokenError

VERSION: Final = 4
KEY_BYTES: Final = 32
BROKERS: Final = ("mqtts://broker.emqx.io:8883", "mqtts://broker.hivemq.com:8883", "mqtts://test.mosquitto.org:8886")
"""What a tail of one byte stands for."""

_ID_AT: Final = 1
_KEY_AT: Final = _ID_AT + 16
_TAIL_AT: Final = _KEY_AT + KEY_BYTES
_BYTES_MAX: Final = 1024


class HcomToken(NamedTuple):
    """A group of hcom's relay.

    Attributes:
        relay_id: UUID text, with hyphens, as it stands in topics.
        key: 32 bytes, used as they are.
        broker: URL.
    """

    relay_id: str
    key: bytes
    broker: str


def decode_token(text: str) -> HcomToken:
    """Read a token as `hcom relay token` prints it.

    Raises:
        TokenError: it is none, or of a version without a key.
    """
    raw = _bytes(text.strip())
    if raw[0] in (1, 2):
        raise TokenError("this is an old hcom token, without a key", hint="hcom relay new makes a group with one")
    if raw[0] != VERSION or len(raw) <= _TAIL_AT:
        raise TokenError("not an hcom token", hint="hcom relay token prints it")
    return HcomToken(str(UUID(bytes=raw[_ID_AT:_KEY_AT])), raw[_KEY_AT:_TAIL_AT], _broker(raw[_TAIL_AT:]))


def encode_token(token: HcomToken) -> str:
    """Write a token; a broker that has a number is written as its number."""
    known = token.broker in BROKERS
    tail = bytes((BROKERS.index(token.broker),)) if known else token.broker.encode()
    raw = bytes((VERSION,)) + UUID(token.relay_id).bytes + token.key + tail
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def key_text(key: bytes) -> str:
    """A key as it stands in hcom's config.toml."""
    return urlsafe_b64encode(key).rstrip(b"=").decode()


def fingerprint(key: bytes) -> str:
    """What `hcom relay status` shows as `Key:`."""
    return urlsafe_b64encode(sha256(key).digest()[:6]).decode()


def _bytes(text: str) -> bytes:
    try:
        raw = urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except (NotBase64, ValueError):
        raw = b""
    if not _KEY_AT <= len(raw) <= _BYTES_MAX:
        raise TokenError("not an hcom token", hint="hcom relay token prints it")
    return raw


def _broker(tail: bytes) -> str:
    if len(tail) == 1:
        if tail[0] < len(BROKERS):
            return BROKERS[tail[0]]
        raise TokenError(f"this hcom token names broker {tail[0]}, which is not known", hint="update hcom-replica")
    try:
        return tail.decode()
    except UnicodeDecodeError:
        raise TokenError("not an hcom token: its broker is not text") from None
