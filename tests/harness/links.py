"""LinkOwner: what a daemon is to a link, for tests: drains it and keeps what came."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from hcom_replica.ports import Delivered, LinkDown, LinkEvent, LinkUp, Published, Subscribed, Will
from hcom_replica.testing.real.waiting import wait_until
from hcom_replica.transport.link import LinkSettings, PahoLink
from hcom_replica.transport.url import BrokerAddress

E = TypeVar("E", LinkUp, LinkDown, Delivered, Subscribed, Published)
WAIT_S = 20.0


class LinkOwner:
    """Owns one PahoLink.

    Attributes:
        link: the link; drain it through `events` only.

    Args:
        address: where to connect.
        will: of the link.
        settings: further LinkSettings by name.
    """

    def __init__(self, address: BrokerAddress, *, will: Will | None = None, **settings: Any) -> None:
        self._events: list[LinkEvent] = []
        self.wakes = 0
        self.link = PahoLink(LinkSettings(address, **settings), will=will, wake=self._count_wake)
        self.link.start()

    def _count_wake(self) -> None:
        self.wakes += 1

    @property
    def events(self) -> list[LinkEvent]:
        """Everything that has happened so far, oldest first."""
        self._events += self.link.drain()
        return self._events

    def of(self, kind: type[E]) -> list[E]:
        """All events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def wait_for(self, kind: type[E], matching: Callable[[E], bool] = lambda _event: True, count: int = 1) -> list[E]:
        """Wait until `count` matching events have come; gives all of them."""

        def matched() -> list[E]:
            found = [event for event in self.of(kind) if matching(event)]
            return found if len(found) >= count else []

        return wait_until(matched, WAIT_S, lambda: f"{count} {kind.__name__}; the last events: {self.events[-5:]}")

    def up(self) -> Self:
        """Wait for LinkUp; a LinkDown instead fails at once."""
        wait_until(lambda: self.events, WAIT_S, "an answer to CONNECT")
        assert self.of(LinkUp), f"not connected: {self.events}"
        return self

    def subscribed(self, *filters: str, **options: bool) -> Self:
        """Subscribe and wait for the answer."""
        before = len(self.of(Subscribed))
        self.link.subscribe(filters, **options)
        self.wait_for(Subscribed, count=before + (len(filters) + 7) // 8)
        return self

    def published(self, topic: str, payload: bytes, *, retain: bool = False, token: int = 0) -> Published:
        """Publish and wait for the answer to this publish."""
        before = len(self.of(Published))
        self.link.publish(topic, payload, retain=retain, token=token)
        return self.wait_for(Published, count=before + 1)[-1]

    def payloads(self, topic: str) -> list[bytes]:
        """What has arrived on one topic, in order."""
        return [message.payload for message in self.of(Delivered) if message.topic == topic]

    def close(self) -> None:
        """Close the link."""
        self.link.close()

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
