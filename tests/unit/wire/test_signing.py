"""Signatures are of one device, over one thing, for one purpose (P2.6)."""

from __future__ import annotations

import pytest

from hcom_replica.errors import ProtocolError
from hcom_replica.wire.signing import COMMIT, MESSAGE, DeviceKey, device_id, hash32, message_digest, verify

KEY = DeviceKey(bytes(range(32)))
DIGEST = hash32(b"something")


@pytest.mark.parametrize(
    ("key", "tag", "digest", "signature"),
    [
        (DeviceKey(bytes(32)).public, COMMIT, DIGEST, KEY.sign(COMMIT, DIGEST)),
        (KEY.public, MESSAGE, DIGEST, KEY.sign(COMMIT, DIGEST)),
        (KEY.public, COMMIT, hash32(b"other"), KEY.sign(COMMIT, DIGEST)),
        (KEY.public, COMMIT, DIGEST, bytes(64)),
        (KEY.public, COMMIT, DIGEST, b""),
        (KEY.public[:31], COMMIT, DIGEST, KEY.sign(COMMIT, DIGEST)),
        (bytes(32), COMMIT, DIGEST, KEY.sign(COMMIT, DIGEST)),
    ],
    ids=["other key", "other purpose", "other digest", "zeros", "empty", "short key", "no key"],
)
def test_signature_of_anything_else_is_refused(key: bytes, tag: bytes, digest: bytes, signature: bytes) -> None:
    with pytest.raises(ProtocolError) as error:
        verify(key, tag, digest, signature)
    assert error.value.reason == "signature"


def test_signature_of_the_same_thing_holds() -> None:
    verify(KEY.public, COMMIT, DIGEST, KEY.sign(COMMIT, DIGEST))


def test_digest_of_a_message_tells_topic_from_payload() -> None:
    """P5.3"""
    assert message_digest(1, 0, "ab", b"c") != message_digest(1, 0, "a", b"bc")
    assert message_digest(1, 0, "a", b"") != message_digest(0, 1, "a", b"")


def test_device_is_told_by_its_key_alone_and_shows_no_secret() -> None:
    assert len(device_id(KEY.public)) == 8
    assert bytes(range(32)).hex()[:16] not in repr(KEY)
