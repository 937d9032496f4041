"""Claims that contradict what is held: a vector that names other bytes at a seq we hold too (P4.9).

Such a device has a history that we lack, although nothing is missing here by number: two branches of one length would
otherwise never meet. Each claim is looked into once; what comes of it is a fork, or nothing.
"""

from __future__ import annotations

from typing import Final

from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.origin import OriginState
from hcom_replica.core.peer import Peer
from hcom_replica.ids import OriginId
from hcom_replica.wire.messages import Ack

JUDGED_MAX: Final = 1 << 16
"""Claims that are remembered as looked into: false ones cost nothing to make."""


class Disputes:
    """Which false claims have been looked into. What is true stays true, so of that nothing is remembered.

    Args:
        knowledge: what is held.
    """

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._known: dict[tuple[OriginId, OriginId], Ack] = {}

    def of_peer(self, peer: Peer) -> list[tuple[OriginId, int]]:
        """(origin, seq) of the claims in a peer's newest vector that contradict what is held."""
        return [(origin, ack.seq) for origin, ack in peer.acks.items() if self._contradicts(peer, origin, ack)]

    def of_origin(self, state: OriginState) -> list[tuple[OriginId, int]]:
        """The same for an origin that has grown: claims as long as what is held, about which nobody would ask."""
        origin, seq = state.id, state.seq
        claims = [(peer, peer.acks.get(origin)) for peer in self._knowledge.peers.speakers()]
        return [
            (origin, ack.seq)
            for peer, ack in claims
            if ack is not None and ack.seq == seq and self._contradicts(peer, origin, ack)
        ]

    def _contradicts(self, peer: Peer, origin: OriginId, ack: Ack) -> bool:
        state = self._knowledge.states.get(origin)
        if state is None or not state.base < ack.seq <= state.seq or self._knowledge.holds(state, ack):
            return False
        known = self._known.get((peer.origin, origin)) == ack
        if len(self._known) >= JUDGED_MAX:
            self._known.clear()  # false claims are looked into once more, which costs a want each
        self._known[peer.origin, origin] = ack
        return not known
