"""The payloads of all messages except batches (protocol-v1 section 6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, NamedTuple

import msgspec

from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.limits import NAME_CHARS_MAX, VECTOR_PAGE_ENTRIES
from hcom_replica.wire.codec import U64_MAX, BrokerText, Hash32, Id8, MoveNumber, Natural, Page, Sig64, decoder
from hcom_replica.wire.epoch import CERTIFICATES_MAX, Certificate

WANT_ITEMS_MAX: Final = 64
INDEX_ENTRIES_MAX: Final = 256
WINDOW_BYTES_MAX: Final = 4 << 20
PARTS_MAX: Final = 256
_ENTRY_BYTES: Final = 24

Name = Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)]
Digest8 = Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]


class Payload(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Base of all payloads: an array with exactly the fields listed."""


class Head(Payload, frozen=True):
    """An origin's newest commit, its promise and its name (P6.3)."""

    counter: Natural
    wall_ms: Natural
    name: Name
    seq: Natural
    hlc: Natural
    tip: Hash32
    signature: Sig64
    cum: Natural
    system: Natural
    promise: Natural


class VectorPage(Payload, frozen=True):
    """One page of what a device durably holds (P6.4). `entries` packs 24-byte triples."""

    counter: Natural
    wall_ms: Natural
    pages: Page
    durable: bool
    entries: Annotated[bytes, msgspec.Meta(max_length=VECTOR_PAGE_ENTRIES * _ENTRY_BYTES)]


class Segment(Payload, frozen=True):
    """One line of an index: what a slot of the ring holds. `digest` is the first 8 bytes of H(sealed payload)."""

    slot: Page
    origin: Id8
    first: Natural
    last: Natural
    digest: Digest8
    part: Page
    parts: Annotated[int, msgspec.Meta(ge=1, le=PARTS_MAX)]
    raw: Natural


class Index(Payload, frozen=True):
    """What a device's ring holds, raised before a slot is overwritten (P8.1)."""

    counter: Natural
    wall_ms: Natural
    slots: Page
    segments: Annotated[list[Segment], msgspec.Meta(max_length=INDEX_ENTRIES_MAX)]


class WantItem(Payload, frozen=True):
    """A range that the asker lacks: from `first` to `last`, or on for ever when `last` is 0.

    `hash` is the full origin hash, or the 8-byte id while the full one is not known here.
    """

    hash: Annotated[bytes, msgspec.Meta(min_length=8, max_length=32)]
    first: Natural
    last: Natural


Items = Annotated[list[WantItem], msgspec.Meta(max_length=WANT_ITEMS_MAX)]


class Standing(Payload, frozen=True):
    """A request to nobody in particular, for whoever comes (P7.9)."""

    counter: Natural
    wall_ms: Natural
    items: Items


class Presence(Payload, frozen=True):
    """Online or not. Orders whom to ask first, nothing else (P7.10)."""

    counter: Natural
    wall_ms: Natural
    online: bool


class Rekey(Payload, frozen=True):
    """What those who are in an earlier epoch are told: an encoded notice (P12.13)."""

    counter: Natural
    wall_ms: Natural
    notice: bytes


class Gone(Payload, frozen=True):
    """The group meets at another broker from now on (P16.4): the move's number, hlc and origin, and where to."""

    counter: Natural
    wall_ms: Natural
    number: MoveNumber
    hlc: Annotated[int, msgspec.Meta(ge=0, le=U64_MAX >> 1)]
    origin: Id8
    broker: BrokerText
    certificates: Annotated[list[Certificate], msgspec.Meta(max_length=CERTIFICATES_MAX)]


class Want(Payload, frozen=True):
    """A request for ranges, to one holder (P6.7)."""

    id: Natural
    to: Id8
    window: Annotated[int, msgspec.Meta(ge=0, le=WINDOW_BYTES_MAX)]
    items: Items


class Fill(Payload, frozen=True):
    """An answer to a want: a packed batch. `last` ends the answer (P7.8)."""

    want: Natural
    last: bool
    codec: Page
    data: bytes


class Part(Payload, frozen=True):
    """A piece of a batch that does not fit one message (P5.5)."""

    blob: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    index: Page
    count: Annotated[int, msgspec.Meta(ge=1, le=PARTS_MAX)]
    origin: Id8
    first: Natural
    chunk: bytes


class FillPart(Payload, frozen=True):
    """A part in an answer to a want."""

    want: Natural
    last: bool
    part: Part


class Ask(Payload, frozen=True):
    """A request for something else than ranges: 1 your vector now, 2 stop syncing."""

    id: Natural
    to: Id8 | None
    what: Natural


ASK_VECTOR: Final = 1
ASK_OFF: Final = 2


class Ack(NamedTuple):
    """One entry of a vector: (seq, first 8 bytes of c[seq])."""

    seq: int
    digest: bytes


def pack_entries(entries: Iterable[tuple[OriginId, Ack]]) -> bytes:
    """Pack at most VECTOR_PAGE_ENTRIES vector entries."""
    return b"".join(origin + ack.seq.to_bytes(8, "big") + ack.digest for origin, ack in entries)


def unpack_entries(data: bytes) -> dict[OriginId, Ack]:
    """Undo `pack_entries`.

    Raises:
        ProtocolError: `format`.
    """
    if len(data) % _ENTRY_BYTES:
        raise ProtocolError("format", "vector: entries")
    return {
        OriginId(data[at : at + 8]): Ack(int.from_bytes(data[at + 8 : at + 16], "big"), data[at + 16 : at + 24])
        for at in range(0, len(data), _ENTRY_BYTES)
    }


decode_head: Final = decoder(Head)
decode_vector: Final = decoder(VectorPage)
decode_index: Final = decoder(Index)
decode_standing: Final = decoder(Standing)
decode_presence: Final = decoder(Presence)
decode_rekey: Final = decoder(Rekey)
decode_gone: Final = decoder(Gone)
decode_want: Final = decoder(Want)
decode_fill: Final = decoder(Fill)
decode_part: Final = decoder(Part)
decode_fill_part: Final = decoder(FillPart)
decode_ask: Final = decoder(Ask)
