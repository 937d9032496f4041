"""Reading what is final, and following it: nothing that was read ever changes, and any device reads the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from hcom_replica.api.appending import wall_ms
from hcom_replica.api.event import Event
from hcom_replica.api.filters import Filter, Query
from hcom_replica.api.replica import Replica
from hcom_replica.api.stable import StablePlace

_EVERYTHING: Final = Query(system=True)
_LOOK_S: Final = 0.1


class FinalReader:
    """Reads the stable stream, each event once.

    Args:
        replica: open.
        query: which events.

    Attributes:
        place: behind which the next reading begins; None is the beginning. Another reader can begin there.

    Raises:
        UsageError: a filter cannot be read.
    """

    def __init__(self, replica: Replica, query: Query, place: StablePlace | None = None) -> None:
        self.place = place
        self._replica = replica
        self._accept = Filter(query, replica.names, replica, wall_ms())

    def read(self) -> Iterator[Event]:
        """Yield what has become final since; each event says itself whether it came `late`."""
        for found in self._replica.stable_events(_EVERYTHING, after=self.place):
            self.place = found.place
            found.event.late = found.late
            if self._accept.accepts(found.event):
                yield found.event

    def follow(self, timeout_s: float | None = None) -> Iterator[Event]:
        """Yield what becomes final, for ever; block in between.

        Args:
            timeout_s: end when nothing became final for so long; None waits for ever.
        """
        seen, quiet = -1, time.monotonic()
        while timeout_s is None or time.monotonic() - quiet < timeout_s:
            written = self._replica.log.last_txn()
            if written == seen:
                time.sleep(_LOOK_S)
                continue
            seen = written
            for event in self.read():
                yield event
                quiet = time.monotonic()
