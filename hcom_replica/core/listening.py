"""Which answers are heard: one fill topic for each origin that something is missing of (P6.6, P7.7)."""

from __future__ import annotations

from collections.abc import Iterable

from hcom_replica.core.effects import Subscribe, Unsubscribe
from hcom_replica.core.outbox import Outbox
from hcom_replica.ids import OriginId
from hcom_replica.wire.topics import Topics


class Listening:
    """The fill topics that are subscribed to."""

    def __init__(self, outbox: Outbox, topics: Topics) -> None:
        self._outbox = outbox
        self._topics = topics
        self._heard: dict[OriginId, tuple[int, str]] = {}

    def closed(self) -> None:
        """The link has ended, and its subscriptions with it."""
        self._heard.clear()

    def place(self, origin: OriginId, topic: str) -> int | None:
        """The seq whose answers come on a topic; None when it is not the one that is listened to for this origin."""
        first, heard = self._heard.get(origin, (None, ""))
        return first if heard == topic else None

    def listen(self, places: Iterable[tuple[OriginId, int]]) -> None:
        """Hear the answers for what begins at these places, and at no others of these origins.

        Args:
            places: (origin, lowest seq asked for); each origin once.
        """
        fresh: list[str] = []
        stale: list[str] = []
        for origin, first in places:
            before = self._heard.get(origin)
            if before is not None and before[0] == first:
                continue
            topic = self._topics.fill(origin, first)
            self._heard[origin] = first, topic
            fresh.append(topic)
            if before is not None:
                stale.append(before[1])
        if fresh:
            self._outbox.emit(Subscribe(tuple(fresh)))
        if stale:
            self._outbox.emit(Unsubscribe(tuple(stale)))

    def leave(self, origin: OriginId) -> None:
        """Nothing is missing of an origin any more."""
        heard = self._heard.pop(origin, None)
        if heard is not None:
            self._outbox.emit(Unsubscribe((heard[1],)))
