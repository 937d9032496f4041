"""Reading the stable order: the unified order up to a frontier, and what came too late at the place it is given.

Owns nothing but the walk; where events stand is the core's affair (protocol-v1 section 13). A page of the log at a time
is in memory, and of what stands late one event of each origin.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from hcom_replica.core.roster import Roster
from hcom_replica.ids import EventId, OriginId
from hcom_replica.store.log import Log
from hcom_replica.store.schema import StoredEvent


class StablePlace(NamedTuple):
    """Where an event stands in the stable order; compares as they stand.

    Attributes:
        key: 16 bytes, hlc || origin: of the event itself, or, of a late one, of the event that gave it its place.
        after: empty, or of a late one its own key: it stands behind the event that gave it its place.
    """

    key: bytes
    after: bytes = b""


class StableEvent(NamedTuple):
    """An event in the stable order.

    Attributes:
        place: where it stands.
        event: as it is stored.
    """

    place: StablePlace
    event: StoredEvent

    @property
    def late(self) -> bool:
        """Whether it stands behind where it belongs by its hlc."""
        return self.place.after != b""


def stable_events(log: Log, roster: Roster, stop: bytes, after: StablePlace | None = None) -> Iterator[StableEvent]:
    """Yield what is stable, in stable order.

    Args:
        log: to read.
        roster: of that log, or of an earlier state of it.
        stop: the frontier: what has its place there or behind is not stable.
        after: begin behind this place; None begins at the start.
    """
    blocks = roster.blocks()
    if after is not None:
        for event in _block(log, roster, after.key, blocks.get(after.key, [])):
            if event.place > after:
                yield event
    start = b"" if after is None else after.key + b"\x00"
    for row in log.events(start=start, stop=stop):
        if roster.place(row.origin, row.seq, row.key) == row.key:
            yield StableEvent(StablePlace(row.key), row)
        if row.key in blocks:
            yield from _block(log, roster, row.key, blocks[row.key])


def _block(log: Log, roster: Roster, place: bytes, origins: list[OriginId]) -> Iterator[StableEvent]:
    """What stands late at a place, by hlc and origin."""
    runs = [_late(log, roster, place, origin) for origin in sorted(set(origins))]
    for row in heapq.merge(*runs, key=lambda row: row.key):
        yield StableEvent(StablePlace(place, row.key), row)


def _late(log: Log, roster: Roster, place: bytes, origin: OriginId) -> Iterator[StoredEvent]:
    state, settled = log.origin_state(origin), roster.settled_before(origin, place)
    if state is None or settled is None:
        return
    seq = max(state.base, settled)
    while (row := log.event(EventId(origin, seq := seq + 1))) is not None and row.key < place:
        found = roster.place(origin, seq, row.key)
        if found is None or found > place:
            return
        if found == place:
            yield row
