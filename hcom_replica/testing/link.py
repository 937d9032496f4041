"""A simulated link: `ports.Link` over two one-way pipes to a simulated broker, in virtual time.

Owns the device's end of a connection, what waits there for the broker's acknowledgement, and the end of all: the path
and the broker's end hang on it. It must never decide what a broker would. Invariants:

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
from typing import Literal

from hcom_replica.errors import LimitError, UsageError
from hcom_replica.limits import CLIENT_ID_CHARS_MAX, SUBSCRIBE_FILTERS_MAX
from hcom_replica.ports import Capabilities, Delivered, LinkDown, LinkEvent, LinkUp, Published, Subscribed, Will
from hcom_replica.testing.broker import SimBroker
from hcom_replica.testing.brokerend import BrokerEnd
from hcom_replica.testing.faults import DeviceFaults, Faults, Kind
from hcom_replica.testing.path import Outbound, Path
from hcom_replica.testing.pipe import Profile
from hcom_replica.testing.scheduler import Alarm, Scheduler
from hcom_replica.testing.topictree import check_filter, is_wildcard


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
        self._profile = profile or Profile()
        self._faults: DeviceFaults = (faults or Faults(scheduler)).of(device)
        self._wake = wake
        self._path = Path(scheduler, self._profile, self._faults)
        detect_ms = self._profile.broker_detect_ms
        self._broker_end = BrokerEnd(broker, scheduler, self._path, self, will=will, detect_ms=detect_ms)
        self._state: Literal["new", "connecting", "up", "dead"] = "new"
        self._inbox: list[LinkEvent] = []
        self._outbox: deque[Outbound] = deque()
        self._unacked: dict[int, int] = {}
        self._inflight = 0
        self._window = 1
        self._alarm = Alarm(scheduler)
        self._life = Alarm(scheduler)

    # --- ports.Link ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect; faults of the device act from here on."""
        self._state = "connecting"
        if Kind.PARTITION in self._faults.active:
            self._faults.hits[Kind.PARTITION] += 1
            self._path.severed = True
            self._scheduler.after(1, self.die, "network unreachable")
            return
        self._faults.targets.append(self)
        self._alarm.set(self._profile.connect_timeout_ms, self._give_up, "no answer")
        self.holes_changed()
        self._path.send_up(20 + len(self.client_id), self._broker_end.connect)

    def subscribe(self, filters: Sequence[str], *, no_local: bool = False, fresh: bool = True) -> None:
        """Subscribe at QoS 1, split into packets; the options are heeded by MQTT 5 brokers only."""
        for path in filters:
            check_filter(path)
        if self._state != "up":
            return
        for start in range(0, len(filters), SUBSCRIBE_FILTERS_MAX):
            part = tuple(filters[start : start + SUBSCRIBE_FILTERS_MAX])
            self._path.send_up(_filters_bytes(part), self._broker_end.subscribe, part, no_local, fresh)

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """End subscriptions; deliveries under way still arrive."""
        if self._state == "up":
            self._path.send_up(_filters_bytes(filters), self._broker_end.unsubscribe, tuple(filters))

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
        self._outbox.append(Outbound(topic, payload, retain, token))
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
            self._path.send_up(2, self._broker_end.disconnect)
        if not self.dead:
            self.die("closed")

    # --- what happens to it --------------------------------------------------------------------------------

    def sever(self, *, client_after_ms: int | None = 0, broker_after_ms: int | None = None) -> bool:
        """End the connection, losing what is under way; each side learns after its time (None: its keepalive).

        Returns:
            False when it had ended before.
        """
        if self._path.severed or (self.dead and not self._broker_end.open):
            return False
        self._path.severed = True
        self._learn(self._profile.client_detect_ms if client_after_ms is None else client_after_ms)
        self._broker_end.lose(broker_after_ms)
        return True

    def crash(self, *, broker_after_ms: int | None = 0) -> None:
        """The device's process dies: it hears nothing more; the OS tells the broker, or None: keepalive does."""
        self.sever(client_after_ms=None, broker_after_ms=broker_after_ms if self._path.up.open else None)
        self._wake = None
        self.die("crashed")
        self._inbox.clear()

    def holes_changed(self) -> None:
        """Shut or reopen the pipes as the faults say; a hole starts the keepalives' clocks, healing stops them."""
        self._path.holes_changed()
        if not self._path.severed:
            self._watch_holes()

    def _watch_holes(self) -> None:
        if self._state == "up":
            if self._path.whole:
                self._alarm.stop()
            elif not self._alarm.pending:
                self._learn(self._profile.client_detect_ms)
        self._broker_end.watch_holes()

    def _learn(self, after_ms: int) -> None:
        if self._state in ("connecting", "up"):
            if after_ms:
                self._alarm.set(after_ms, self._give_up, "connection lost")
            else:
                self.die("connection lost")

    def _give_up(self, reason: str) -> None:
        """The device closes its socket; the broker hears of it if anything still gets through."""
        self._path.send_up(0, self._broker_end.reset)
        self.die(reason)

    @property
    def dead(self) -> bool:
        """Whether the device's side has ended."""
        return self._state == "dead"

    def die(self, reason: str, refused: bool = False) -> None:
        """The device's side ends; idempotent."""
        if self.dead:
            return
        self._state = "dead"
        self._alarm.stop()
        self._life.stop()
        self._outbox.clear()
        self._unacked.clear()
        self._push(LinkDown(reason, refused))
        self.detach()

    def detach(self) -> None:
        """Leave the switchboard when both sides have ended."""
        if self.dead and not self._broker_end.open and self in self._faults.targets:
            self._faults.targets.remove(self)

    # --- what the broker's end sends ------------------------------------------------------------------------

    def come_up(self, capabilities: Capabilities) -> None:
        """See DeviceEnd."""
        if self._state != "connecting" or self._path.severed:
            return
        self._state = "up"
        self._window = capabilities.receive_max
        self._alarm.stop()
        if (mean := self._profile.life_ms_mean) is not None:
            self._life.set(1 + int(self._scheduler.random.expovariate(1 / mean)), self._break)
        self._push(LinkUp(capabilities))
        self._watch_holes()

    def _break(self) -> None:
        self.sever()

    def receive(self, message: Delivered) -> None:
        """See DeviceEnd."""
        if self._state == "up" and not self._path.severed:
            self._push(message)
            self._broker_end.acked()

    def receive_again(self, message: Delivered) -> None:
        """See DeviceEnd."""
        self._push_if_up(message)

    def subscribed(self, answer: Subscribed) -> None:
        """See DeviceEnd."""
        self._push_if_up(answer)

    def published(self, answer: Published) -> None:
        """See DeviceEnd."""
        if self._path.severed or self._unacked.pop(answer.token, None) is None:
            return
        self._inflight -= 1
        self._push(answer)
        self._fill_window()

    def _fill_window(self) -> None:
        end, packet_bytes = self._broker_end, self._broker.config.packet_bytes
        while self._outbox and self._inflight < self._window:
            message = self._outbox.popleft()
            self._inflight += 1
            self._path.publish(packet_bytes(message.topic, message.payload), message, end.publish, end.puback)

    def _push_if_up(self, event: LinkEvent) -> None:
        if self._state == "up" and not self._path.severed:
            self._push(event)

    def _push(self, event: LinkEvent) -> None:
        self._inbox.append(event)
        if len(self._inbox) == 1 and self._wake is not None:
            self._wake()


def _filters_bytes(filters: Sequence[str]) -> int:
    return 5 + sum(3 + len(path) for path in filters)
