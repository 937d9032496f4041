"""The lock that writers of all processes take before LMDB's own.

Owns `writer.lock` in the environment's folder. Why it exists beside LMDB's lock: a thread that waits inside LMDB cannot
be interrupted (measured: Ctrl-C is heard only when the other writer ends), one that waits here can; and where LMDB's
lock does not recover from a writer that was killed (macOS), this one says so instead of hanging for ever.

POSIX record locks: the system gives them back when the process dies, a forked child does not inherit them, and within
a process a thread lock orders the writers. Byte 0 is the writers' lock; where LMDB's lock is not robust, byte 1 is held
shared by every open environment, and the content of byte 0 is `1` while a writer is inside.
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from pathlib import Path
from typing import Final

from hcom_replica.errors import StoreError

ROBUST: Final = sys.platform == "linux"
"""Whether LMDB's own lock survives the death of a writer: it uses robust mutexes there, semaphores on macOS."""

_WRITER: Final = 0
_PRESENCE: Final = 1


class WriterLock:
    """Orders writers of one environment, in this process and all others.

    Args:
        folder: the environment's folder; `writer.lock` is made in it, mode 0600.
        robust: whether LMDB's lock recovers by itself.
    """

    def __init__(self, folder: str, *, robust: bool = ROBUST) -> None:
        self._threads = threading.Lock()
        self._robust = robust
        self._fd = os.open(Path(folder, "writer.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not robust:
            self._announce()

    def acquire(self) -> None:
        """Wait for the lock. A signal handler that raises (Ctrl-C) ends the wait.

        Raises:
            StoreError: a writer was killed inside its transaction on a system where LMDB does not recover from it.
        """
        self._threads.acquire()
        self._lock(fcntl.LOCK_EX)

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it; tell whether it was taken. Raises as `acquire`."""
        if not self._threads.acquire(blocking=False):
            return False
        try:
            self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # which of them depends on the system
            return False
        return True

    def _lock(self, how: int) -> None:
        try:
            fcntl.lockf(self._fd, how, 1, _WRITER)
            if not self._robust:
                self._enter()
        except BaseException:
            self._release_all()
            raise

    def release(self) -> None:
        """Give the lock to the next writer."""
        if not self._robust:
            os.pwrite(self._fd, b"0", 0)
        self._release_all()

    def close(self) -> None:
        """Close the file; gives back whatever is held. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _release_all(self) -> None:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _WRITER)
        finally:
            self._threads.release()

    def _enter(self) -> None:
        if os.pread(self._fd, 1, 0) == b"1":
            raise StoreError(
                "a process was killed while it wrote to this folder, and this system cannot release its lock",
                hint="stop every hcom-replica process of this folder, then try again; nothing acknowledged is lost",
            )
        os.pwrite(self._fd, b"1", 0)

    def _announce(self) -> None:
        """Hold byte 1 shared; if nobody else does, LMDB makes its lock anew at this open, and so do we."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _PRESENCE)
            os.pwrite(self._fd, b"0", 0)
        except OSError:
            pass  # others have it open: the mark stands
        fcntl.lockf(self._fd, fcntl.LOCK_SH, 1, _PRESENCE)
