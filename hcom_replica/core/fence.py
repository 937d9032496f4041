"""The fence of a connection: nothing of our own is written until what the broker holds of us has been seen (P7.1).

down -> subscribing -> fencing -> grace -> open. MQTT has no end of the retained messages; an own echo, sent after all
subscriptions were granted, and a grace are the nearest thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from hcom_replica.core.effects import Disconnect, Now, Subscribe
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.frame import Kind, Packed
from hcom_replica.wire.topics import Topics

_NONCE_BYTES: Final = 16


class Stage(Enum):
    """How far a connection has come."""

    DOWN = auto()
    SUBSCRIBING = auto()
    FENCING = auto()
    GRACE = auto()
    OPEN = auto()


class Fence:
    """The fence of the current connection."""

    def __init__(self, outbox: Outbox, topics: Topics, settings: Settings) -> None:
        self._outbox = outbox
        self._topics = topics
        self._settings = settings
        self.stage = Stage.DOWN
        self.connected_ms: int | None = None
        self._nonce = b""
        self._awaited: set[str] = set()
        self._deadline = 0
        self._again = 0

    @property
    def open(self) -> bool:
        """Own slots may be written."""
        return self.stage is Stage.OPEN

    @property
    def connected(self) -> bool:
        """There is a link; asking for ranges does not wait for the fence."""
        return self.stage is not Stage.DOWN

    def link_up(self, now: Now, own: Sequence[OriginId]) -> None:
        """A new connection: subscribe to everything that all devices share, and to an own topic.

        Args:
            now: the time.
            own: this device's origins.
        """
        self.stage = Stage.SUBSCRIBING
        self.connected_ms = now.mono_ms
        self._deadline = now.mono_ms + self._settings.fence_timeout_ms
        self._nonce = self._outbox.rng.randbytes(_NONCE_BYTES)
        earlier = [name for topics in self._topics.earlier.values() for name in topics.watched(own)]
        shared, echo = (*self._topics.shared(), *earlier), self._topics.fence(self._nonce)
        self._awaited = {*shared, echo}
        self._outbox.emit(Subscribe(shared, no_local=True))
        self._outbox.emit(Subscribe((echo,)))

    def link_down(self) -> None:
        """The connection has ended."""
        self.stage = Stage.DOWN
        self.connected_ms = None

    def subscribed(self, now: Now, filters: tuple[str, ...]) -> None:
        """The broker has granted (or refused) subscriptions."""
        self._awaited.difference_update(filters)
        if self.stage is Stage.SUBSCRIBING and not self._awaited:
            self.stage = Stage.FENCING
            self._send(now)

    def _send(self, now: Now) -> None:
        """Publish to the own topic; what comes back may be lost in a queue that overflows, so it is sent again."""
        self._again = now.mono_ms + self._settings.fence_again_ms
        topic = self._topics.fence(self._nonce)
        self._outbox.publish(topic, self._outbox.seal(topic, Kind.FENCE, None, Packed(0, self._nonce)), retain=False)

    def echoed(self, now: Now, nonce: bytes) -> None:
        """A fence message came in."""
        if self.stage is Stage.FENCING and nonce == self._nonce:
            self.stage = Stage.GRACE
            self._deadline = now.mono_ms + self._settings.fence_grace_ms

    def tick(self, now: Now) -> bool:
        """Time passed. Returns True at the moment the fence opens."""
        if self.stage is Stage.FENCING and self._again <= now.mono_ms < self._deadline:
            self._send(now)
        if self.stage in (Stage.DOWN, Stage.OPEN) or now.mono_ms < self._deadline:
            return False
        if self.stage is Stage.GRACE:
            self.stage = Stage.OPEN
            return True
        self._deadline = now.mono_ms + self._settings.fence_timeout_ms
        self._outbox.emit(Disconnect("the broker does not answer subscriptions"))
        return False

    def wake_at(self) -> int | None:
        """When `tick` is wanted."""
        if self.stage in (Stage.DOWN, Stage.OPEN):
            return None
        return min(self._again, self._deadline) if self.stage is Stage.FENCING else self._deadline
