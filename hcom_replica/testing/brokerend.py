"""The broker's end of a simulated connection: what arrives there is put to the broker, and its answers on the way.

Owns the session while it lasts, and when this end learns that the connection has died: by its keepalive, unless it is
told. Never decides what a broker would.
"""

from __future__ import annotations

from typing import Final, Protocol

from hcom_replica.ports import Capabilities, Delivered, Published, Subscribed, Will
from hcom_replica.testing.broker import SimBroker
from hcom_replica.testing.path import Outbound, Path
from hcom_replica.testing.scheduler import Alarm, Scheduler
from hcom_replica.testing.session import Session

_ACK_BYTES: Final = 4


class DeviceEnd(Protocol):
    """The other end, as this one sees it: what comes out there, and what both must know."""

    device: str
    client_id: str

    @property
    def dead(self) -> bool:
        """Whether it has ended."""

    def come_up(self, capabilities: Capabilities) -> None:
        """The CONNACK is there."""

    def die(self, reason: str, refused: bool = False) -> None:
        """The broker's refusal, or the end of the connection, is there. Idempotent."""

    def receive(self, message: Delivered) -> None:
        """A PUBLISH is there; the end calls `BrokerEnd.acked` if it takes it."""

    def receive_again(self, message: Delivered) -> None:
        """A copy of a PUBLISH is there, which nobody acknowledges."""

    def subscribed(self, answer: Subscribed) -> None:
        """A SUBACK is there."""

    def published(self, answer: Published) -> None:
        """A PUBACK is there."""

    def detach(self) -> None:
        """The broker's end is over; if both are, no fault can strike the connection any more."""


class BrokerEnd:
    """The session's `Peer`, and the receiver of what the device sends.

    Args:
        broker: whom it belongs to.
        scheduler: virtual time.
        path: between the ends.
        other: the device's end.
        will: what the broker publishes when the connection dies.
        detect_ms: how long it takes to notice a dead connection by its keepalive.
    """

    __slots__ = ("_alarm", "_broker", "_detect_ms", "_other", "_path", "_scheduler", "_session", "_will")

    def __init__(
        self,
        broker: SimBroker,
        scheduler: Scheduler,
        path: Path,
        other: DeviceEnd,
        *,
        will: Will | None,
        detect_ms: int,
    ) -> None:
        self._broker = broker
        self._scheduler = scheduler
        self._path = path
        self._other = other
        self._will = will
        self._detect_ms = detect_ms
        self._session: Session | None = None
        self._alarm = Alarm(scheduler)

    @property
    def open(self) -> bool:
        """Whether the device is up here; it may have given up long ago."""
        return self._session is not None and self._session.open

    # --- how it ends -----------------------------------------------------------------------------------------

    def lose(self, after_ms: int | None) -> None:
        """Learn that the connection has died, `after_ms` from now; None: by the keepalive."""
        self._alarm.set(self._detect_ms if after_ms is None else after_ms, self._give_up)

    def watch_holes(self) -> None:
        """A hole on the way here starts the keepalive's clock, healing stops it."""
        if self._path.whole:
            if not self._other.dead:
                self._alarm.stop()
        elif not self._path.up.open and self.open and not self._alarm.pending:
            self.lose(None)

    def _give_up(self) -> None:
        if self._session is not None:
            self._broker.lost(self._session)
        self._reset("connection lost")
        self._other.detach()

    def _reset(self, reason: str) -> None:
        if not self._path.severed:
            self._path.down.send(0, self._other.die, reason)

    # --- what arrives here -------------------------------------------------------------------------------------

    def connect(self) -> None:
        """A CONNECT is here: the broker takes or refuses the device."""
        path, config = self._path, self._broker.config
        if path.severed or self._other.dead:
            return
        if not path.down.open:  # TCP's own handshake needs both ways: CONNECT leaves once the hole is healed
            path.down.send(0, self.connect)
            return
        if not self._broker.running or config.refuse_clients:
            reason = config.refuse_clients if self._broker.running else "connection refused"
            path.down.send(_ACK_BYTES, self._other.die, reason, self._broker.running)
            return
        other = self._other
        self._session = self._broker.connect(other.client_id, self, owner=other.device, will=self._will)
        path.down.send(_ACK_BYTES, other.come_up, self._broker.capabilities())
        self.watch_holes()

    def subscribe(self, filters: tuple[str, ...], no_local: bool, fresh: bool) -> None:
        """A SUBSCRIBE is here."""
        if (session := self._reached()) is not None:
            self._broker.subscribe(session, filters, no_local=no_local, fresh=fresh)

    def unsubscribe(self, filters: tuple[str, ...]) -> None:
        """An UNSUBSCRIBE is here."""
        if (session := self._reached()) is not None:
            self._broker.unsubscribe(session, filters)

    def publish(self, message: Outbound) -> None:
        """A PUBLISH is here."""
        if (session := self._reached()) is not None:
            topic, payload, retain, token = message
            self._broker.publish(session, topic, payload, retain=retain, token=token)

    def disconnect(self) -> None:
        """A DISCONNECT is here: the will is discarded."""
        if (session := self._reached()) is not None:
            self._broker.disconnect(session)
            self._end()

    def reset(self) -> None:
        """The device has closed its socket: the will is published."""
        if (session := self._reached()) is not None:
            self._broker.lost(session)
            self._end()

    def acked(self) -> None:
        """The device acknowledges a PUBLISH, or a fault does in its place."""
        session, up = self._session, self._path.up
        if session is None or not session.open:
            return
        if up.open:
            session.acked_at(up.arrival_ms(_ACK_BYTES))
        else:
            up.send(_ACK_BYTES, self._ack_arrives, session)

    def _ack_arrives(self, session: Session) -> None:
        session.acked_at(self._scheduler.now_ms)

    def _end(self) -> None:
        self._alarm.stop()
        self._other.detach()

    def _reached(self) -> Session | None:
        return self._session if self._session is not None and self._session.open and not self._path.severed else None

    # --- what leaves from here: the session's Peer -------------------------------------------------------------

    def deliver(self, message: Delivered, size: int) -> None:
        """Put a PUBLISH on the wire; on a dead connection it stays unacknowledged, and fills the queue."""
        other = self._other
        self._path.deliver(size, message, other.receive, other.receive_again, self.acked)

    def suback(self, answer: Subscribed) -> None:
        """Put a SUBACK on the wire."""
        self._path.send_down(_ACK_BYTES + len(answer.filters), self._other.subscribed, answer)

    def puback(self, answer: Published) -> None:
        """Put a PUBACK on the wire; that of a duplicate (no token) is nobody's business."""
        self._path.send_down(_ACK_BYTES, self._other.published, answer)

    def kicked(self, reason: str) -> None:
        """The broker closed the connection."""
        self._alarm.stop()
        self._reset(reason)
        self._other.detach()
