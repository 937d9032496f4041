"""Reading our own slots back: the proof that the broker holds what our index says it does.

Only what stands retained in a slot counts. A slot that holds something else, or shows nothing in time, is lost: a
process may have died between index and slot, and a broker may forget.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hcom_replica.core.effects import Now, Subscribe, Unsubscribe
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.messages import Segment
from hcom_replica.wire.signing import hash32
from hcom_replica.wire.topics import Topics


class ReadBack:
    """Slots that are being read on this connection.

    Attributes:
        verified: slots that were found to hold what the ring says.
    """

    def __init__(self, outbox: Outbox, topics: Topics, settings: Settings) -> None:
        self._outbox = outbox
        self._topics = topics
        self._settings = settings
        self._reading: dict[str, tuple[int, int]] = {}
        self._now_ms = 0
        self.verified: set[int] = set()

    def ask(self, origin: OriginId, slots: Iterable[int]) -> None:
        """Read slots of an origin's ring, those that are not verified yet."""
        until = self._now_ms + self._settings.slot_read_ms
        names = {self._topics.segment(origin, slot): slot for slot in slots if slot not in self.verified}
        fresh = {name: slot for name, slot in names.items() if name not in self._reading}
        if fresh:
            self._reading.update({name: (slot, until) for name, slot in fresh.items()})
            self._outbox.emit(Subscribe(tuple(fresh)))

    def came(self, topic: str, payload: bytes, *, retain: bool, ring: Mapping[int, Segment]) -> int | None:
        """Something came from one of our slots; returns the slot when it was read and holds something else."""
        if topic not in self._reading or not retain:
            return None
        slot, _ = self._reading[topic]
        self._end([topic])
        segment = ring.get(slot)
        if segment is None or hash32(payload)[:8] != segment.digest:
            return slot
        self.verified.add(slot)
        return None

    def overdue(self, now: Now) -> list[int]:
        """Give up slots that showed nothing in time; returns them."""
        self._now_ms = now.mono_ms
        late = {topic: slot for topic, (slot, until) in self._reading.items() if until <= now.mono_ms}
        self._end(list(late))
        return list(late.values())

    def forget(self, slot: int) -> None:
        """A slot is about to be overwritten, or is empty."""
        self.verified.discard(slot)
        self._end([topic for topic, (read, _) in self._reading.items() if read == slot])

    def closed(self) -> None:
        """The link has ended."""
        self._reading.clear()
        self.verified.clear()

    def wake_at(self) -> int | None:
        """When `overdue` is wanted."""
        return min((until for _, until in self._reading.values()), default=None)

    def _end(self, topics: list[str]) -> None:
        for topic in topics:
            del self._reading[topic]
        if topics:
            self._outbox.emit(Unsubscribe(tuple(topics)))
