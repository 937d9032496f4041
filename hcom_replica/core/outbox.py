"""Making messages: seals and signs them, hands out tokens and slot counters, collects effects in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hcom_replica.core.effects import Effect, Publish, Trace
from hcom_replica.wire.frame import Kind, Packed, Signer, close_frame
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.seal import NONCE_BYTES

Done = Callable[[bool], None]
"""Called when the broker has answered a publish: True when it took it."""


class Random(Protocol):
    """The randomness of a machine: `random.Random` has it, seeded or not."""

    def random(self) -> float:
        """From 0 up to 1."""

    def randbytes(self, n: int, /) -> bytes:
        """N random bytes."""


class Outbox:
    """Effects of the current step, and the tokens of what the broker has not answered yet.

    Args:
        keys: the group at its epoch.
        rng: randomness for nonces; a real one in production, seeded in simulations.
        boot: upper half of the slot counter (P6.2); raised durably before this object is made.
    """

    def __init__(self, keys: GroupKeys, rng: Random, boot: int) -> None:
        self.keys = keys
        self.rng = rng
        self.boot = boot
        self.effects: list[Effect] = []
        self._counter = 0
        self._token = 0
        self._waiting: dict[int, Done | None] = {}

    def counter(self) -> int:
        """The next slot counter."""
        self._counter += 1
        return self.boot << 32 | self._counter

    def emit(self, effect: Effect) -> None:
        """Add an effect."""
        self.effects.append(effect)

    def trace(self, event: str, **fields: str | int | bool | None) -> None:
        """Add a line for the log."""
        self.effects.append(Trace(event, tuple(fields.items())))

    def seal(
        self, topic: str, kind: Kind, signer: Signer | None, packed: Packed, keys: GroupKeys | None = None
    ) -> bytes:
        """Make the MQTT payload of a message for one topic, of the present epoch unless keys of another are given."""
        return close_frame(keys or self.keys, topic, kind, signer, packed, self.rng.randbytes(NONCE_BYTES))

    def publish(self, topic: str, payload: bytes, *, retain: bool, done: Done | None = None) -> None:
        """Publish a sealed payload; `done` is called with the broker's answer, never after the link has ended."""
        self._token += 1
        self._waiting[self._token] = done
        self.effects.append(Publish(self._token, topic, payload, retain))

    def answered(self, token: int, *, taken: bool) -> None:
        """The broker has answered a publish."""
        done = self._waiting.pop(token, None)
        if done is not None:
            done(taken)

    def forget(self) -> None:
        """The link has ended: nothing that was published on it will be answered."""
        self._waiting.clear()

    def waiting(self) -> int:
        """How many publishes the broker has not answered."""
        return len(self._waiting)

    def take(self) -> list[Effect]:
        """Take the effects of this step."""
        effects, self.effects = self.effects, []
        return effects
