"""Waiting for commits of other processes, without asking for them again and again.

Where the system tells of writes to a file, a commit ends the wait; elsewhere waiting is sleeping for a moment. Never
tells for sure: the caller looks at the log whenever a wait has ended. The last write of a commit is told of when it is
on disk, an instant before readers see it.
"""

from __future__ import annotations

import select
import time
from pathlib import Path
from typing import Final, Self

from hcom_replica.folder.watch import Watch

_AWAKE_S: Final = 0.002
_AWAKE_FOR_S: Final = 60.0
_DROWSY_S: Final = 0.02
_SOON_S: Final = 0.001
"""The wait after a write that brought nothing yet: its commit is seen an instant later. Twice as long each time."""
_LOOK_S: Final = 0.05
"""The longest wait where commits are told of."""


class Changes:
    """Watches a log. A context manager.

    Args:
        folder: of the log.
    """

    def __init__(self, folder: Path) -> None:
        self._watch = Watch(folder)
        self._pause_s = _LOOK_S
        self._active = time.monotonic()

    def wait(self) -> None:
        """Return when something may have been committed, or after a moment."""
        if not self._watch.wakes:
            time.sleep(_AWAKE_S if time.monotonic() - self._active < _AWAKE_FOR_S else _DROWSY_S)
        elif self._is_told():
            self._watch.hear()
            self._pause_s = _SOON_S
        else:
            self._pause_s = min(2 * self._pause_s, _LOOK_S)

    def _is_told(self) -> bool:
        ear = select.poll()  # not select, which knows only the first thousand descriptors
        ear.register(self._watch.fileno(), select.POLLIN)
        return bool(ear.poll(self._pause_s * 1_000))

    def seen(self) -> None:
        """Something was committed: more is likely to follow soon."""
        self._pause_s, self._active = _LOOK_S, time.monotonic()

    def close(self) -> None:
        """End the watch. Idempotent."""
        self._watch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
