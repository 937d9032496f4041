"""When a device goes to the broker that the group has moved to (protocol-v1 P16.3).

The machine says what there is to be said first; here is what holds when it cannot be said, because there is no
connection. The daemon and the simulator go by it.
"""

from __future__ import annotations

from typing import Final

from hcom_replica.core.effects import Now
from hcom_replica.core.moving import Moving
from hcom_replica.daemon.engine import Engine

CUT_OFF_MS: Final = 60_000
"""So long without a connection, and a device goes without a word: the broker that it is to leave may be gone."""


class Departure:
    """Tells when to go.

    Args:
        moving: the machine's part.
        engine: tells of the connection.
    """

    def __init__(self, moving: Moving, engine: Engine) -> None:
        self._moving = moving
        self._engine = engine
        self._cut_off_ms: int | None = None

    def due(self, now: Now) -> str | None:
        """The broker to go to now; None while there is none, or something is to be said or read here first."""
        url = self._moving.bound_for
        if url is None or self._engine.online or not self._engine.enabled:
            self._cut_off_ms = None
            return url if self._moving.may_go else None
        if self._cut_off_ms is None:
            self._cut_off_ms = now.mono_ms
        return url if now.mono_ms - self._cut_off_ms >= CUT_OFF_MS else None
