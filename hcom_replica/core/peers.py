"""What the others have said in their slots: all authors, in bounded memory.

Everything here was signed by its author and is kept under the author's origin. Nothing is ever taken from the time of
arrival, except who was heard from when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from hcom_replica.core.effects import Now
from hcom_replica.core.origin import OriginState
from hcom_replica.core.peer import (
    NOTHING,
    Peer,
    Place,
    claimed_by,
    cost,
    held_message,
    lines,
    named_in,
    put,
    raise_claims,
)
from hcom_replica.core.slotmessage import SlotMessage, decode_slot, read_slot
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import ORIGIN_BYTES, OriginId
from hcom_replica.wire.frame import Author, Kind
from hcom_replica.wire.messages import Ack, Index, VectorPage, decode_index

Note = tuple[int, OriginId, int, int, bytes]
"""(kind, author origin, page, received at wall ms, author key || incarnation || payload): as table `peers` keeps it."""

_AUTHOR_BYTES: Final = 32 + 12
_PEERS_MAX: Final = 4096
_PAGES_MAX: Final = 1024
"""Pages of a vector (protocol-v1 section 9)."""

CLAIMS_MAX: Final = 1 << 20
"""Lines of all vectors, indexes and standing wants: what a thousand devices say of a thousand. 300 MiB at most."""


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

    def forget_left(self) -> None:
        """Rings that were left behind lie under the topics of an earlier epoch now, which the next connection shows."""
        self._left.clear()

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
        before = claimed_by(peer, kind)
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
        index, known = decode_index(payload), self._peers.get(author.origin)
        before = known.rings.get(prefix) if known is not None else None
        if before is not None and before.counter >= index.counter:
            return False
        more = lines(index) - lines(before)
        if more > 0 and self.claims_count + more > CLAIMS_MAX:
            raise ProtocolError("limit", "too much is said")
        peer = self._peer(author)
        if peer is None:
            raise ProtocolError("limit", "too many authors")
        self.claims_count += more
        peer.rings[prefix] = index
        self._claims = self._moved = self._segments = None
        return True

    def ring_gone(self, prefix: str, leaf: Callable[[OriginId], bool]) -> None:
        """A mailbox under the topics of an earlier epoch was cleared; `leaf` as in `emptied`."""
        for peer in self._peers.values():
            if prefix in peer.rings and leaf(peer.origin):
                self.claims_count -= lines(peer.rings.pop(prefix))
                self._claims = self._moved = self._segments = None

    def emptied(self, kind: Kind, leaf: Callable[[OriginId], bool]) -> None:
        """A slot was cleared: what its author said there counts no more.

        Args:
            kind: whose slot it was.
            leaf: tells whether an origin is the slot's.
        """
        for peer in self._peers.values():
            if leaf(peer.origin):
                before = claimed_by(peer, kind)
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
                raise_claims(claims, peer.acks)
            for peer in self._peers.values():
                raise_claims(claims, claimed_by(peer, Kind.INDEX))
                for index in peer.rings.values():
                    raise_claims(claims, named_in(index))
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
        after = claimed_by(peer, kind)
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
            raise_claims(self._claims, changed)

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
        before = cost(peer)
        taken = put(peer, page, message)
        self.claims_count += cost(peer) - before
        return taken

    def _recount(self) -> None:
        self.claims_count = sum(map(cost, self._peers.values()))

    def _check_room(self, author: Author, page: int, message: SlotMessage) -> None:
        """Of a vector that is longer than any may be, or of what finds no room beside all others, nothing is kept."""
        if isinstance(message, VectorPage) and (page >= _PAGES_MAX or message.pages > _PAGES_MAX):
            raise ProtocolError("limit", "vector: too many pages")
        more = lines(message) - lines(held_message(self._peers.get(author.origin), page, message))
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
