"""A client's session at a simulated broker: its subscriptions, its will, and the queue of what goes out to it.

Owns the limits of a session: how much may be in flight and how much may wait; beyond both, messages are lost without
a word. Never decides who gets what: that is the broker's affair.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Protocol

from hcom_replica.ports import Delivered, Published, Subscribed, Will
from hcom_replica.testing.brokerconfig import BrokerConfig
from hcom_replica.testing.scheduler import Scheduler, Timer
from hcom_replica.testing.traffic import Tally, Traffic


class Outgoing(NamedTuple):
    """A message on its way to sessions, looked at once for all of them: size of its packet, and where it is counted."""

    message: Delivered
    size: int
    tally: Tally


class Peer(Protocol):
    """The broker's end of a connection: what it can put on the wire to a client."""

    def deliver(self, message: Delivered, size: int) -> None:
        """Send a PUBLISH of so many bytes; the peer calls `Session.acked_at` when it knows when the PUBACK comes."""

    def suback(self, answer: Subscribed) -> None:
        """Send a SUBACK."""

    def puback(self, answer: Published) -> None:
        """Send a PUBACK."""

    def kicked(self, reason: str) -> None:
        """Close the connection; the session has ended."""


class Session:
    """A client's state at the broker: its subscriptions, will, and the queue of what goes out to it."""

    __slots__ = (
        "_acks", "_config", "_inflight", "_queue", "_ready_us", "_scheduler", "_timer",
        "client_id", "filters", "open", "owner", "peer", "tally", "will",
    )  # fmt: skip

    def __init__(
        self,
        config: BrokerConfig,
        traffic: Traffic,
        scheduler: Scheduler,
        client_id: str,
        owner: str,
        peer: Peer,
        will: Will | None,
    ) -> None:
        self._config = config
        self._scheduler = scheduler
        self.client_id = client_id
        self.owner = owner
        self.peer = peer
        self.will = will
        self.open = True
        self.filters: dict[str, bool] = {}
        self.tally = traffic.owner(owner)
        self._queue: deque[Outgoing] = deque()
        self._inflight = 0
        self._acks: deque[int] = deque()
        self._ready_us = 0
        self._timer: Timer | None = None

    @property
    def waiting(self) -> int:
        """Messages queued or not yet acknowledged."""
        self._settle()
        return len(self._queue) + self._inflight

    def offer(self, out: Outgoing) -> None:
        """Send now, or queue, or lose: the limits decide."""
        if not self.open:
            return
        if not self._queue and self._may_send():
            self._send(out)
        elif len(self._queue) < self._config.queued_max:
            self._queue.append(out)
            self._arm()
        else:
            self.tally.dropped += 1
            out.tally.dropped += 1

    def acked_at(self, ms: int) -> None:
        """A PUBACK will arrive at `ms`, never before an earlier one; known ahead, to save an entry on the agenda."""
        self._acks.append(ms)
        if self._queue:
            self._arm()

    def end(self) -> None:
        """Forget everything that was to go out."""
        self.open = False
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _may_send(self) -> bool:
        self._settle()
        paced = self._config.session_bytes_per_s is not None
        if paced and self._ready_us > self._scheduler.now_ms * 1000:
            return False
        return self._inflight < self._config.inflight_max

    def _settle(self) -> None:
        acks, now_ms = self._acks, self._scheduler.now_ms
        while acks and acks[0] <= now_ms:
            acks.popleft()
            self._inflight -= 1

    def _send(self, out: Outgoing) -> None:
        message, size, topic_tally = out
        if (rate := self._config.session_bytes_per_s) is not None:
            self._ready_us = max(self._ready_us, self._scheduler.now_ms * 1000) + size * 1_000_000 // rate
        self._inflight += 1
        for tally in (self.tally, topic_tally):
            tally.messages_out += 1
            tally.bytes_out += size
        self.peer.deliver(message, size)

    def _pump(self) -> None:
        while self._queue and self.open and self._may_send():
            self._send(self._queue.popleft())
        if self._queue and self.open:
            self._arm()

    def _arm(self) -> None:
        """Wake when the next message may go: the pace allows it and, with a full window, an ack has come."""
        due_ms = -(-self._ready_us // 1000)
        if self._inflight >= self._config.inflight_max:
            if not self._acks:
                return
            due_ms = max(due_ms, self._acks[0])
        if self._timer is None or not self._timer.pending:
            self._timer = self._scheduler.at(due_ms, self._pump)
