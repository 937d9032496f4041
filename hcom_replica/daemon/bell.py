"""The bell: wakes the loop from another thread or from a signal handler."""

from __future__ import annotations

import socket
from contextlib import suppress


class Bell:
    """A socket pair: one end is rung, the loop waits for the other.

    `ring` may be called from any thread at any time, also after `close`; everything else belongs to the loop.
    """

    def __init__(self) -> None:
        self._ear, self._clapper = socket.socketpair()
        self._ear.settimeout(0)
        self._clapper.settimeout(0)
        self._rung = False

    def ring(self) -> None:
        """End the loop's present wait, or its next one at once."""
        if not self._rung:  # rung and not heard yet: whatever happened will be found
            self._rung = True
            with suppress(OSError):  # a full pipe rings already; a closed one has nobody left to wake
                self._clapper.send(b"!")

    def hear(self) -> None:
        """Be ready for the next ring. What rang is looked at after this."""
        with suppress(BlockingIOError):
            while len(self._ear.recv(4096)) == 4096:
                pass
        self._rung = False

    def fileno(self) -> int:
        """What the loop waits for."""
        return self._ear.fileno()

    def signal_fd(self) -> int:
        """What `signal.set_wakeup_fd` is given."""
        return self._clapper.fileno()

    def close(self) -> None:
        """Free both ends. Idempotent."""
        self._ear.close()
        self._clapper.close()
