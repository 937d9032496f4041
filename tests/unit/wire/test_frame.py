"""What is inside an envelope, and what it may inflate to (protocol-v1 P5.3, P5.4)."""

from __future__ import annotations

import pytest
import zstandard

from hcom_replica.errors import ProtocolError
from hcom_replica.limits import INFLATED_BYTES_MAX, MIB
from hcom_replica.wire.frame import ZSTD, Packed, unpack
from tests.harness.memory import peak_bytes


def compressed(data: bytes, *, sized: bool = True) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=sized).compress(data)


SKIPPED = b"\x50\x2a\x4d\x18\xff\xff\xff\xff" + bytes(200)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (compressed(bytes(INFLATED_BYTES_MAX + 1)), "size"),
        (compressed(bytes(64 * MIB)), "size"),
        (compressed(b"x" * 999, sized=False), "size"),
        (compressed(b""), "size"),
        (compressed(bytes(999))[:-1], "codec"),
        (compressed(bytes(999)) * 2, "codec"),
        (compressed(bytes(999)) + SKIPPED, "codec"),
        (SKIPPED, "codec"),
        (SKIPPED + compressed(bytes(999)), "codec"),
        (b"\x28\xb5\x2f\xfd", "codec"),
        (b"", "codec"),
    ],
    ids=[
        "just too large", "much too large", "no size", "nothing", "cut off", "two frames", "a skipped frame behind",
        "a skipped frame of 4 GiB", "a skipped frame in front", "a magic number", "no byte",
    ],
)  # fmt: skip
def test_bomb_is_refused_and_takes_no_memory(data: bytes, reason: str) -> None:
    """P5.4: sizes before allocating"""

    def refuse() -> None:
        with pytest.raises(ProtocolError) as error:
            unpack(Packed(ZSTD, data))
        assert error.value.reason == reason

    assert peak_bytes(refuse) < MIB


def test_payload_of_the_largest_size_is_inflated() -> None:
    assert len(unpack(Packed(ZSTD, compressed(bytes(INFLATED_BYTES_MAX))))) == INFLATED_BYTES_MAX
