"""Waiting for commits of other processes, without asking for them again and again.

Where the system tells of writes to a file (Linux, inotify), a commit ends the wait; elsewhere waiting is sleeping for a
moment. Never tells for sure: the caller looks at the log whenever a wait has ended. The last write of a commit is told
of when it is on disk, an instant before readers see it.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys
import time
from typing import Final, Self

from hcom_replica.store.place import DATA_FILE

_NONBLOCK_CLOEXEC: Final = os.O_NONBLOCK | os.O_CLOEXEC
_MODIFIED: Final = 0x2
_BUFFER_BYTES: Final = 4096
_AWAKE_S: Final = 0.002
_AWAKE_FOR_S: Final = 60.0
_DROWSY_S: Final = 0.02
_SOON_S: Final = 0.0002
"""The wait after a write that brought nothing yet: its commit is seen an instant later. Twice as long each time."""
_LOOK_S: Final = 0.05
"""The longest wait where commits are told of."""


class Changes:
    """Watches the log of a folder. A context manager.

    Args:
        folder: of the environment.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._fd = _watch(os.path.join(folder, DATA_FILE)) if sys.platform == "linux" else None  # noqa: PTH118
        self._pause_s = _LOOK_S
        self._active = time.monotonic()

    def wait(self) -> None:
        """Return when something may have been committed, or after a moment."""
        if self._fd is None:
            time.sleep(_AWAKE_S if time.monotonic() - self._active < _AWAKE_FOR_S else _DROWSY_S)
            return
        if select.select([self._fd], [], [], self._pause_s)[0]:
            os.read(self._fd, _BUFFER_BYTES)
            self._pause_s = _SOON_S
        else:
            self._pause_s = min(2 * self._pause_s, _LOOK_S)

    def seen(self) -> None:
        """Something was committed: more is likely to follow soon."""
        self._pause_s, self._active = _LOOK_S, time.monotonic()

    def close(self) -> None:
        """End the watch. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _watch(path: str) -> int | None:
    """Have the system tell of writes to a file; None when it does not, or has no more watches to give."""
    library = ctypes.CDLL(None)
    try:
        fd: int = library.inotify_init1(_NONBLOCK_CLOEXEC)
        if fd < 0:
            return None
        if library.inotify_add_watch(fd, os.fsencode(path), _MODIFIED) < 0:
            os.close(fd)
            return None
    except AttributeError:
        return None
    return fd
