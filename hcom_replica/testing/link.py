"""A simulated link: `ports.Link` over two one-way pipes to a simulated broker, in virtual time.

Owns the path between one device and the broker: latency, bandwidth, retransmission, the end of the connection,
and the faults of the device. It must never decide what a broker would. Invariants:

- a pipe is a TCP direction: what arrives is in order, except where a fault says otherwise; a hole holds
  everything back until it is healed, and an end of the connection loses what is under way;
- each side learns of the end by itself: a device may be up at the broker (half-open) long after it gave up, so
  wills fire late; a device may publish into nothing until its keepalive runs out;
- a PUBLISH that was under way when the connection ended may or may not have been taken: nobody tells;
- exactly one LinkUp or LinkDown follows `start`; after LinkUp, one LinkDown at the end, also after `close`.

A CONNECT takes one round trip: the handshakes of TCP and TLS are not counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeVarTuple

from hcom_replica.errors import LimitError, UsageError
from hcom_replica.limits import CLIENT_ID_CHARS_MAX, SUBSCRIBE_FILTERS_MAX
from hcom_replica.ports import Capabilities, Delivered, LinkDown, LinkEvent, LinkUp, Published, Subscribed, Will
from hcom_replica.testing.broker import SimBroker
from hcom_replica.testing.faults import DeviceFaults, Faults, Kind
from hcom_replica.testing.pipe import Pipe, Profile
from hcom_replica.testing.scheduler import Scheduler, Timer
from hcom_replica.testing.session import Session
from hcom_replica.testing.topictree import check_filter, is_wildcard

Ts = TypeVarTuple("Ts")

_ACK_BYTES: Final = 4
_NO_TOKEN: Final = -1


class SimLink:
    """One simulated connection, from CONNECT to its end; see `ports.Link` for the contract of its methods.

    Args:
        broker: whom to connect to.
        scheduler: virtual time and randomness.
        device: whose faults act on this link, and whose counters the broker raises.
        client_id: at most 23 characters; drawn at random when empty, as a device does.
        will: what the broker publishes when the connection dies.
        profile: the network of the device.
        faults: the switchboard; None is a world without faults.
        wake: called when `drain` has something again; it must not call back into the link.

    Raises:
        LimitError: the client id is too long; nothing was changed.
    """

    def __init__(
        self,
        broker: SimBroker,
        scheduler: Scheduler,
        *,
        device: str,
        client_id: str = "",
        will: Will | None = None,
        profile: Profile | None = None,
        faults: Faults | None = None,
        wake: Callable[[], None] | None = None,
    ) -> None:
        if len(client_id) > CLIENT_ID_CHARS_MAX:
            raise LimitError(f"client id over {CLIENT_ID_CHARS_MAX} characters: {client_id!r}")
        self.device = device
        self.client_id = client_id or f"{scheduler.random.getrandbits(80):020x}"
        self._broker = broker
        self._scheduler = scheduler
        self._will = will
        self._profile = profile or Profile()
        self._faults: DeviceFaults = (faults or Faults(scheduler)).of(device)
        self._wake = wake
        self._up = Pipe(scheduler, self._profile, self._profile.up_bytes_per_s)
        self._down = Pipe(scheduler, self._profile, self._profile.down_bytes_per_s)
        self._state: Literal["new", "connecting", "up", "dead"] = "new"
        self._severed = False
        self._session: Session | None = None
        self._inbox: list[LinkEvent] = []
        self._outbox: deque[tuple[str, bytes, bool, int]] = deque()
        self._unacked: dict[int, int] = {}
        self._inflight = 0
        self._window = 1
        self._client_timer: Timer | None = None
        self._broker_timer: Timer | None = None
        self._life_timer: Timer | None = None

    # --- ports.Link ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect; faults of the device act from here on."""
        self._state = "connecting"
        if Kind.PARTITION in self._faults.active:
            self._faults.hits[Kind.PARTITION] += 1
            self._severed = True
            self._scheduler.after(1, self._die, "network unreachable")
            return
        self._faults.targets.append(self)
        self._client_timer = self._scheduler.after(self._profile.connect_timeout_ms, self._give_up, "no answer")
        self.holes_changed()
        self._send_up(20 + len(self.client_id), self._at_broker_connect)

    def subscribe(self, filters: Sequence[str], *, no_local: bool = False, fresh: bool = True) -> None:
        """Subscribe at QoS 1, split into packets; the options are heeded by MQTT 5 brokers only."""
        for path in filters:
            check_filter(path)
        if self._state != "up":
            return
        for start in range(0, len(filters), SUBSCRIBE_FILTERS_MAX):
            part = tuple(filters[start : start + SUBSCRIBE_FILTERS_MAX])
            self._send_up(_filters_bytes(part), self._at_broker_subscribe, part, no_local, fresh)

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """End subscriptions; deliveries under way still arrive."""
        if self._state == "up":
            self._send_up(_filters_bytes(filters), self._at_broker_unsubscribe, tuple(filters))

    def publish(self, topic: str, payload: bytes, *, retain: bool, token: int) -> None:
        """Publish at QoS 1, at most the broker's receive maximum at a time.

        Raises:
            UsageError: the topic is empty or has a wildcard; nothing was sent.
        """
        if not topic or is_wildcard(topic):
            raise UsageError(f"not a topic: {topic!r}")
        if self._state != "up":
            return
        self._unacked[token] = len(payload)
        self._outbox.append((topic, payload, retain, token))
        self._fill_window()

    def drain(self) -> list[LinkEvent]:
        """Take everything that has happened, oldest first."""
        inbox, self._inbox = self._inbox, []
        return inbox

    def pending_bytes(self) -> int:
        """Payload bytes published and not yet acknowledged; 0 once the link is down."""
        return sum(self._unacked.values())

    def close(self) -> None:
        """DISCONNECT behind what is under way; a hole may keep it from the broker, which then fires the will."""
        if self._state in ("connecting", "up"):
            self._send_up(2, self._at_broker_disconnect)
        if self._state != "dead":
            self._die("closed")

    # --- what happens to it --------------------------------------------------------------------------------

    def sever(self, *, client_after_ms: int | None = 0, broker_after_ms: int | None = None) -> bool:
        """End the connection, losing what is under way; each side learns after its time (None: its keepalive).

        Returns:
            False when it had ended before.
        """
        if self._severed or (self._state == "dead" and not self._at_broker()):
            return False
        self._severed = True
        self._learn_at_client(self._profile.client_detect_ms if client_after_ms is None else client_after_ms)
        self._learn_at_broker(self._profile.broker_detect_ms if broker_after_ms is None else broker_after_ms)
        return True

    def crash(self, *, broker_after_ms: int | None = 0) -> None:
        """The device's process dies: it hears nothing more; the OS tells the broker, or None: keepalive does."""
        self.sever(client_after_ms=None, broker_after_ms=broker_after_ms if self._up.open else None)
        self._wake = None
        self._die("crashed")
        self._inbox.clear()

    def holes_changed(self) -> None:
        """Shut or reopen the pipes as the faults say; a hole starts the keepalives' clocks, healing stops them."""
        for pipe, up in ((self._up, True), (self._down, False)):
            hole = self._faults.hole(up=up) is not None
            if hole and pipe.open:
                pipe.shut()
            elif not hole and not pipe.open:
                pipe.reopen()
        if not self._severed:
            self._watch_holes()

    def _watch_holes(self) -> None:
        if self._up.open and self._down.open:
            if self._state == "up":
                _stop(self._client_timer)
            if self._state != "dead":
                _stop(self._broker_timer)
            return
        if self._state == "up" and not _runs(self._client_timer):
            self._learn_at_client(self._profile.client_detect_ms)
        if not self._up.open and self._at_broker() and not _runs(self._broker_timer):
            self._learn_at_broker(self._profile.broker_detect_ms)

    def _learn_at_client(self, after_ms: int) -> None:
        if self._state in ("connecting", "up"):
            _stop(self._client_timer)
            if after_ms:
                self._client_timer = self._scheduler.after(after_ms, self._give_up, "connection lost")
            else:
                self._die("connection lost")

    def _learn_at_broker(self, after_ms: int) -> None:
        _stop(self._broker_timer)
        self._broker_timer = self._scheduler.after(after_ms, self._broker_gives_up)

    def _give_up(self, reason: str) -> None:
        """The device closes its socket; the broker hears of it if anything still gets through."""
        self._send_up(0, self._at_broker_reset)
        self._die(reason)

    def _broker_gives_up(self) -> None:
        if self._session is not None:
            self._broker.lost(self._session)
        self._reset_from_broker("connection lost")
        self._detach()

    def _reset_from_broker(self, reason: str) -> None:
        if not self._severed:
            self._down.send(0, self._die, reason)

    def _die(self, reason: str, refused: bool = False) -> None:
        """The device's side ends; idempotent."""
        if self._state == "dead":
            return
        self._state = "dead"
        _stop(self._client_timer)
        _stop(self._life_timer)
        self._outbox.clear()
        self._unacked.clear()
        self._push(LinkDown(reason, refused))
        self._detach()

    def _detach(self) -> None:
        """Leave the switchboard when both sides have ended."""
        if self._state == "dead" and not self._at_broker() and self in self._faults.targets:
            self._faults.targets.remove(self)

    def _at_broker(self) -> bool:
        return self._session is not None and self._session.open

    # --- on the way up, and at the broker ------------------------------------------------------------------

    def _send_up(self, size: int, callback: Callable[[*Ts], None], *args: *Ts) -> None:
        if self._severed:
            return
        self._count_hole(self._up, up=True)
        self._up.send(size, callback, *args)

    def _count_hole(self, pipe: Pipe, *, up: bool) -> None:
        if not pipe.open and (hole := self._faults.hole(up=up)) is not None:
            self._faults.hits[hole] += 1

    def _fill_window(self) -> None:
        while self._outbox and self._inflight < self._window:
            topic, payload, retain, token = self._outbox.popleft()
            self._inflight += 1
            if not self._severed:
                self._launch_publish(topic, payload, retain, token)

    def _launch_publish(self, topic: str, payload: bytes, retain: bool, token: int) -> None:
        size = self._broker.config.packet_bytes(topic, payload)
        if not self._faults.active:
            self._up.send_message(size, topic, 0, "kept", self._at_broker_publish, topic, payload, retain, token)
            return
        self._count_hole(self._up, up=True)
        if self._faults.strikes(Kind.DROP_UP):
            self._up.send(size, self.puback, Published(token))
            return
        for number, (damaged, extra_ms, order) in enumerate(self._faults.struck(payload)):
            acked = token if number == 0 else _NO_TOKEN
            self._up.send_message(size, topic, extra_ms, order, self._at_broker_publish, topic, damaged, retain, acked)

    def _at_broker_connect(self) -> None:
        if self._severed or self._state == "dead":
            return
        if not self._down.open:  # TCP's own handshake needs both ways: CONNECT leaves once the hole is healed
            self._down.send(0, self._at_broker_connect)
            return
        config = self._broker.config
        if not self._broker.running or config.refuse_clients:
            reason = config.refuse_clients if self._broker.running else "connection refused"
            self._down.send(_ACK_BYTES, self._die, reason, self._broker.running)
            return
        self._session = self._broker.connect(self.client_id, self, owner=self.device, will=self._will)
        self._down.send(_ACK_BYTES, self._come_up, self._broker.capabilities())
        self._watch_holes()

    def _at_broker_subscribe(self, filters: tuple[str, ...], no_local: bool, fresh: bool) -> None:
        if (session := self._reached()) is not None:
            self._broker.subscribe(session, filters, no_local=no_local, fresh=fresh)

    def _at_broker_unsubscribe(self, filters: tuple[str, ...]) -> None:
        if (session := self._reached()) is not None:
            self._broker.unsubscribe(session, filters)

    def _at_broker_publish(self, topic: str, payload: bytes, retain: bool, token: int) -> None:
        if (session := self._reached()) is not None:
            self._broker.publish(session, topic, payload, retain=retain, token=token)

    def _at_broker_disconnect(self) -> None:
        if (session := self._reached()) is not None:
            self._broker.disconnect(session)
            self._forget_broker_timer()

    def _at_broker_reset(self) -> None:
        if (session := self._reached()) is not None:
            self._broker.lost(session)
            self._forget_broker_timer()

    def _forget_broker_timer(self) -> None:
        _stop(self._broker_timer)
        self._detach()

    def _reached(self) -> Session | None:
        return self._session if self._session is not None and self._session.open and not self._severed else None

    # --- on the way down: the broker's Peer ----------------------------------------------------------------

    def deliver(self, message: Delivered, size: int) -> None:
        """Put a PUBLISH on the wire; on a dead connection it stays unacknowledged, and fills the queue."""
        if self._severed:
            return
        if self._faults.active:
            self._count_hole(self._down, up=False)
            if self._faults.strikes(Kind.DROP_DOWN):
                self._ack_delivery()
                return
            if self._faults.alters:
                self._deliver_altered(message, size)
                return
        self._down.send_message(size, message.topic, 0, "kept", self._receive, message)

    def _deliver_altered(self, message: Delivered, size: int) -> None:
        receive = self._receive
        for payload, extra_ms, order in self._faults.struck(message.payload):
            copy = message if payload is message.payload else replace(message, payload=payload)
            self._down.send_message(size, message.topic, extra_ms, order, receive, copy)
            receive = self._receive_again

    def suback(self, answer: Subscribed) -> None:
        """Put a SUBACK on the wire."""
        self._send_down(_ACK_BYTES + len(answer.filters), self._push_if_up, answer)

    def puback(self, answer: Published) -> None:
        """Put a PUBACK on the wire; that of a duplicate (no token) is nobody's business."""
        self._send_down(_ACK_BYTES, self._acknowledged, answer)

    def kicked(self, reason: str) -> None:
        """The broker closed the connection."""
        _stop(self._broker_timer)
        self._reset_from_broker(reason)
        self._detach()

    def _send_down(self, size: int, callback: Callable[[*Ts], None], *args: *Ts) -> None:
        if not self._severed:
            self._count_hole(self._down, up=False)
            self._down.send(size, callback, *args)

    # --- at the device -------------------------------------------------------------------------------------

    def _come_up(self, capabilities: Capabilities) -> None:
        if self._state != "connecting" or self._severed:
            return
        self._state = "up"
        self._window = capabilities.receive_max
        _stop(self._client_timer)
        if (mean := self._profile.life_ms_mean) is not None:
            life_ms = 1 + int(self._scheduler.random.expovariate(1 / mean))
            self._life_timer = self._scheduler.after(life_ms, self._break)
        self._push(LinkUp(capabilities))
        self._watch_holes()

    def _break(self) -> None:
        self.sever()

    def _receive(self, message: Delivered) -> None:
        if self._state == "up" and not self._severed:
            self._push(message)
            self._ack_delivery()

    def _receive_again(self, message: Delivered) -> None:
        self._push_if_up(message)

    def _ack_delivery(self) -> None:
        session = self._session
        if session is None or not session.open:
            return
        if self._up.open:
            session.acked_at(self._up.arrival_ms(_ACK_BYTES))
        else:
            self._up.send(_ACK_BYTES, self._ack_arrives, session)

    def _ack_arrives(self, session: Session) -> None:
        session.acked_at(self._scheduler.now_ms)

    def _acknowledged(self, answer: Published) -> None:
        if self._severed or self._unacked.pop(answer.token, None) is None:
            return
        self._inflight -= 1
        self._push(answer)
        self._fill_window()

    def _push_if_up(self, event: LinkEvent) -> None:
        if self._state == "up" and not self._severed:
            self._push(event)

    def _push(self, event: LinkEvent) -> None:
        self._inbox.append(event)
        if len(self._inbox) == 1 and self._wake is not None:
            self._wake()


def _stop(timer: Timer | None) -> None:
    if timer is not None:
        timer.cancel()


def _runs(timer: Timer | None) -> bool:
    return timer is not None and timer.pending


def _filters_bytes(filters: Sequence[str]) -> int:
    return 5 + sum(3 + len(path) for path in filters)
