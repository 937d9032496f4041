"""One daemon a folder: `daemon.lock`, held with flock while a daemon, or a command that syncs, is at work.

The system gives the lock back when its holder dies, however it dies. The file's text is the holder's pid; it means
something only while the lock is held.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from hcom_replica.errors import DaemonError

NAME: Final = "daemon.lock"
_PID_DIGITS_MAX: Final = 9
_TRIES: Final = 10
_TRY_S: Final = 0.02
"""Whoever only asks whether the lock is held holds it for a moment: so one refusal is none."""


class DaemonLock:
    """The lock, held from construction to `close`. A context manager.

    Args:
        root: the data folder; must exist.

    Raises:
        DaemonError: somebody else holds it (named by pid), or the file cannot be made.
    """

    def __init__(self, root: Path) -> None:
        try:
            self._fd = os.open(root / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DaemonError(f"cannot make {root / NAME}: {error.strerror or error}") from error
        for _ in range(_TRIES):
            if _try_lock(self._fd, fcntl.LOCK_EX):
                os.ftruncate(self._fd, 0)
                os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
                return
            time.sleep(_TRY_S)
        pid = _pid(self._fd)
        os.close(self._fd)
        raise DaemonError(
            f"a daemon already works on {root}" + (f" (pid {pid})" if pid else ""),
            hint="hcom-replica relay daemon stop ends it",
        )

    def close(self) -> None:
        """Give the lock back. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def holder(root: Path) -> int | None:
    """Return the pid of whoever works on the folder; None when nobody does; 0 when it has not written its pid yet.

    Raises:
        DaemonError: the lock cannot be read.
    """
    try:
        fd = os.open(root / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DaemonError(f"cannot read {root / NAME}: {error.strerror or error}") from error
    try:
        return None if _try_lock(fd, fcntl.LOCK_SH) else _pid(fd)
    finally:
        os.close(fd)


def _try_lock(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid(fd: int) -> int:
    return pid_in(os.pread(fd, 32, 0))


def pid_in(text: bytes) -> int:
    """The pid that a lock's text names; 0 when it names none that there can be."""
    digits = text.strip()
    return int(digits) if digits.isdigit() and len(digits) <= _PID_DIGITS_MAX else 0
