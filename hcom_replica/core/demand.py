"""What of our mailboxes somebody still needs (protocol-v1 P7.9, P8.3, P8.5).

Reads what is known and changes nothing. One demand is as of one moment: it is made anew for each decision.
"""

from __future__ import annotations

from functools import cached_property

from hcom_replica.core.effects import Now
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.origin import OriginState
from hcom_replica.core.peers import Peer
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
        """Ranges to serve beside the own origin, lowest first: earlier incarnations' and standing wants of others."""
        found: list[Need] = []
        for state in self._earlier_origins():
            low = self._low(state)
            if low < state.seq:
                found.append(Need(state.id, low, state.seq))
        for peer in self.active:
            found += self._standing(peer)
        return sorted(found, key=lambda need: (need.above, need.origin))

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
                found.append(Need(origin, above, held.seq))
        return found

    def _low(self, state: OriginState) -> int:
        low, origin = state.seq if self.active else state.base, state.id
        for peer in self.active:
            low = min(low, max(state.base, self._knowledge.acked(peer, origin)))
            if low == state.base:  # in a large group many have said nothing yet
                break
        return low

    def _earlier_origins(self) -> list[OriginState]:
        return self._knowledge.own_origins()[:-1]
