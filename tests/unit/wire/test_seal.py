"""The envelope opens for whom and where it was sealed, and nowhere else (P5.1)."""

from __future__ import annotations

import pytest

from hcom_replica.errors import ProtocolError
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.seal import OVERHEAD_BYTES, seal, unseal

KEYS = GroupKeys(b"group-of-16bytes", b"a secret of thirty-two bytes....")
NONCE = bytes(range(24))
PLAIN = b"what is told"
SEALED = seal(KEYS, "here/h/1", PLAIN, NONCE)


@pytest.mark.parametrize("plain", [b"", PLAIN, bytes(60_000)], ids=["empty", "short", "long"])
def test_sealed_frame_opens_again_and_is_longer_by_the_overhead(plain: bytes) -> None:
    sealed = seal(KEYS, "here/h/1", plain, NONCE)
    assert unseal(KEYS, "here/h/1", sealed) == plain
    assert len(sealed) == len(plain) + OVERHEAD_BYTES
    assert PLAIN not in sealed


@pytest.mark.parametrize(
    ("keys", "topic"),
    [
        (KEYS, "here/h/2"),
        (KEYS, ""),
        (GroupKeys(KEYS.group, bytes(32)), "here/h/1"),
        (GroupKeys(KEYS.group, KEYS.secret, 2), "here/h/1"),
        (GroupKeys(bytes(16), KEYS.secret), "here/h/1"),
    ],
    ids=["other topic", "no topic", "other secret", "other epoch", "other group"],
)
def test_payload_for_another_place_does_not_open(keys: GroupKeys, topic: str) -> None:
    """P5.1: bound to group, epoch and topic, so that nothing can be moved"""
    with pytest.raises(ProtocolError) as error:
        unseal(keys, topic, SEALED)
    assert error.value.reason == "seal"


@pytest.mark.parametrize("at", [1, 24, 25, len(SEALED) - 1], ids=["nonce", "nonce's end", "text", "tag"])
def test_payload_with_a_flipped_bit_does_not_open(at: int) -> None:
    changed = bytearray(SEALED)
    changed[at] ^= 1
    with pytest.raises(ProtocolError) as error:
        unseal(KEYS, "here/h/1", bytes(changed))
    assert error.value.reason == "seal"


@pytest.mark.parametrize(
    "payload",
    [b"", SEALED[: OVERHEAD_BYTES - 1], b"\x00" + SEALED[1:], b"\x02" + SEALED[1:]],
    ids=["empty", "shorter than nothing sealed", "version 0", "version 2"],
)
def test_payload_of_another_version_is_told_from_one_that_does_not_open(payload: bytes) -> None:
    """P5.1, section 11: dropped and counted as such"""
    with pytest.raises(ProtocolError) as error:
        unseal(KEYS, "here/h/1", payload)
    assert error.value.reason == "version"
