"""PahoLink: the port `Link` over one MQTT connection, in a thread of its own.

Owns the thread, the two queues between it and the owner, the window of unacknowledged publishes and the fall from
MQTT 5 to 3.1.1. Invariants:

- One LinkUp or LinkDown answers `start`; after LinkUp exactly one LinkDown comes, last of all events, whatever ended
  the connection, a bug included.
- The owner's calls only queue; the link thread alone touches the connection. So a publish's token is known before
  its acknowledgement can arrive.
- What was queued dies with the connection: nothing of a dead link reaches a broker later.
- Memory is bounded: with `inbox_bytes_max` undrained bytes the thread stops reading, so TCP holds the broker back,
  until `drain` is called. What overflows the broker's own queue is dropped there, and anti-entropy fetches it again.
  An owner that does not drain for two keepalives loses the connection.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from hcom_replica.limits import MIB, SUBSCRIBE_FILTERS_MAX
from hcom_replica.ports import Capabilities, Delivered, LinkDown, LinkEvent, LinkUp, Published, Subscribed, Will
from hcom_replica.transport import failure as fail
from hcom_replica.transport.failure import ConnectFailed, Failure
from hcom_replica.transport.mqtt import MqttConnection
from hcom_replica.transport.poller import Poller
from hcom_replica.transport.url import BrokerAddress, Credentials

_GOODBYE_S: Final = 1.0
"""How long a clean DISCONNECT may take before the socket is closed without it."""
_JOIN_S: Final = 2.0
_WORTH_OLDER: Final = ("version", "silent", "internal")
"""A broker that knows no MQTT 5 says so, closes the connection, reads on for bytes that never come, or babbles."""
_TICK_S_MAX: Final = 1.0
_MESSAGE_OVERHEAD_BYTES: Final = 256
"""What a message in the inbox costs beside its payload: small messages must count too."""
_PACKET_OVERHEAD_BYTES: Final = 16
"""Fixed header, lengths, message id and an empty property list of a PUBLISH, rounded up."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How to connect.

    Attributes:
        address: where the broker listens.
        credentials: user name, password, trusted authorities.
        version: the highest to try; 5 falls to 4 (MQTT 3.1.1) when refused, 4 saves that attempt.
        keepalive_s: a silent broker is given up between one and two of these.
        connect_timeout_s: bounds the TCP connect, the TLS handshake, and the wait for CONNACK, each; the attempt with
            MQTT 5 waits half of it for CONNACK.
        window: most QoS 1 publishes unacknowledged at once; the broker may narrow it.
        inbox_bytes_max: undrained bytes at which reading stops.
        packet_bytes_max: MQTT 5 brokers are told to send nothing larger; larger payloads are dropped.
    """

    address: BrokerAddress
    credentials: Credentials = field(default_factory=Credentials)
    version: int = 5
    keepalive_s: int = 30
    connect_timeout_s: float = 10.0
    window: int = 20
    inbox_bytes_max: int = 64 * MIB
    packet_bytes_max: int = 1 * MIB


class _Outgoing(NamedTuple):
    """A publish that waits for room in the window; see `ports.Link.publish`."""

    topic: str
    payload: bytes
    retain: bool
    token: int


class PahoLink:
    """One connection to a broker, from CONNECT to its end (see `hcom_replica.ports.Link`).

    All public methods are called by one thread, the owner's.

    Attributes:
        dropped_messages: messages that arrived malformed or larger than allowed and were dropped.
        failure: how the connection ended, with a hint; None until LinkDown has been queued.

    Args:
        settings: how to connect.
        will: published by the broker when the connection dies without `close`; None is nothing.
        wake: called on the link thread after each event queued for `drain`; must not block.
    """

    def __init__(self, settings: LinkSettings, *, will: Will | None = None, wake: Callable[[], None]) -> None:
        self.dropped_messages = 0
        self.failure: Failure | None = None
        self._settings = settings
        self._will = will
        self._wake = wake
        self._poller = Poller()
        self._thread = threading.Thread(target=self._run, name="hcom-replica-link", daemon=True)
        self._closing = threading.Event()
        # Owner to link thread, in order; and back.
        self._commands: deque[Callable[[MqttConnection], None]] = deque()
        self._inbox: deque[LinkEvent] = deque()
        # Each counter is written by one thread only; differences may lag but never tear.
        self._inbox_in_bytes = 0
        self._inbox_out_bytes = 0
        self._handed_bytes = 0
        self._answered_bytes = 0
        # Below: link thread only.
        self._up = False
        self._paused = False
        self._window = settings.window
        self._packet_bytes_max: int | None = None
        self._retain_offered = True
        self._waiting: deque[_Outgoing] = deque()
        self._unanswered: dict[int, _Outgoing] = {}
        self._subscribing: dict[int, tuple[str, ...]] = {}
        self._heard_at = 0.0

    # --- the owner's side -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect. Exactly one LinkUp or LinkDown follows; after LinkUp, one LinkDown at the end."""
        self._thread.start()

    def subscribe(self, filters: Sequence[str], *, no_local: bool = False, fresh: bool = True) -> None:
        """Subscribe at QoS 1; one Subscribed follows for each SUBSCRIBE_FILTERS_MAX filters.

        Args:
            filters: topic filters.
            no_local: do not send back what this link publishes (MQTT 5; ignored on 3.1.1).
            fresh: send what is retained; False only what is published from now on (MQTT 5; ignored on 3.1.1).
        """
        for start in range(0, len(filters), SUBSCRIBE_FILTERS_MAX):
            part = tuple(filters[start : start + SUBSCRIBE_FILTERS_MAX])
            self._command(partial(self._subscribe, filters=part, no_local=no_local, fresh=fresh))

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """End subscriptions."""
        for start in range(0, len(filters), SUBSCRIBE_FILTERS_MAX):
            part = tuple(filters[start : start + SUBSCRIBE_FILTERS_MAX])
            self._command(partial(MqttConnection.unsubscribe, filters=part))

    def publish(self, topic: str, payload: bytes, *, retain: bool, token: int) -> None:
        """Publish at QoS 1; `Published(token)` follows when the broker has taken it, or never on a dead link.

        It is refused without being sent when the broker announced that it takes no such packet or retains nothing.
        """
        self._handed_bytes += len(payload)
        self._command(partial(self._enqueue, outgoing=_Outgoing(topic, payload, retain, token)))

    def _command(self, command: Callable[[MqttConnection], None]) -> None:
        if self.failure is None and not self._closing.is_set():
            self._commands.append(command)
            self._poller.ring()

    def drain(self) -> list[LinkEvent]:
        """Take everything that has happened since the last call, oldest first."""
        events = [self._inbox.popleft() for _ in range(len(self._inbox))]
        self._inbox_out_bytes += sum(_cost(event) for event in events)
        if self._paused:
            self._poller.ring()
        return events

    def pending_bytes(self) -> int:
        """Payload bytes handed to `publish` and not yet answered; 0 on a dead link."""
        return 0 if self.failure is not None else self._handed_bytes - self._answered_bytes

    def close(self) -> None:
        """DISCONNECT cleanly (the will is discarded) and free all resources. Idempotent.

        Takes up to about a second on a link that does not move. Publishes beyond the window are not sent. Only a
        link that is still connecting may leave its thread behind, until the connect timeout: it holds nothing else.
        """
        self._closing.set()
        self._poller.ring()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)
        elif self._thread.ident is None:
            self._poller.close()

    # --- the link thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        failure = self._attempt(self._settings.version)
        if failure.cause in _WORTH_OLDER and self._settings.version == 5 and not self._up:
            failure = self._attempt(4)
        self._commands.clear()
        self._waiting.clear()
        self.failure = fail.CLOSED_HERE if self._closing.is_set() else failure
        self._poller.close()
        self._post(LinkDown(self.failure.reason, self.failure.refused))

    def _attempt(self, version: int) -> Failure:
        try:
            return self._connect(version)
        except ConnectFailed as error:
            return error.failure
        except Exception as error:  # noqa: BLE001  # whatever it was, the owner must hear that the link is dead
            return fail.internal(error)

    def _connect(self, version: int) -> Failure:
        """Connect with one version and serve until the end."""
        settings = self._settings
        connect_timeout_s = settings.connect_timeout_s
        connection = MqttConnection(
            settings.address,
            settings.credentials,
            version=version,
            will=self._will,
            keepalive_s=settings.keepalive_s,
            connect_timeout_s=connect_timeout_s,
            packet_bytes_max=settings.packet_bytes_max,
            listener=self,
        )
        try:
            if self._closing.is_set():
                return fail.CLOSED_HERE
            connection.open()
            return self._serve(connection, connect_timeout_s / 2 if version == 5 else connect_timeout_s)
        finally:
            self._poller.forget()
            connection.kill()

    def _serve(self, connection: MqttConnection, answer_s: float) -> Failure:
        self._heard_at = connected_at = ticked_at = time.monotonic()
        while connection.failure is None:
            if self._closing.is_set():
                return self._goodbye(connection)
            self._step(connection, self._tick_s(connection) if self._up else min(answer_s, _TICK_S_MAX))
            now = time.monotonic()
            if not self._up and now - connected_at >= answer_s:
                return fail.silent(answer_s, self._settings.address)
            if now - ticked_at >= self._tick_s(connection):
                ticked_at = now
                self._tick(connection, now)
        if not self._up and connection.failure.cause == "lost":
            return fail.closed_before_answer(self._settings.address)
        return connection.failure

    def _step(self, connection: MqttConnection, timeout_s: float) -> None:
        if self._up:
            self._obey(connection)
        if connection.has_undecoded():
            timeout_s = 0.0
        reading = not self._is_full()
        readable = self._poller.wait(
            connection.socket(), read=reading, write=connection.wants_write(), timeout_s=timeout_s
        )
        if readable or (reading and connection.has_undecoded()):
            connection.read()
        if connection.failure is None and connection.wants_write():
            connection.write()
        if readable:
            connection.acknowledge()

    def _tick_s(self, connection: MqttConnection) -> float:
        return min(_TICK_S_MAX, (connection.keepalive_s or 60) / 4)

    def _tick(self, connection: MqttConnection, now: float) -> None:
        # paho (2.1) counts only a ping's answer as life. On a slow uplink the ping waits behind our own publishes, so
        # while acknowledgements keep coming no ping is due: the publishes keep the broker from giving us up.
        if not (self._unanswered and now - self._heard_at < connection.keepalive_s):
            connection.tick()

    def _is_full(self) -> bool:
        self._paused = True  # before looking, so that a drain from now on rings
        self._paused = self._inbox_in_bytes - self._inbox_out_bytes >= self._settings.inbox_bytes_max
        return self._paused

    def _goodbye(self, connection: MqttConnection) -> Failure:
        deadline = time.monotonic() + _GOODBYE_S
        if self._up:
            self._obey(connection)
            connection.goodbye()
        while self._up and connection.failure is None and time.monotonic() < deadline:
            self._poller.wait(connection.socket(), read=False, write=True, timeout_s=_GOODBYE_S / 10)
            connection.write()
        if connection.failure is not None:
            connection.linger(deadline - time.monotonic())
        return fail.CLOSED_HERE

    def _obey(self, connection: MqttConnection) -> None:
        """Carry out what the owner queued, as far as the window allows."""
        while self._commands:
            self._commands.popleft()(connection)
        while self._waiting and len(self._unanswered) < self._window:
            self._send(connection, self._waiting.popleft())

    def _enqueue(self, _connection: MqttConnection, outgoing: _Outgoing) -> None:
        self._waiting.append(outgoing)

    def _send(self, connection: MqttConnection, outgoing: _Outgoing) -> None:
        mid = None
        if self._is_allowed(outgoing):
            mid = connection.publish(outgoing.topic, outgoing.payload, retain=outgoing.retain)
        if mid is None:
            self._answer(outgoing, refused=True)
        else:
            self._unanswered[mid] = outgoing

    def _is_allowed(self, outgoing: _Outgoing) -> bool:
        """Brokers answer a breach of what they announced by ending the connection: refuse it here instead."""
        if outgoing.retain and not self._retain_offered:
            return False
        size = len(outgoing.topic.encode()) + len(outgoing.payload) + _PACKET_OVERHEAD_BYTES
        return self._packet_bytes_max is None or size <= self._packet_bytes_max

    def _subscribe(self, connection: MqttConnection, *, filters: tuple[str, ...], no_local: bool, fresh: bool) -> None:
        mid = connection.subscribe(filters, no_local=no_local, fresh=fresh)
        if mid is None:
            self._post(Subscribed(filters, refused=filters))
        else:
            self._subscribing[mid] = filters

    def _answer(self, outgoing: _Outgoing, *, refused: bool) -> None:
        self._answered_bytes += len(outgoing.payload)
        self._post(Published(outgoing.token, refused))

    def _post(self, event: LinkEvent) -> None:
        self._inbox_in_bytes += _cost(event)
        self._inbox.append(event)
        self._wake()

    # --- Listener: what the connection tells, on the link thread ------------------------------------------------

    def on_up(self, capabilities: Capabilities) -> None:
        """CONNACK accepted us: narrow the window, allow commands."""
        self._up = True
        self._window = min(self._settings.window, capabilities.receive_max)
        self._packet_bytes_max = capabilities.packet_bytes_max
        self._retain_offered = capabilities.retain is not False
        self._post(LinkUp(capabilities))

    def on_message(self, topic: str | None, payload: bytes, *, retain: bool) -> None:
        """Queue it for the owner unless it is malformed or too large."""
        self._heard_at = time.monotonic()
        if topic is None or len(payload) > self._settings.packet_bytes_max:
            self.dropped_messages += 1
        else:
            self._post(Delivered(topic, payload, retain))

    def on_puback(self, mid: int, *, refused: bool) -> None:
        """Give the owner its token back; the window has room again."""
        self._heard_at = time.monotonic()
        outgoing = self._unanswered.pop(mid, None)
        if outgoing is not None:
            self._answer(outgoing, refused=refused)

    def on_suback(self, mid: int, refused: Sequence[bool]) -> None:
        """Tell the owner which filters stand; filters without an answer count as refused."""
        self._heard_at = time.monotonic()
        filters = self._subscribing.pop(mid, ())
        verdicts = [*refused, *([True] * len(filters))]
        self._post(Subscribed(filters, tuple(one for one, no in zip(filters, verdicts, strict=False) if no)))


def _cost(event: LinkEvent) -> int:
    if isinstance(event, Delivered):
        return len(event.payload) + len(event.topic) + _MESSAGE_OVERHEAD_BYTES
    return _MESSAGE_OVERHEAD_BYTES
