"""One decoder for all structures: exact lengths, one error."""

from __future__ import annotations

import msgspec
import pytest

from hcom_replica.errors import ProtocolError
from hcom_replica.wire.codec import Id8, Natural, Page, decoder, encode


class Sample(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One field of each bounded kind."""

    origin: Id8
    count: Natural
    page: Page


def refusal(*fields: object) -> ProtocolError:
    with pytest.raises(ProtocolError) as error:
        decoder(Sample)(encode(fields))
    return error.value


def test_structure_at_its_bounds_is_read() -> None:
    for sample in (Sample(bytes(8), 0, 0), Sample(b"\xff" * 8, (1 << 64) - 1, 0xFFFF)):
        assert decoder(Sample)(encode(sample)) == sample
        assert encode(sample) == encode([sample.origin, sample.count, sample.page])


@pytest.mark.parametrize(
    "fields",
    [
        (bytes(7), 0, 0),
        (bytes(9), 0, 0),
        ("12345678", 0, 0),
        (bytes(8), -1, 0),
        (bytes(8), 1.0, 0),
        (bytes(8), 0, 0x10000),
        (bytes(8), True, 0),
        (bytes(8), None, 0),
    ],
)
def test_field_of_another_type_or_beyond_its_bounds_is_refused(fields: tuple[object, ...]) -> None:
    assert refusal(*fields).reason == "format"


@pytest.mark.parametrize("fields", [(), (bytes(8), 0), (bytes(8), 0, 0, 0)], ids=["none", "fewer", "more"])
def test_structure_with_fewer_or_more_fields_is_refused(fields: tuple[object, ...]) -> None:
    """Protocol-v1, first paragraph: exactly the fields listed"""
    assert refusal(*fields).reason == "format"


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\x93", encode(Sample(bytes(8), 1, 2)) + b"\x00", b"\x91" * 100_000, b"\x93\xd9\x01\xff\x00\x00"],
    ids=["nothing", "no code", "cut", "more behind", "nested deep", "text that is none"],
)
def test_bytes_that_are_no_structure_raise_protocol_error_only(data: bytes) -> None:
    with pytest.raises(ProtocolError) as error:
        decoder(Sample)(data)
    assert error.value.reason == "format"
    assert "Sample" in str(error.value)
