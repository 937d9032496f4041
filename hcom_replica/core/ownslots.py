"""Our own retained slots: their current values, and the guard that puts them back (P6.2, P7.3).

Slots are state, not messages: what counts is the value that stands on the broker. Nothing here is called before the
fence.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from hcom_replica.core.effects import Now
from hcom_replica.core.outbox import Done, Outbox
from hcom_replica.core.settings import Settings
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import Kind, Signer, pack
from hcom_replica.wire.messages import Payload
from hcom_replica.wire.signing import hash32

_ECHOES_KEPT: Final = 1024


class _Value(NamedTuple):
    """What a slot should hold: sealed, empty when it was cleared; and when it was written last, monotonic ms."""

    payload: bytes
    written_ms: int


class OwnSlots:
    """What we have written into slots on this connection."""

    def __init__(self, outbox: Outbox, settings: Settings) -> None:
        self._outbox = outbox
        self._settings = settings
        self._values: dict[str, _Value] = {}
        self._spoiled: dict[str, int] = {}
        self._wrote: OrderedDict[bytes, None] = OrderedDict()
        self.spoiled_count = 0

    def write(
        self, now: Now, topic: str, kind: Kind, signer: Signer, message: Payload, done: Done | None = None
    ) -> int:
        """Put a value into a slot; returns its size in bytes."""
        return self.put(now, topic, self._outbox.seal(topic, kind, signer, pack(encode(message))), done)

    def put(self, now: Now, topic: str, payload: bytes, done: Done | None = None) -> int:
        """Put a sealed payload into a slot; an empty one clears it."""
        self._values[topic] = _Value(payload, now.mono_ms)
        self.remember(payload)
        self._spoiled.pop(topic, None)
        self._outbox.publish(topic, payload, retain=True, done=done)
        return len(payload)

    def remember(self, payload: bytes) -> None:
        """A payload goes out in our name: seen again, it is an echo."""
        self._wrote[hash32(payload)[:8]] = None
        if len(self._wrote) > _ECHOES_KEPT:
            self._wrote.popitem(last=False)

    def wrote(self, payload: bytes) -> bool:
        """Whether a payload is one that this process has written, lately enough to come back."""
        return hash32(payload)[:8] in self._wrote

    def written(self, topic: str) -> bool:
        """Whether this connection has written a slot."""
        return topic in self._values

    def topics(self) -> list[str]:
        """All slots that this connection has written."""
        return list(self._values)

    def seen(self, now: Now, topic: str, payload: bytes) -> None:
        """This stands in an own slot now."""
        value = self._values.get(topic)
        if value is not None and value.payload == payload:
            self._spoiled.pop(topic, None)
        elif value is not None:
            self.spoiled_count += 1
            self._spoiled.setdefault(topic, max(now.mono_ms, value.written_ms + self._settings.slot_guard_ms))

    def tick(self, now: Now) -> None:
        """Put back what others have overwritten, each slot at most every `slot_guard_ms`."""
        for topic in [topic for topic, due in self._spoiled.items() if due <= now.mono_ms]:
            self._outbox.trace("slot put back", topic=topic)
            self.put(now, topic, self._values[topic].payload)

    def forget(self) -> None:
        """The link has ended or our origin has changed: nothing is known to stand on the broker."""
        self._values.clear()
        self._spoiled.clear()

    def wake_at(self) -> int | None:
        """When `tick` is wanted."""
        return min(self._spoiled.values(), default=None)
