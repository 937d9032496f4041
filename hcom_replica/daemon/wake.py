"""Waking the daemon when another process has appended: one datagram, sent and forgotten.

Owns `wake.sock`. A wake says nothing but "look at the log"; a lost one costs at most the second until the daemon looks
by itself. Appending never waits for it and never fails because of it.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

from hcom_replica.daemon.sockets import WAKE, address, remove
from hcom_replica.errors import DaemonError

_DATAGRAM = b"!"


class WakeEar:
    """The daemon's end.

    Args:
        root: the data folder, whose daemon lock the caller holds; a stale socket there is replaced.

    Raises:
        DaemonError: the socket cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)
        try:
            remove(root, WAKE)
            with address(root, WAKE) as path:
                self._socket.bind(path)
            (root / WAKE).chmod(0o600)
        except OSError as error:
            self._socket.close()
            raise DaemonError(f"cannot make {root / WAKE}: {error.strerror or error}") from error

    def fileno(self) -> int:
        """What the loop waits for."""
        return self._socket.fileno()

    def hear(self) -> None:
        """Take all wakes that have come: one look at the log answers them all."""
        with suppress(BlockingIOError):
            while True:
                self._socket.recv(16)

    def close(self) -> None:
        """Close and remove the socket. Idempotent."""
        if self._socket.fileno() >= 0:
            self._socket.close()
            remove(self._root, WAKE)


def wake(root: Path) -> bool:
    """Tell the folder's daemon to look at the log; never waits.

    Returns:
        Whether a daemon was told; False when none runs, or its queue of wakes is full (it will look anyway).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0)
        with suppress(OSError), address(root, WAKE) as path:
            sender.sendto(_DATAGRAM, path)
            return True
    return False
