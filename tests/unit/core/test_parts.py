"""Parts of batches that fit no message, put together in bounded memory (P5.5)."""

from __future__ import annotations

import pytest

from hcom_replica.core.parts import Assembler
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.limits import EVENT_BYTES_MAX, KIB, MIB, SPOOL_BYTES_MAX
from hcom_replica.wire.frame import Packed, pack
from hcom_replica.wire.messages import Part
from hcom_replica.wire.signing import hash32

LUNA = OriginId(b"luna----")
NOVA = OriginId(b"nova----")
ORIGIN = OriginId(b"origin--")


def parts(packed: Packed, size: int) -> list[Part]:
    """A packed batch cut into chunks of `size` bytes."""
    blob = bytes((packed.codec,)) + packed.data
    chunks = [blob[at : at + size] for at in range(0, len(blob), size)]
    name = hash32(blob)[:16]
    return [Part(name, index, len(chunks), ORIGIN, 1, chunk) for index, chunk in enumerate(chunks)]


def piece(name: bytes, index: int, count: int, chunk: bytes) -> Part:
    return Part(name.ljust(16), index, count, ORIGIN, 1, chunk)


@pytest.mark.parametrize("data", [b"x", b"compressible " * 1000, bytes(range(256)) * 16])
def test_parts_in_any_order_with_repeats_give_the_batch(data: bytes) -> None:
    """P5.5: index from 0; a part may come twice, or late."""
    pieces = parts(pack(data), max(1, len(data) // 7))
    assembler = Assembler()
    *early, last = [*reversed(pieces)]
    for part in [*early, *early]:
        assert assembler.add(LUNA, part) is None
    assert assembler.add(LUNA, last) == data
    assert assembler.size_bytes == 0


def test_parts_of_two_authors_with_one_name_do_not_mix() -> None:
    """A member cannot spoil the batch that another one sends."""
    first, second = parts(Packed(0, b"abcdef"), 4)
    assembler = Assembler()
    assert assembler.add(LUNA, first) is None
    assert assembler.add(NOVA, piece(first.blob, 1, 2, b"junk")) is None
    assert assembler.add(LUNA, second) == b"abcdef"


@pytest.mark.parametrize(
    "part",
    [
        piece(b"a", 0, 3, b"x"),  # another count
        piece(b"a", 2, 2, b"x"),  # index beyond the count
        piece(b"a", 1, 2, b""),  # nothing in it
        piece(b"a", 1, 2, b"x"),  # whole, but not what its name says
    ],
)
def test_parts_that_disagree_are_refused_and_dropped(part: Part) -> None:
    assembler = Assembler()
    assembler.add(LUNA, piece(b"a", 0, 2, b"x"))
    with pytest.raises(ProtocolError) as error:
        assembler.add(LUNA, part)
    assert error.value.reason == "format"
    assert assembler.size_bytes == 0


def test_part_alone_without_a_byte_is_refused() -> None:
    """A blob has at least its codec; an empty one must not be looked into."""
    with pytest.raises(ProtocolError):
        Assembler().add(LUNA, Part(hash32(b"")[:16], 0, 1, ORIGIN, 1, b""))


def test_parts_of_more_than_any_event_are_refused_and_dropped() -> None:
    assembler = Assembler()
    for index in range(2 * EVENT_BYTES_MAX // MIB):
        assembler.add(LUNA, piece(b"a", index, 200, bytes(MIB)))
    with pytest.raises(ProtocolError) as error:
        assembler.add(LUNA, piece(b"a", 100, 200, b"x"))
    assert error.value.reason == "size"
    assert assembler.size_bytes == 0


def test_parts_beyond_the_room_push_out_the_batch_not_heard_of_for_longest() -> None:
    """P5.4: bounded memory, whoever sends how much."""
    assembler = Assembler()
    first, second = parts(Packed(0, b"abcdef"), 4)
    assembler.add(LUNA, first)
    for number in range(SPOOL_BYTES_MAX // MIB + 1):
        assembler.add(NOVA, piece(b"%d" % number, 0, 2, bytes(MIB)))
        assert assembler.size_bytes <= SPOOL_BYTES_MAX
    assert assembler.add(LUNA, second) is None, "the first part was to be forgotten"


def test_parts_many_and_tiny_are_bounded_like_large_ones() -> None:
    """Every blob costs memory of its own, however little is in it."""
    assembler = Assembler()
    for number in range(40_000):
        assembler.add(LUNA, piece(b"%d" % number, 0, 2, b"x"))
    assert len(assembler._blobs) <= SPOOL_BYTES_MAX // KIB
