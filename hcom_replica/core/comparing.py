"""Comparing with another device: it is asked for its vector, and what contradicts is looked into (P4.9, P6.4).

Owns the waiting only. What the device says is kept as everything that is said; where its history leaves ours is found
by the hunt that such a claim begins anyway, and stands in the log as a fork.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hcom_replica.core.asking import ask_vector
from hcom_replica.core.effects import Now
from hcom_replica.core.hunts import Hunts
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.peer import Peer
from hcom_replica.ids import OriginId
from hcom_replica.wire.frame import Signer
from hcom_replica.wire.topics import Topics

_ASK_EVERY_MS: Final = 500


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far a comparison has come.

    Attributes:
        answered: the device has said what it holds since it was asked.
        settled: besides, it holds all that was held here then, and nothing that it claims is being fetched or hunted.
        questions: origin -> how many questions the newest search for a difference in it took.
    """

    answered: bool = False
    settled: bool = False
    questions: dict[OriginId, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Asked:
    """A comparison that somebody waits for.

    Attributes:
        device: 8-byte id of the other.
        counters: origin of the other -> counter of its newest vector page when this began; a greater one is an answer.
        held: origin -> seq that was held here then.
        asked_ms: monotonic, when it was asked last; None before that.
        result: how far it has come.
    """

    device: bytes
    counters: dict[OriginId, int]
    held: dict[OriginId, int]
    asked_ms: int | None = None
    result: Comparison = field(default_factory=Comparison)


class Comparer:
    """The comparisons that somebody waits for."""

    def __init__(self, outbox: Outbox, topics: Topics, knowledge: Knowledge, hunts: Hunts) -> None:
        self._outbox = outbox
        self._topics = topics
        self._knowledge = knowledge
        self._hunts = hunts
        self._comparisons: dict[int, _Asked] = {}
        self._next = 0

    def start(self, device: bytes) -> int:
        """Begin to compare with a device (8-byte id); the number is for `result` and `drop`."""
        self._next += 1
        counters = {peer.origin: _newest(peer) for peer in self._peers(device)}
        held = {state.id: state.seq for state in self._knowledge.states.values()}
        self._comparisons[self._next] = _Asked(device, counters, held)
        return self._next

    def result(self, number: int) -> Comparison:
        """How far it has come."""
        return self._comparisons[number].result

    def drop(self, number: int) -> None:
        """Nobody waits for it any more."""
        self._comparisons.pop(number, None)

    def tick(self, now: Now, signer: Signer, *, is_open: bool) -> None:
        """Look at all of them, and ask where the answer is not enough."""
        for asked in self._comparisons.values():
            peers = self._peers(asked.device)
            answered = [peer for peer in peers if _newest(peer) > asked.counters.get(peer.origin, 0)]
            settled = any(self._is_settled(peer, asked.held) for peer in answered)
            asked.result = Comparison(bool(answered), settled, self._hunts.questions())
            if is_open and not settled and (asked.asked_ms is None or now.mono_ms - asked.asked_ms >= _ASK_EVERY_MS):
                asked.asked_ms = now.mono_ms
                for peer in peers:
                    ask_vector(self._outbox, self._topics, signer, peer.origin)

    def wake_at(self) -> int | None:
        """When `tick` is wanted, while the fence is open."""
        return min(
            (
                0 if asked.asked_ms is None else asked.asked_ms + _ASK_EVERY_MS
                for asked in self._comparisons.values()
                if not asked.result.settled
            ),
            default=None,
        )

    def _peers(self, device: bytes) -> list[Peer]:
        return [peer for peer in self._knowledge.peers.current(self._knowledge.own) if peer.device == device]

    def _is_settled(self, peer: Peer, held: dict[OriginId, int]) -> bool:
        fetched = {**self._knowledge.wanted(), **self._hunts.hunted()}
        return all(peer.claims(origin, seq) for origin, seq in held.items()) and not any(
            origin in fetched for origin in (*peer.acks, peer.origin)
        )


def _newest(peer: Peer) -> int:
    """Counter of the newest page of its vector; 0 for none."""
    return max((page.counter for page in peer.pages.values()), default=0)
