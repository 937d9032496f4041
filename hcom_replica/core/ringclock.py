"""When the mailbox ring is to be written (protocol-v1 P8.2), and when a broker that refused something is left alone.

Knows times and sizes, never what stands in which slot.
"""

from __future__ import annotations

from hcom_replica.core.demand import Demand
from hcom_replica.core.effects import Now
from hcom_replica.core.ring import RingRun
from hcom_replica.core.settings import Settings


class RingClock:
    """The times of one ring.

    Attributes:
        due_ms: when to look again; None when only news can change anything.
        written_ms: when this process last wrote the ring; None when it has written nothing into it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open_ms: int | None = None
        self._moved_ms = 0
        self._waiting: tuple[int, int] | None = None
        self._lost = False
        self._refused = False
        self.due_ms: int | None = None
        self.written_ms: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether the ring may be written on this connection."""
        return self._open_ms is not None

    def opened(self, now: Now) -> None:
        """The fence has passed."""
        self._open_ms = self.due_ms = self._moved_ms = now.mono_ms
        self._refused = False

    def closed(self) -> None:
        """The link has ended."""
        self._open_ms = None

    def moved(self, now: Now) -> None:
        """The own log has grown, or somebody has said what they hold."""
        self._moved_ms = now.mono_ms

    def wrote(self, now: Now) -> None:
        """The ring is being written."""
        self.written_ms = now.mono_ms

    def forget(self) -> None:
        """The ring begins anew: nothing stands in it."""
        self.written_ms = None

    def refused(self) -> None:
        """The broker did not take something: write it again, after a rest."""
        self._refused = True

    def lost(self) -> None:
        """The broker does not hold something that it took: write it again."""
        self._lost = True

    def is_resting(self, now: Now) -> bool:
        """Whether the broker, having refused something, is to be left alone yet; if so sets when to look again."""
        self.due_ms = None
        until = (self.written_ms or 0) + self._settings.ring_ms
        if self._refused and now.mono_ms < until:
            self.due_ms = until
            return True
        self._lost, self._refused = self._lost or self._refused, False
        return False

    def may_clear(self, now: Now) -> bool:
        """P8.5: whether the connection is old enough that all have had the time to say what they lack."""
        return self._open_ms is not None and now.mono_ms - self._open_ms >= self._settings.clear_after_connect_ms

    def is_due(self, now: Now, demand: Demand, runs: list[RingRun], *, urgent: bool, to_clear: bool) -> bool:
        """Whether to write now; else sets when to look again.

        Args:
            now: the time.
            demand: who lacks what.
            runs: what the ring holds.
            urgent: write at once, whatever has passed.
            to_clear: something stands on the broker that is to be cleared some day.
        """
        if not urgent and not self._lost and not self._has_come(now, demand, runs, to_clear=to_clear):
            return False
        self._lost = False
        return True

    def _has_come(self, now: Now, demand: Demand, runs: list[RingRun], *, to_clear: bool) -> bool:
        settings = self._settings
        unsaved, newest = _unsaved(demand, runs)
        waited = self._waited(now, demand)
        if not unsaved:
            if demand.needs:
                return self._after(now, (self._open_ms or 0) + settings.due_ms, settings.ring_idle_ms)
            if to_clear:
                self.due_ms = now.mono_ms + settings.clear_after_connect_ms
            return False
        if unsaved >= max(newest, settings.ring_small_bytes) and self._after(now, waited, 0):
            return True
        if self.written_ms is not None and self._after(now, waited, settings.ring_ms):
            return True
        return self._after(now, max(waited, self._moved_ms + settings.due_ms), settings.ring_idle_ms)

    def _waited(self, now: Now, demand: Demand) -> int:
        """When the oldest event that somebody has not acknowledged will have waited long enough for it."""
        if self._waiting is None or demand.low >= self._waiting[1]:
            self._waiting = (now.mono_ms, demand.own.seq)
        return self._waiting[0] + self._settings.due_ms

    def _after(self, now: Now, due: int, written_ms: int) -> bool:
        """Whether `due` has come, and so much has passed since the last write; else says when to look again."""
        if self.written_ms is not None:
            due = max(due, self.written_ms + written_ms)
        if now.mono_ms >= due:
            self.due_ms = now.mono_ms + self._settings.due_ms
            return True
        self.due_ms = due if self.due_ms is None else min(due, self.due_ms)
        return False


def _unsaved(demand: Demand, ring: list[RingRun]) -> tuple[int, int]:
    """(encoded bytes after the ring's newest own run, encoded bytes of that run)."""
    runs = [run for run in ring if run.origin == demand.own.id and run.last > demand.low]
    newest = max(runs, key=lambda run: run.last, default=None)
    end = newest.last if newest is not None else demand.low
    if end >= demand.own.seq:
        return 0, 0
    if newest is None:
        return demand.raw_after(end), 0
    # A run starts behind a commit that is kept for good; the one at its end may have been thinned since.
    return demand.raw_after(newest.first - 1) - newest.raw, newest.raw
