"""One incarnation of a device, as it speaks through its slots, and what it claims there.

Of one author, kind and page the highest counter counts (P6.2).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from hcom_replica.core.effects import Now
from hcom_replica.core.slotmessage import SlotMessage
from hcom_replica.ids import OriginId
from hcom_replica.limits import DRIFT_MS_MAX
from hcom_replica.wire.frame import Author, Kind
from hcom_replica.wire.messages import Ack, Head, Index, Presence, Segment, Standing, VectorPage, unpack_entries
from hcom_replica.wire.signing import device_id

_ENTRY_BYTES: Final = 24

NOTHING: Final = Ack(0, b"")
"""What is claimed of an origin by whoever says nothing of it."""


class Place(NamedTuple):
    """A mailbox segment, and where it stands.

    Attributes:
        writer: whose ring it is.
        segment: the line of the index.
        prefix: of the topics of an earlier epoch; empty in the present one.
    """

    writer: OriginId
    segment: Segment
    prefix: str = ""


class Peer(msgspec.Struct):
    """One incarnation of a device, as it speaks through its slots.

    Attributes:
        author: key, incarnation, origin.
        number: how many were heard of before it.
        origin: the origin it writes.
        device: 8 bytes for the device in all its incarnations.
        generation: which incarnation of its device it is.
        head: newest; None when none was seen.
        pages: vector page -> newest.
        acks: what it says it durably holds, from all pages. Replaced, never changed.
        index: of its mailbox; None when it has none.
        rings: topic prefix of an earlier epoch -> index of the mailbox that it has there.
        standing: its standing want; None when it has none.
        presence: newest; None when none was seen.
        heard_ms: wall time when it was last heard from (live), or its own statement in a retained message.
        heard_mono_ms: monotonic time of the last live message; None when there was none since the start.
        skew_ms: its wall clock less ours, from the last live message; None when unknown.
    """

    author: Author
    number: int = 0
    head: Head | None = None
    pages: dict[int, VectorPage] = msgspec.field(default_factory=dict)
    acks: dict[OriginId, Ack] = msgspec.field(default_factory=dict)
    index: Index | None = None
    rings: dict[str, Index] = msgspec.field(default_factory=dict)
    standing: Standing | None = None
    presence: Presence | None = None
    heard_ms: int = 0
    heard_mono_ms: int | None = None
    skew_ms: int | None = None
    origin: OriginId = OriginId(b"")
    device: bytes = b""
    generation: int = 0

    def __post_init__(self) -> None:
        self.origin = self.author.origin
        self.device = device_id(self.author.key)
        self.generation = int.from_bytes(self.author.incarnation[:4], "big")

    @property
    def clock_off_ms(self) -> int:
        """How far its clock is off beyond the drift bound, from live messages; 0 when it is within."""
        return self.skew_ms if self.skew_ms is not None and abs(self.skew_ms) > DRIFT_MS_MAX else 0

    def claims(self, origin: OriginId, first: int) -> bool:
        """Whether it says that it holds the seq `first` of an origin."""
        return self.claimed(origin) >= first

    def claimed(self, origin: OriginId) -> int:
        """The highest seq of an origin that it says it holds; 0 for none."""
        ack = self.acks.get(origin)
        said = ack.seq if ack is not None else 0
        return max(said, self.head.seq) if self.origin == origin and self.head is not None else said

    def online(self, now: Now, within_ms: int) -> bool:
        """Whether it is worth asking: it says so and was heard from lately, or was heard from just now."""
        if self.presence is not None and not self.presence.online:
            return False
        return self.presence is not None or (
            self.heard_mono_ms is not None and now.mono_ms - self.heard_mono_ms < within_ms
        )


def put(peer: Peer, page: int, message: SlotMessage) -> bool:
    """Put a message in its place, if it is newer than what is there; whether it is.

    Raises:
        ProtocolError: a page of a vector whose entries are junk; nothing was changed.
    """
    before = held_message(peer, page, message)
    if before is not None and before.counter >= message.counter:
        return False
    if isinstance(message, VectorPage):
        unpack_entries(message.entries)  # junk is refused before anything is changed
        peer.pages[page] = message
        peer.acks = _acks(peer.pages)
    else:
        setattr(peer, _FIELD[type(message)], message)
    return True


def held_message(peer: Peer | None, page: int, message: SlotMessage) -> SlotMessage | None:
    """What a message takes the place of."""
    if peer is None:
        return None
    if isinstance(message, VectorPage):
        return peer.pages.get(page)
    held: SlotMessage | None = getattr(peer, _FIELD[type(message)])
    return held


def lines(message: SlotMessage | None) -> int:
    """How much a message says; a page of a vector is one line more than its entries."""
    if isinstance(message, VectorPage):
        return 1 + len(message.entries) // _ENTRY_BYTES
    if isinstance(message, Index):
        return len(message.segments)
    return len(message.items) if isinstance(message, Standing) else 0


def cost(peer: Peer) -> int:
    """How much it says altogether, in lines."""
    return sum(map(lines, [peer.index, peer.standing, *peer.pages.values(), *peer.rings.values()]))


def claimed_by(peer: Peer, kind: Kind) -> dict[OriginId, Ack]:
    """What a peer claims by its slot of a kind: a head speaks for its own origin, vector and index for any."""
    claimed: dict[OriginId, Ack] = {}
    if kind is Kind.HEAD and peer.head is not None:
        claimed[peer.origin] = Ack(peer.head.seq, peer.head.tip)
    elif kind is Kind.VECTOR:
        claimed = peer.acks
    elif kind is Kind.INDEX and peer.index is not None:
        claimed = named_in(peer.index)
    return claimed


def named_in(index: Index) -> dict[OriginId, Ack]:
    """Origin -> how far segments of a mailbox go."""
    named: dict[OriginId, Ack] = {}
    for segment in index.segments:
        origin = OriginId(segment.origin)
        named[origin] = Ack(max(segment.last, named.get(origin, NOTHING).seq), b"")
    return named


def raise_claims(claims: dict[OriginId, int], more: dict[OriginId, Ack]) -> None:
    """Take what is claimed into the highest claims of all."""
    for origin, ack in more.items():
        if ack.seq > claims.get(origin, 0):
            claims[origin] = ack.seq


def _acks(pages: dict[int, VectorPage]) -> dict[OriginId, Ack]:
    """What all pages say; those beyond the number that the newest one states count no more, and are forgotten."""
    acks: dict[OriginId, Ack] = {}
    count = max(pages.values(), key=lambda page: page.counter).pages
    for number in [number for number in pages if number >= count]:
        del pages[number]
    if len(pages) == 1:
        return unpack_entries(next(iter(pages.values())).entries)
    for page in pages.values():
        for origin, ack in unpack_entries(page.entries).items():
            if origin not in acks or acks[origin].seq < ack.seq:
                acks[origin] = ack
    return acks


_FIELD: Final[dict[type[SlotMessage], str]] = {
    Head: "head",
    Index: "index",
    Standing: "standing",
    Presence: "presence",
}
