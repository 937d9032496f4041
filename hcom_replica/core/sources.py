"""Where a missing range can be had: mailbox slots that an index names, then devices that are online (P7.7).

Reads what is known and what has failed; changes nothing and asks nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hcom_replica.core.effects import Now
from hcom_replica.core.hunt import Hunt
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.peer import Peer, Place
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.hashing import blake2b

_SLOTS_AT_ONCE: Final = 8

Source = tuple[OriginId, int]
"""(holder, -1) for a device that is asked, (writer, slot) for a mailbox slot."""


@dataclass(slots=True)
class Failures:
    """When each source last brought nothing for one origin.

    Attributes:
        times: source -> monotonic ms.
        read: digests of segments that were read on the chance that they help.
    """

    times: dict[Source, int] = field(default_factory=dict)
    read: set[bytes] = field(default_factory=set)

    def recent(self, now: Now, source: Source, within_ms: int) -> bool:
        """Whether a source has failed so lately."""
        failed = self.times.get(source)
        return failed is not None and now.mono_ms - failed < within_ms


class Sources:
    """Chooses sources."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def slots(
        self, now: Now, knowledge: Knowledge, failures: Failures, origin: OriginId, first: int, hunt: Hunt | None
    ) -> list[Place]:
        """Segments that carry on from `first` without a hole, the newest index of each writer believed."""
        named = self._named(now, knowledge, failures, origin, hunt)
        return _chain([place for place in named if place.segment.last >= first], first)

    def other_slots(
        self, now: Now, knowledge: Knowledge, failures: Failures, origin: OriginId, hunt: Hunt | None
    ) -> list[Place]:
        """The lowest segments that may help where none carry on and nobody can be asked (P4.9, P7.7).

        In a hunt those that may show the difference. Else each once: of an origin of which nothing is held it may be a
        derived one, which begins somewhere; and whoever leaves what is held here may know it to be another history.
        """
        named = self._named(now, knowledge, failures, origin, hunt)
        if hunt is None:
            named = [place for place in named if place.segment.digest not in failures.read]
        starts = sorted({place.segment.first for place in named})
        return next((chain for start in starts if (chain := _chain(named, start))), [])

    def _named(
        self, now: Now, knowledge: Knowledge, failures: Failures, origin: OriginId, hunt: Hunt | None
    ) -> list[Place]:
        """Segments in rings of others that have not failed lately, and in a hunt may show the difference."""
        own, retry_ms = knowledge.own, self._settings.source_retry_ms
        return [
            place
            for place in knowledge.peers.segments(origin)
            if not failures.recent(now, (place.writer, place.segment.slot), retry_ms)
            and (own is None or place.writer != own.id)
            and (hunt is None or hunt.may_show(place.writer, place.segment))
        ]

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
            for peer in knowledge.peers.claimants(knowledge.own, origin, first)
            if peer.online(now, self._settings.online_ms)
        ]
        fresh = [peer for peer in holders if self.may_ask(now, failures, peer)]
        holders = fresh or [p for p in holders if not failures.recent(now, (p.origin, -1), again_ms)]

        def order(peer: Peer) -> tuple[bool, int, bytes]:
            """Whoever failed longest ago; in a hunt, those first who hold something else than we do."""
            same = hunting and knowledge.agrees(peer, origin)
            return same, failures.times.get((peer.origin, -1), 0), _rank(peer, origin, first)

        return min(holders, key=order, default=None)

    def may_ask(self, now: Now, failures: Failures, peer: Peer) -> bool:
        """Whether a device has not failed lately."""
        return not failures.recent(now, (peer.origin, -1), self._settings.source_retry_ms)


def _rank(peer: Peer, origin: OriginId, first: int) -> bytes:
    """Evenly spread over holders, and the same on all devices: those who lack the same ask the same (P7.7)."""
    return blake2b(peer.origin + origin + first.to_bytes(8, "big"), digest_size=8).digest()


def _chain(named: list[Place], first: int) -> list[Place]:
    """Segments that carry on from `first` without a hole, as many as are read at once."""
    chain: list[Place] = []
    while len(chain) < _SLOTS_AT_ONCE:
        fitting = [place for place in named if place.segment.first <= first <= place.segment.last]
        if not fitting:
            break
        best = max(fitting, key=lambda place: place.segment.last)
        group = [place for place in named if _together(place, best)]
        whole = {p.segment.part: p for p in group if p.segment.parts == best.segment.parts}
        if len(whole) < best.segment.parts:
            named = [place for place in named if place not in group]
            continue
        chain.extend(whole.values())
        first = best.segment.last + 1
    return chain


def _together(one: Place, other: Place) -> bool:
    """Whether two segments are parts of one run of one ring."""
    return (one.writer, one.prefix, one.segment.first, one.segment.last) == (
        other.writer,
        other.prefix,
        other.segment.first,
        other.segment.last,
    )
