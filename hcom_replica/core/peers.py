"""What the others have said in their slots: heads, vectors, indexes, standing wants, presence.

Everything here was signed by its author and is kept under the author's origin. Of one author, kind and page the
highest counter counts (P6.2); nothing is ever taken from the time of arrival, except who was heard from when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hcom_replica.core.effects import Now
from hcom_replica.core.origin import OriginState
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import ORIGIN_BYTES, OriginId
from hcom_replica.limits import DRIFT_MS_MAX
from hcom_replica.wire.frame import Author, Kind
from hcom_replica.wire.messages import (
    Ack,
    Head,
    Index,
    Presence,
    Segment,
    Standing,
    VectorPage,
    decode_head,
    decode_index,
    decode_presence,
    decode_standing,
    decode_vector,
    unpack_entries,
)
from hcom_replica.wire.signing import COMMIT, commit_digest, device_id, root_hash, verify

Note = tuple[int, OriginId, int, int, bytes]
"""(kind, author origin, page, received at wall ms, author key || incarnation || payload): as table `peers` keeps it."""

_AUTHOR_BYTES: Final = 32 + 12
_PEERS_MAX: Final = 4096
_ENTRY_BYTES: Final = 24
_PAGES_MAX: Final = 1024
"""Pages of a vector (protocol-v1 section 9)."""

CLAIMS_MAX: Final = 1 << 20
"""Lines of all vectors, indexes and standing wants: what a thousand devices say of a thousand. 300 MiB at most."""

NOTHING: Final = Ack(0, b"")
"""What is claimed of an origin by whoever says nothing of it."""
SlotMessage = Head | VectorPage | Index | Standing | Presence


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


@dataclass(slots=True)
class Peer:
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
    pages: dict[int, VectorPage] = field(default_factory=dict)
    acks: dict[OriginId, Ack] = field(default_factory=dict)
    index: Index | None = None
    rings: dict[str, Index] = field(default_factory=dict)
    standing: Standing | None = None
    presence: Presence | None = None
    heard_ms: int = 0
    heard_mono_ms: int | None = None
    skew_ms: int | None = None
    origin: OriginId = field(init=False)
    device: bytes = field(init=False)
    generation: int = field(init=False)

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


class Peers:
    """All authors heard of, in bounded memory.

    Attributes:
        claims_count: lines of all vectors, indexes and standing wants, at most CLAIMS_MAX.

    Args:
        group: 16 bytes.
        notes: what was kept of them, from table `peers`.
    """

    def __init__(self, group: bytes, notes: Iterable[Note] = ()) -> None:
        self.group = group
        self.claims_count = 0
        self._peers: dict[OriginId, Peer] = {}
        self._notes: dict[tuple[int, OriginId, int], Note] = {}
        self._current: list[Peer] | None = None
        self._claims: dict[OriginId, int] | None = None
        self._own: OriginId | None = None
        self._left: set[OriginId] = set()
        self._newest: dict[bytes, int] = {}
        self._moved: dict[OriginId, None] | None = None
        self._segments: dict[OriginId, list[Place]] | None = None
        self._speakers: list[Peer] | None = None
        for kind, origin, page, received, data in notes:
            self._restore(kind, origin, page, received, data)

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def get(self, origin: OriginId) -> Peer | None:
        """The peer that writes an origin, or None."""
        return self._peers.get(origin)

    def current(self, own: OriginState | None) -> list[Peer]:
        """Peers that are the newest incarnation of their device, this device's own counted; never `own` itself.

        Remembered until another incarnation of a device that is known turns up.
        """
        mine = own.id if own is not None else None
        if self._current is None or mine != self._own:
            newest = {own.device: own.generation} if own is not None else dict[bytes, int]()
            for peer in self._peers.values():
                newest[peer.device] = max(newest.get(peer.device, 0), peer.generation)
            self._current = [p for p in self._peers.values() if p.origin != mine and p.generation == newest[p.device]]
            self._own, self._newest = mine, newest
            self._claims = self._moved = None
        return self._current

    def new_connection(self) -> None:
        """What an earlier connection said, of who is online and what mailboxes hold, says nothing about now."""
        for peer in self._peers.values():
            peer.presence = peer.standing = peer.heard_mono_ms = None
            peer.index = peer.index if peer.origin in self._left else None
            peer.rings.clear()
        self._claims = self._moved = self._segments = None
        self._recount()

    def left_ring(self, author: Author, index: Index) -> None:
        """This device has left a ring behind with its last incarnation; the broker need not tell it of that again.

        Nor does it believe that the ring is gone because its index is: a clone may have cleared that in between. It
        stays known until it is cleared.
        """
        peer = self._peer(author)
        if peer is not None:
            self._left.add(peer.origin)
            peer.index, self._claims = index, None

    def heard(self, author: Author, now: Now) -> Peer | None:
        """Note that an author was heard from live; None when there are too many authors."""
        peer = self._peer(author)
        if peer is not None:
            peer.heard_ms, peer.heard_mono_ms = now.wall_ms, now.mono_ms
        return peer

    def accept(self, kind: Kind, author: Author, page: int, payload: bytes, *, live: bool, now: Now) -> bool:
        """Take a slot message of another device.

        Args:
            kind: HEAD, VECTOR, INDEX, STANDING or PRESENCE.
            author: whose signature it bears.
            page: of a vector; 0 for the others.
            payload: the frame's.
            live: it came as it was published, so its wall clock says something.
            now: local time.

        Returns:
            Whether it is news; False for what is known or older.

        Raises:
            ProtocolError: it is malformed, or a head's commit signature does not hold.
        """
        message = read_slot(self.group, kind, author, payload)
        self._check_room(author, page, message)
        peer = self._peer(author)
        if peer is None:
            raise ProtocolError("limit", "too many authors")
        if live:
            peer.heard_ms, peer.heard_mono_ms = now.wall_ms, now.mono_ms
            peer.skew_ms = message.wall_ms - now.wall_ms
        else:
            peer.heard_ms = max(peer.heard_ms, min(message.wall_ms, now.wall_ms))
        before = _claimed(peer, kind)
        if not self._take(peer, page, message):
            return False
        if kind is Kind.VECTOR:
            self._speakers = None
        self._note(peer, kind, before)
        key = (int(kind), author.origin, page)
        self._notes[key] = (*key, peer.heard_ms, author.key + author.incarnation + payload)
        return True

    def ring_at(self, prefix: str, author: Author, payload: bytes) -> bool:
        """Take the index of a mailbox that another device has under the topics of an earlier epoch (P12.13).

        Raises:
            ProtocolError: `format` or `limit`; nothing was changed.
        """
        index, peer = decode_index(payload), self._peer(author)
        if peer is None:
            raise ProtocolError("limit", "too many authors")
        before = peer.rings.get(prefix)
        if before is not None and before.counter >= index.counter:
            return False
        more = _lines(index) - _lines(before)
        if more > 0 and self.claims_count + more > CLAIMS_MAX:
            raise ProtocolError("limit", "too much is said")
        self.claims_count += more
        peer.rings[prefix] = index
        self._claims = self._moved = self._segments = None
        return True

    def ring_gone(self, prefix: str, leaf: Callable[[OriginId], bool]) -> None:
        """A mailbox under the topics of an earlier epoch was cleared; `leaf` as in `emptied`."""
        for peer in self._peers.values():
            if prefix in peer.rings and leaf(peer.origin):
                self.claims_count -= _lines(peer.rings.pop(prefix))
                self._claims = self._moved = self._segments = None

    def emptied(self, kind: Kind, leaf: Callable[[OriginId], bool]) -> None:
        """A slot was cleared: what its author said there counts no more.

        Args:
            kind: whose slot it was.
            leaf: tells whether an origin is the slot's.
        """
        for peer in self._peers.values():
            if leaf(peer.origin):
                before = _claimed(peer, kind)
                if kind is Kind.VECTOR:
                    peer.pages.clear()
                    peer.acks = {}
                    self._speakers = None
                elif kind is Kind.STANDING or (kind is Kind.INDEX and peer.origin not in self._left):
                    setattr(peer, kind.name.lower(), None)
                self._note(peer, kind, before)
                self._recount()

    def forget_vector(self, peer: Peer) -> None:
        """What a peer said it holds counts no more."""
        peer.pages.clear()
        peer.acks = {}
        self._speakers = None
        self._recount()

    def claims(self, own: OriginState | None) -> dict[OriginId, int]:
        """Origin -> the highest seq that a current device's vector, or any mailbox, is said to hold: hints.

        Not to be changed. Kept up to date claim by claim; gathered anew when `current` changes.
        """
        current = self.current(own)
        if self._claims is None:
            self._claims = claims = dict[OriginId, int]()
            for peer in current:
                _raise(claims, peer.acks)
            for peer in self._peers.values():
                _raise(claims, _claimed(peer, Kind.INDEX))
                for index in peer.rings.values():
                    _raise(claims, _named(index))
        return self._claims

    def speakers(self) -> list[Peer]:
        """All authors of vectors: in a large group these are few for long. Not to be changed."""
        if self._speakers is None:
            self._speakers = [peer for peer in self._peers.values() if peer.pages]
        return self._speakers

    def claimants(self, own: OriginState | None, origin: OriginId, first: int) -> list[Peer]:
        """Those of `current` that say they hold the seq `first` of an origin, in the same order."""
        hinted = self.claims(own).get(origin, 0) >= first
        found = [peer for peer in self.speakers() if peer.claims(origin, first)] if hinted else []
        writer = self._peers.get(origin)
        if writer is not None and writer.claims(origin, first) and all(peer is not writer for peer in found):
            found.append(writer)
            found.sort(key=lambda peer: peer.number)
        mine = own.id if own is not None else None
        return [peer for peer in found if peer.origin != mine and peer.generation == self._newest[peer.device]]

    def segments(self, origin: OriginId) -> list[Place]:
        """Every mailbox segment of an origin that an index names, and where it stands. Not to be changed."""
        if self._segments is None:
            self._segments = {}
            for peer in self._peers.values():
                for prefix, index in (("", peer.index), *peer.rings.items()):
                    for segment in index.segments if index is not None else ():
                        place = Place(peer.origin, segment, prefix)
                        self._segments.setdefault(OriginId(segment.origin), []).append(place)
        return self._segments.get(origin, [])

    def take_moved(self) -> dict[OriginId, None] | None:
        """Origins of which others have said something else since the last call; None: it may be any."""
        moved, self._moved = self._moved, {}
        return moved

    def _note(self, peer: Peer, kind: Kind, before: dict[OriginId, Ack]) -> None:
        """A peer may claim something else than before. What it has taken back others may still claim."""
        after = _claimed(peer, kind)
        if kind is Kind.INDEX:
            self._segments = None
        changed = {origin: after.get(origin, NOTHING) for origin in {**before, **after}
                   if before.get(origin) != after.get(origin)}  # fmt: skip
        if self._moved is not None:
            self._moved.update(dict.fromkeys(changed))
        counts = kind is Kind.INDEX or (kind is Kind.VECTOR and peer.generation == self._newest.get(peer.device))
        if self._claims is None or not counts:
            return
        if any(ack.seq < before.get(origin, NOTHING).seq for origin, ack in changed.items()):
            self._claims = None
        else:
            _raise(self._claims, changed)

    def take_notes(self) -> tuple[Note, ...]:
        """Take what has to be kept of the news since the last call."""
        notes, self._notes = tuple(self._notes.values()), {}
        return notes

    def _peer(self, author: Author) -> Peer | None:
        peer = self._peers.get(author.origin)
        if peer is None and len(self._peers) < _PEERS_MAX:
            peer = self._peers[author.origin] = Peer(author, len(self._peers))
            if self._current is None or peer.device in self._newest:
                self._current = None
            else:
                self._current.append(peer)
                self._newest[peer.device] = peer.generation
        return peer

    def _take(self, peer: Peer, page: int, message: SlotMessage) -> bool:
        """Put a message in its place, if it is news."""
        before = _cost(peer)
        taken = _put(peer, page, message)
        self.claims_count += _cost(peer) - before
        return taken

    def _recount(self) -> None:
        self.claims_count = sum(map(_cost, self._peers.values()))

    def _check_room(self, author: Author, page: int, message: SlotMessage) -> None:
        """Of a vector that is longer than any may be, or of what finds no room beside all others, nothing is kept."""
        if isinstance(message, VectorPage) and (page >= _PAGES_MAX or message.pages > _PAGES_MAX):
            raise ProtocolError("limit", "vector: too many pages")
        more = _lines(message) - _lines(_held(self._peers.get(author.origin), page, message))
        if more > 0 and self.claims_count + more > CLAIMS_MAX:
            raise ProtocolError("limit", "too much is said")

    def _restore(self, kind: int, origin: OriginId, page: int, received: int, data: bytes) -> None:
        """Take what was kept; what a version before this one kept in another way is heard again sooner or later."""
        author = Author(data[:32], data[32:_AUTHOR_BYTES], OriginId(origin[:ORIGIN_BYTES]))
        try:
            message = decode_slot(Kind(kind), data[_AUTHOR_BYTES:])
            self._check_room(author, page, message)
        except (ProtocolError, ValueError):
            return
        peer = self._peer(author)
        if peer is not None:
            self._take(peer, page, message)
            self._claims = self._moved = self._speakers = None
            peer.heard_ms = max(peer.heard_ms, received)


def read_slot(group: bytes, kind: Kind, author: Author, payload: bytes) -> SlotMessage:
    """Decode and check the payload of another device's slot message.

    Raises:
        ProtocolError: it is malformed, or a head's commit signature does not hold.
    """
    message = decode_slot(kind, payload)
    if isinstance(message, Head):
        if message.system > message.seq:
            raise ProtocolError("format", "head: more system events than events")
        root = root_hash(group, author.key, author.incarnation)
        digest = commit_digest(root, message.seq, message.hlc, message.cum, message.tip)
        verify(author.key, COMMIT, digest, message.signature)
    return message


def decode_slot(kind: Kind, payload: bytes) -> SlotMessage:
    """Decode the payload of a slot message.

    Raises:
        ProtocolError: `kind` or `format`.
    """
    decode = _DECODE.get(kind)
    if decode is None:
        raise ProtocolError("kind", f"{kind.name} in a slot")
    return decode(payload)


def _put(peer: Peer, page: int, message: SlotMessage) -> bool:
    before = _held(peer, page, message)
    if before is not None and before.counter >= message.counter:
        return False
    if isinstance(message, VectorPage):
        unpack_entries(message.entries)  # junk is refused before anything is changed
        peer.pages[page] = message
        peer.acks = _acks(peer.pages)
    else:
        setattr(peer, _FIELD[type(message)], message)
    return True


def _held(peer: Peer | None, page: int, message: SlotMessage) -> SlotMessage | None:
    """What a message takes the place of."""
    if peer is None:
        return None
    if isinstance(message, VectorPage):
        return peer.pages.get(page)
    held: SlotMessage | None = getattr(peer, _FIELD[type(message)])
    return held


def _lines(message: SlotMessage | None) -> int:
    """How much a message says; a page of a vector is one line more than its entries."""
    if isinstance(message, VectorPage):
        return 1 + len(message.entries) // _ENTRY_BYTES
    if isinstance(message, Index):
        return len(message.segments)
    return len(message.items) if isinstance(message, Standing) else 0


def _cost(peer: Peer) -> int:
    return sum(map(_lines, [peer.index, peer.standing, *peer.pages.values(), *peer.rings.values()]))


def _claimed(peer: Peer, kind: Kind) -> dict[OriginId, Ack]:
    """What a peer claims by its slot of a kind: a head speaks for its own origin, vector and index for any."""
    claimed: dict[OriginId, Ack] = {}
    if kind is Kind.HEAD and peer.head is not None:
        claimed[peer.origin] = Ack(peer.head.seq, peer.head.tip)
    elif kind is Kind.VECTOR:
        claimed = peer.acks
    elif kind is Kind.INDEX and peer.index is not None:
        claimed = _named(peer.index)
    return claimed


def _named(index: Index) -> dict[OriginId, Ack]:
    named: dict[OriginId, Ack] = {}
    for segment in index.segments:
        origin = OriginId(segment.origin)
        named[origin] = Ack(max(segment.last, named.get(origin, NOTHING).seq), b"")
    return named


def _raise(claims: dict[OriginId, int], more: dict[OriginId, Ack]) -> None:
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


_DECODE: Final[dict[Kind, Callable[[bytes], SlotMessage]]] = {
    Kind.HEAD: decode_head,
    Kind.VECTOR: decode_vector,
    Kind.INDEX: decode_index,
    Kind.STANDING: decode_standing,
    Kind.PRESENCE: decode_presence,
}
_FIELD: Final[dict[type[SlotMessage], str]] = {
    Head: "head",
    Index: "index",
    Standing: "standing",
    Presence: "presence",
}
