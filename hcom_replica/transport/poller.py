"""Poller: one socket and a bell, waited for together.

Owns a selector and a socket pair that another thread rings. `ring` may be called from any thread at any time, also
after `close`; everything else belongs to the thread that waits.
"""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress


class Poller:
    """Waits until the watched socket is ready, the bell rings, or time is up."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._ear, self._bell = socket.socketpair()
        self._ear.settimeout(0)
        self._bell.settimeout(0)
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._watched: socket.socket | None = None
        self._interest = 0

    def ring(self) -> None:
        """End the present wait, or the next one at once."""
        with suppress(OSError):  # a full pipe already rings; a closed one has nobody left to wake
            self._bell.send(b"!")

    def wait(self, sock: socket.socket | None, *, read: bool, write: bool, timeout_s: float) -> bool:
        """Wait for `sock` (None: for the bell only).

        Returns:
            whether the socket has something to read, or an error to be found by reading.
        """
        interest = (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)
        self._watch(sock, interest if sock is not None else 0)
        readable = False
        for key, ready in self._selector.select(timeout_s):
            if key.fileobj is self._ear:
                self._hear()
            else:
                readable = bool(ready & selectors.EVENT_READ)
        return readable

    def _watch(self, sock: socket.socket | None, interest: int) -> None:
        if sock is self._watched and interest == self._interest:
            return
        if self._watched is not None and self._interest:
            self._selector.unregister(self._watched)
        if sock is not None and interest:
            self._selector.register(sock, interest)
        self._watched, self._interest = sock, interest

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            while len(self._ear.recv(4096)) == 4096:
                pass

    def forget(self) -> None:
        """Watch no socket any more; call it before the socket is closed."""
        self._watch(None, 0)

    def close(self) -> None:
        """Free the selector and the bell; the watched socket is left alone."""
        self._selector.close()
        self._ear.close()
        self._bell.close()
