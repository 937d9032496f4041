"""Counting what goes through a simulated broker, by device and by class of topics."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from hcom_replica.testing.topictree import levels


@lru_cache(maxsize=1 << 16)
def topic_class(topic: str) -> str:
    """The first two levels of a topic: what its traffic is counted under."""
    return "/".join(levels(topic)[:2])


@dataclass(slots=True)
class Tally:
    """PUBLISH packets, seen from the broker: `in_` from clients, `out` to them, `dropped` without a word."""

    messages_in: int = 0
    bytes_in: int = 0
    messages_out: int = 0
    bytes_out: int = 0
    dropped: int = 0


@dataclass(slots=True)
class Traffic:
    """Counters of a broker's life; restarts do not reset them.

    Attributes:
        by_owner: per device (whatever client ids it used).
        by_class: per topic class, the first two levels of the topic.
        events: everything else, by a short name: takeover, will, quota, oversize, denied, retain-ignored.
    """

    by_owner: dict[str, Tally] = field(default_factory=dict)
    by_class: dict[str, Tally] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)

    def owner(self, name: str) -> Tally:
        """The counters of one device."""
        return _tally(self.by_owner, name)

    def topic(self, topic: str) -> Tally:
        """The counters of this topic's class."""
        return _tally(self.by_class, topic_class(topic))

    def note(self, event: str) -> None:
        """Count one of `events`."""
        self.events[event] = self.events.get(event, 0) + 1


def _tally(tallies: dict[str, Tally], name: str) -> Tally:
    tally = tallies.get(name)
    if tally is None:
        tally = tallies[name] = Tally()
    return tally
