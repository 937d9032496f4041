"""What of our mailboxes somebody still needs (protocol-v1 P7.9, P8.3, P8.5).

Reads what is known and changes nothing. One demand is as of one moment: it is made anew for each decision.
"""

from __future__ import annotations

from functools import cached_property

from hcom_replica.core.effects import Now
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.origin import OriginState
from hcom_replica.core.peer import NOTHING, Peer
from hcom_replica.core.ring import Need, RingRun, runs_of
from hcom_replica.ids import ORIGIN_BYTES, OriginId
from hcom_replica.wire.messages import Segment


class Demand:
    """Who lacks what at one moment.

    Args:
        knowledge: what this device knows.
        own: the origin that it writes.
        now: the moment.

    Attributes:
        own: see Args.
        active: the devices that mailboxes wait for.
    """

    def __init__(self, knowledge: Knowledge, own: OriginState, now: Now) -> None:
        self._knowledge = knowledge
        self.own = own
        self.active = knowledge.active(now)

    @cached_property
    def low(self) -> int:
        """The lowest seq of the own origin that an active device acknowledges; its base when nobody is known."""
        return self._low(self.own)

    @cached_property
    def needs(self) -> list[Need]:
        """Ranges to serve beside the own origin, lowest first: earlier incarnations' and standing wants of others.

        Behind them what is needed only by those who claim more of it than is held here: they may have it all. Last
        derived origins: who lacks what they fork from can do nothing with them (P4.6).
        """
        found: list[Need] = []
        last: list[Need] = []
        for state in self._earlier_origins():
            low = self._low(state)
            if low < state.seq:
                lacking = [peer for peer in self.active if self._has(peer, state) < state.seq]
                contested = any(self._contests(peer, state) for peer in lacking) or self._knowledge.is_forked(state.id)
                more = bool(lacking) and all(peer.acks.get(state.id, NOTHING).seq > state.seq for peer in lacking)
                (last if more else found).append(Need(state.id, low, state.seq, contested))
        for peer in self.active:
            found += self._standing(peer)
        needs = sorted(found, key=_lowest) + sorted(last, key=_lowest)
        return sorted(needs, key=lambda need: self.forks_from(need.origin) is not None)

    @cached_property
    def others(self) -> list[RingRun]:
        """What all rings but the own one hold, by their newest indexes."""
        return [
            run
            for peer in self._knowledge.peers
            if peer.index is not None and peer.origin != self.own.id
            for run in runs_of(peer.index.segments)
        ]

    @cached_property
    def asked_for(self) -> list[tuple[OriginId, int]]:
        """(origin, first seq lacking) of all standing wants: what indexes name of it could not be read."""
        standing = [peer.standing for peer in self.active if peer.standing is not None]
        return [(OriginId(item.hash[:ORIGIN_BYTES]), item.first) for want in standing for item in want.items]

    def forks_from(self, origin: OriginId) -> OriginId | None:
        """The origin that a derived one is a branch of; None for others."""
        root = self._knowledge.root_of(origin)
        return None if root == origin else root

    def lacks(self, origin: OriginId, seq: int) -> bool:
        """Whether somebody lacks a seq of the own origin, or of one that is asked for."""
        if origin == self.own.id:
            return self.low < seq
        return any(need.origin == origin and need.above < seq for need in self.needs)

    def raw_after(self, seq: int) -> int:
        """Encoded bytes of the own events behind the commit at or below `seq`."""
        row = self._knowledge.log.commit_at_or_below(self.own.id, seq)
        return self.own.cum - (row.cum if row is not None else 0)

    def earlier_rings(self) -> list[Peer]:
        """Earlier incarnations of this device whose index stands on the broker."""
        own = self.own
        return [
            peer
            for peer in self._knowledge.peers
            if peer.index is not None and peer.author.key == own.key and peer.generation < own.generation
        ]

    def is_over(self, segment: Segment) -> bool:
        """Nobody needs a segment any more. A fork may have renamed its origin: all of our earlier ones count."""
        origin = OriginId(segment.origin)
        if origin == self.own.id:
            return all(self._knowledge.acked(peer, origin) >= segment.last for peer in self.active)
        state = self._knowledge.states.get(origin)
        if state is not None and state.key == self.own.key:
            earlier = self._earlier_origins()
            return all(self._knowledge.acked(peer, s.id) >= s.seq for s in earlier for peer in self.active)
        return not any(need.origin == origin and need.above < segment.last for need in self.needs)

    def _standing(self, peer: Peer) -> list[Need]:
        """What a peer asks of nobody in particular, is held here, and is not ours."""
        found: list[Need] = []
        for item in peer.standing.items if peer.standing is not None else ():
            origin = OriginId(item.hash[:ORIGIN_BYTES])
            held = self._knowledge.states.get(origin)
            if held is None or held.key == self.own.key:
                continue
            above = max(item.first - 1, self._knowledge.acked(peer, origin), held.base)
            if above < held.seq:
                contested = self._contests(peer, held) or self._has_mail(peer, held)
                found.append(Need(origin, above, held.seq, contested or self._knowledge.is_forked(origin)))
        return found

    def _low(self, state: OriginState) -> int:
        low = state.seq if self.active else state.base
        for peer in self.active:
            low = min(low, self._has(peer, state))
            if low == state.base:  # in a large group many have said nothing yet
                break
        return low

    def _has(self, peer: Peer, state: OriginState) -> int:
        """How far a device has an origin of ours: as its vector says; or, where that contradicts us, its standing want.

        Who claims another history and asks for the one from a seq on that it claims to hold has found both to be the
        same before (P4.9).
        """
        if not self._contests(peer, state):
            return max(state.base, self._knowledge.acked(peer, state.id))
        claimed, wanted = peer.acks[state.id].seq, peer.standing.items if peer.standing is not None else ()
        asked = (item.first for item in wanted if item.hash == state.hash and item.first <= min(claimed, state.seq))
        return max([state.base, *(first - 1 for first in asked)])

    def _has_mail(self, peer: Peer, state: OriginState) -> bool:
        """Whether a device asks for what a ring of its own names: there it is another history."""
        peers = self._knowledge.peers
        writers = [peers.get(place.writer) for place in peers.segments(state.id)]
        return any(writer is not None and writer.device == peer.device for writer in writers)

    def _contests(self, peer: Peer, state: OriginState) -> bool:
        """Whether a device claims something of an origin that is not what is held here."""
        ack = peer.acks.get(state.id)
        return ack is not None and ack.seq > state.base and not self._knowledge.acked(peer, state.id)

    def _earlier_origins(self) -> list[OriginState]:
        return self._knowledge.own_origins()[:-1]


def _lowest(need: Need) -> tuple[int, OriginId]:
    return need.above, need.origin
