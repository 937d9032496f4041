"""Where a missing range can be had: mailbox slots that an index names, then devices that are online (P7.7).

Reads what is known and what has failed; changes nothing and asks nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from hcom_replica.core.effects import Now
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.peers import Peer
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.messages import Segment

_SLOTS_AT_ONCE: Final = 8

Source = tuple[OriginId, int]
"""(holder, -1) for a device that is asked, (writer, slot) for a mailbox slot."""

Place = tuple[OriginId, Segment]
"""A segment, and the writer in whose ring it stands."""


@dataclass(slots=True)
class Failures:
    """When each source last brought nothing for one origin.

    Attributes:
        times: source -> monotonic ms.
    """

    times: dict[Source, int] = field(default_factory=dict)

    def recent(self, now: Now, source: Source, within_ms: int) -> bool:
        """Whether a source has failed so lately."""
        failed = self.times.get(source)
        return failed is not None and now.mono_ms - failed < within_ms


class Sources:
    """Chooses sources."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def slots(self, now: Now, knowledge: Knowledge, failures: Failures, origin: OriginId, first: int) -> list[Place]:
        """Segments that carry on from `first` without a hole, the newest index of each writer believed."""
        retry_ms = self._settings.source_retry_ms
        named = [
            place
            for place in knowledge.peers.segments(origin)
            if place[1].last >= first and not failures.recent(now, (place[0], place[1].slot), retry_ms)
        ]
        chain: list[Place] = []
        while len(chain) < _SLOTS_AT_ONCE:
            fitting = [place for place in named if place[1].first <= first <= place[1].last]
            if not fitting:
                break
            writer, best = max(fitting, key=lambda place: place[1].last)
            group = [
                place
                for place in named
                if place[0] == writer and (place[1].first, place[1].last) == (best.first, best.last)
            ]
            whole = {segment.part: (writer, segment) for _, segment in group if segment.parts == best.parts}
            if len(whole) < best.parts:
                named = [place for place in named if place not in group]
                continue
            chain.extend(whole.values())
            first = best.last + 1
        return chain

    def holder(
        self,
        now: Now,
        knowledge: Knowledge,
        failures: Failures,
        origin: OriginId,
        first: int,
        *,
        again_ms: int,
        hunting: bool,
    ) -> Peer | None:
        """A device to ask for what begins at `first`.

        Args:
            now: the time.
            knowledge: what is known.
            failures: of this origin.
            origin: whose events.
            first: the lowest seq wanted.
            again_ms: when all have failed, one is asked again after so long.
            hunting: prefer those who hold something else than we do.
        """
        holders = [
            peer
            for peer in knowledge.peers.current(knowledge.own)
            if claims(peer, origin, first) and peer.online(now, self._settings.online_ms)
        ]
        fresh = [peer for peer in holders if self.may_ask(now, failures, peer)]
        holders = fresh or [p for p in holders if not failures.recent(now, (p.origin, -1), again_ms)]

        def order(peer: Peer) -> tuple[bool, int, bytes]:
            """Whoever failed longest ago; in a hunt, those first who hold something else than we do."""
            same = hunting and knowledge.acked(peer, origin) > 0
            return same, failures.times.get((peer.origin, -1), 0), _rank(peer, origin, first)

        return min(holders, key=order, default=None)

    def may_ask(self, now: Now, failures: Failures, peer: Peer) -> bool:
        """Whether a device has not failed lately."""
        return not failures.recent(now, (peer.origin, -1), self._settings.source_retry_ms)


def claims(peer: Peer, origin: OriginId, first: int) -> bool:
    """Whether a peer says that it holds the seq `first` of an origin."""
    ack = peer.acks.get(origin)
    if ack is not None and ack.seq >= first:
        return True
    return peer.origin == origin and peer.head is not None and peer.head.seq >= first


def _rank(peer: Peer, origin: OriginId, first: int) -> bytes:
    """Evenly spread over holders, and the same on all devices: those who lack the same ask the same (P7.7)."""
    return blake2b(peer.origin + origin + first.to_bytes(8, "big"), digest_size=8).digest()
