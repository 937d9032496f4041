"""Talk: a blocking conversation with a broker, for the canary.

Owns one PahoLink and waits for its answers up to one deadline. Entering connects; leaving clears every retained
message that was published, then closes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TypeVar

from hcom_replica.errors import BrokerError
from hcom_replica.ports import Capabilities, Delivered, LinkDown, LinkEvent, LinkUp, Published, Subscribed
from hcom_replica.transport.link import LinkSettings, PahoLink
from hcom_replica.transport.url import BrokerAddress, Credentials

E = TypeVar("E", LinkUp, LinkDown, Delivered, Subscribed, Published)

_RETAINED_S: Final = 1.0
"""How long a retained message may take after SUBACK: clusters deliver them on a path of their own."""
_CLEAR_S: Final = 1.0
_CONNECT_S_MIN: Final = 0.1


class Talk:
    """One conversation.

    Attributes:
        capabilities: what the broker said in CONNACK.

    Args:
        address: where the broker listens.
        credentials: None connects anonymously.
        deadline: `time.monotonic()` at which waiting ends.
        version: the highest MQTT version to try, 5 or 4 (3.1.1).
    """

    def __init__(
        self, address: BrokerAddress, credentials: Credentials | None, *, deadline: float, version: int = 5
    ) -> None:
        self.capabilities = Capabilities(version=4)
        self._address = address
        self._deadline = deadline
        self._woken = threading.Event()
        self._events: list[LinkEvent] = []
        self._tokens = 0
        self._kept_topics: list[str] = []
        timeout_s = max(_CONNECT_S_MIN, deadline - time.monotonic())
        settings = LinkSettings(address, credentials or Credentials(), version=version, connect_timeout_s=timeout_s)
        self._link = PahoLink(settings, wake=self._woken.set)

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            BrokerError: it cannot be reached or refused us; the link is closed.
        """
        self._link.start()
        up = self._await(LinkUp)
        if up is None:
            self._link.close()
            raise self._error("no answer in time")
        self.capabilities = up.capabilities
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadline = time.monotonic() + _CLEAR_S
        for topic in self._kept_topics:
            self._publish(topic, b"", retain=True)
        self._link.close()

    def subscribe(self, topic_filter: str) -> bool:
        """Subscribe; whether the broker granted it.

        Raises:
            BrokerError: no answer in time, or the connection ended.
        """
        self._link.subscribe([topic_filter])
        answer = self._await(Subscribed, lambda one: topic_filter in one.filters)
        if answer is None:
            raise self._error("no answer to a subscription in time")
        return topic_filter not in answer.refused

    def echoes(self, topic: str, payload: bytes) -> bool:
        """Whether what we publish comes back to us."""
        if not self.subscribe(topic) or not self._publish(topic, payload, retain=False):
            return False
        return self._await(Delivered, lambda one: (one.topic, one.payload) == (topic, payload)) is not None

    def keeps(self, topic: str, payload: bytes, *, read_by: str) -> bool:
        """Whether a retained message is given to a later subscription by the filter `read_by`."""
        self._kept_topics.append(topic)
        if not self._publish(topic, payload, retain=True) or not self.subscribe(read_by):
            return False
        wanted = Delivered(topic, payload, retain=True)
        return self._await(Delivered, lambda one: one == wanted, within_s=_RETAINED_S) is not None

    def _publish(self, topic: str, payload: bytes, *, retain: bool) -> bool:
        self._tokens += 1
        token = self._tokens
        self._link.publish(topic, payload, retain=retain, token=token)
        answer = self._await(Published, lambda one: one.token == token)
        return answer is not None and not answer.refused

    def _await(
        self, kind: type[E], matching: Callable[[E], bool] = lambda _event: True, within_s: float | None = None
    ) -> E | None:
        """The first matching event ever; None when the deadline passes or the connection ends first."""
        until = self._deadline if within_s is None else min(self._deadline, time.monotonic() + within_s)
        while True:
            self._woken.clear()
            self._events += self._link.drain()
            for event in self._events:
                if isinstance(event, kind) and matching(event):
                    return event
            left_s = until - time.monotonic()
            if left_s <= 0 or any(isinstance(event, LinkDown) for event in self._events):
                return None
            self._woken.wait(left_s)

    def _error(self, otherwise: str) -> BrokerError:
        failure = self._link.failure
        if failure is None or failure.reason == "closed here":
            return BrokerError(f"{self._address.url}: {otherwise}", hint="try again, or name another broker")
        return failure.as_error(self._address)
