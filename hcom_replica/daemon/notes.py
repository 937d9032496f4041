"""Peers' slot messages on their way to table `peers`: gathered, so that a chatty group costs one commit a second.

They are a convenience of `status` without a network: losing them loses no data, so a crash may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from hcom_replica.core.effects import Now
from hcom_replica.core.peers import Note
from hcom_replica.errors import StoreError
from hcom_replica.ids import OriginId

PERIOD_MS: Final = 1_000
RETRY_MS: Final = 60_000
KEPT_MAX: Final = 1_024
"""So many different slots are written at once, without waiting for the second to pass: 1 MiB at most waits."""


class NoteKeeper:
    """Notes that wait; of one slot only the newest.

    Args:
        write: stores them in one transaction; may raise StoreError.
    """

    def __init__(self, write: Callable[[Iterable[Note]], None]) -> None:
        self._write = write
        self._notes: dict[tuple[int, OriginId, int], Note] = {}
        self._due_ms: int | None = None

    def add(self, notes: Iterable[Note], now: Now) -> None:
        """Take notes; they are written within a second."""
        for note in notes:
            self._notes[note[:3]] = note
        if self._notes and self._due_ms is None:
            self._due_ms = now.mono_ms + PERIOD_MS

    def tick(self, now: Now) -> None:
        """Write when it is time."""
        if self._due_ms is not None and (now.mono_ms >= self._due_ms or len(self._notes) > KEPT_MAX):
            self.flush(now)

    def flush(self, now: Now) -> None:
        """Write what waits, now. A store that fails is tried again a minute later, with what is newest then."""
        if not self._notes:
            return
        try:
            self._write(list(self._notes.values()))
        except StoreError:
            self._due_ms = now.mono_ms + RETRY_MS
            if len(self._notes) > KEPT_MAX:
                self._notes.clear()
        else:
            self._notes.clear()
            self._due_ms = None

    def wake_at(self) -> int | None:
        """Monotonic ms at which `tick` is wanted."""
        return self._due_ms
