"""Tells of writes to the files of a folder, of any process: inotify where there is one, else nothing.

Owns the descriptor. A lost wake costs no more than the next look; see `wakes`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

_MODIFY: Final = 0x2
_MOVED_TO: Final = 0x80
_CREATE: Final = 0x100
_FLAGS: Final = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)


class Watch:
    """Watches a folder.

    Args:
        folder: must exist.

    Attributes:
        wakes: whether this system tells of writes; where it does not, look every few ms.
    """

    def __init__(self, folder: Path) -> None:
        self._fd = -1
        if sys.platform == "linux":
            self._fd = _inotify(folder)
        self.wakes = self._fd >= 0

    def fileno(self) -> int:
        """What is waited for; -1 when there is nothing."""
        return self._fd

    def hear(self) -> None:
        """Take all that was told: one look answers it."""
        with suppress(BlockingIOError):
            while len(os.read(self._fd, 1 << 14)) > 1 << 13:
                pass

    def close(self) -> None:
        """Give it back. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self.wakes = False


def _inotify(folder: Path) -> int:
    """A descriptor that becomes readable when something in the folder is written; -1 when there is none to be had."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = int(libc.inotify_init1(_FLAGS))
    if fd >= 0 and libc.inotify_add_watch(fd, os.fsencode(folder), _MODIFY | _MOVED_TO | _CREATE) < 0:
        os.close(fd)
        return -1
    return fd
