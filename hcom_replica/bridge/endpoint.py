"""The loopback MQTT 5 server that hcom's relay worker connects to (hcom-bridge-v1 section 3).

Owns the listening socket and its clients. It serves one group, on 127.0.0.1 only, to whoever knows the password: what
the gateway retains is given to subscribers, what clients publish is given to the gateway, and nothing goes from client
to client. It must never block; the loop that owns the selector calls it. Whoever breaks the protocol, does not read, or
does not keep alive is cut off, and only he.
"""

from __future__ import annotations

import hmac
import selectors
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from hcom_replica.bridge import mqtt5
from hcom_replica.bridge.mqtt5 import Kind, Packet, Reason
from hcom_replica.errors import BridgeError, ProtocolError
from hcom_replica.limits import MIB

HOST: Final = "127.0.0.1"
CLIENTS_MAX: Final = 16
"""One worker, a probe, and a few commands of hcom that connect for a moment."""

HELLO_MS: Final = 5_000
"""How long a connection may take to say who it is."""

PACKET_BYTES_MAX: Final = 2 * MIB
"""The largest packet a client may send; hcom's own largest is 1 MiB."""

STRANGER_BYTES_MAX: Final = 4096
"""The same, before it has shown the password."""

OUTBOX_BYTES_MAX: Final = 16 * MIB
"""What waits for a client that does not read; then it is cut off."""

FILTERS_MAX: Final = 64
"""Subscriptions of one client."""

_CONNECT: Final = Kind.CONNECT << 4
"""The first byte of whoever speaks MQTT."""

_TOPICS_MAX: Final = 4096

Heard = Callable[[str, bytes], None]
"""(topic, payload) of what a client published."""


class Endpoint:
    """The server.

    Args:
        selector: the loop's; callbacks of one argument, the ready events, are its data.
        port: 0 takes a free one.
        relay_id: first level of all topics.
        password: what clients show, with the user name `hcom`.
        heard: given what clients publish.

    Attributes:
        port: where it listens.
        refused: connections turned away or cut off, for status.

    Raises:
        BridgeError: the port is taken.
    """

    def __init__(self, selector: selectors.BaseSelector, port: int, relay_id: str, password: str, heard: Heard) -> None:
        self._selector = selector
        self._relay_id = relay_id
        self._password = password
        self._heard = heard
        self._retained: dict[str, bytes] = {}
        self._clients: list[_Client] = []
        self.refused = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((HOST, port))
            self._socket.listen(CLIENTS_MAX)
        except OSError as error:
            self._socket.close()
            raise BridgeError(
                f"port {port} of {HOST} cannot be used: {(error.strerror or str(error)).lower()}",
                hint="hcom-replica bridge hcom --setup chooses another",
            ) from None
        self._socket.settimeout(0)
        self.port: int = self._socket.getsockname()[1]
        selector.register(self._socket, selectors.EVENT_READ, self._accept)

    # --- for the gateway -----------------------------------------------------------------------------------

    def retain(self, topic: str, payload: bytes) -> None:
        """Keep the newest message of a topic, and give it to whoever subscribed."""
        if topic in self._retained or len(self._retained) < _TOPICS_MAX:
            self._retained[topic] = payload
        self.tell(topic, payload)

    def tell(self, topic: str, payload: bytes) -> None:
        """Give a message to whoever subscribed, without keeping it."""
        for client in list(self._clients):
            client.deliver(topic, payload, retain=False)

    def listeners(self) -> int:
        """How many clients have subscribed: hcom's worker, if it runs."""
        return sum(bool(client.filters) for client in self._clients)

    def packet_bytes_max(self) -> int | None:
        """The largest packet that all who listen take; None when nobody listens, or none says."""
        return min((client.packet_bytes_max for client in self._clients if client.filters), default=0) or None

    def poll(self, mono_ms: int) -> None:
        """Cut off who has been silent for too long."""
        for client in list(self._clients):
            client.check(mono_ms)

    def close(self) -> None:
        """Say good-bye and give everything back. Idempotent."""
        for client in list(self._clients):
            client.bye(Reason.SHUTTING_DOWN)
        if self._socket.fileno() >= 0:
            self._selector.unregister(self._socket)
            self._socket.close()

    # --- for clients ---------------------------------------------------------------------------------------

    def retained(self, client: _Client) -> None:
        """Give a new subscriber what is kept."""
        for topic, payload in self._retained.items():
            client.deliver(topic, payload, retain=True)

    def admits(self, username: str | None, password: bytes | None) -> bool:
        """Whether somebody knows the password."""
        return username == "hcom" and hmac.compare_digest(password or b"", self._password.encode())

    def take_over(self, client_id: str) -> None:
        """Whoever is connected under an id gives way to a new client of that id, as on every broker."""
        for client in list(self._clients):
            if client.admitted and client.client_id == client_id:
                client.bye(Reason.TAKEN_OVER)

    def is_ours(self, topic: str) -> bool:
        """Whether a topic, or `+` in its place, is of this group."""
        relay, _, rest = topic.partition("/")
        return relay == self._relay_id and bool(rest) and "/" not in rest and "#" not in rest

    def hear(self, topic: str, payload: bytes) -> None:
        """Give on what a client published."""
        self._heard(topic, payload)

    def forget(self, client: _Client, *, refused: bool) -> None:
        """A client is gone."""
        self.refused += refused
        self._clients.remove(client)

    def _accept(self, _events: int) -> None:
        with suppress(OSError):
            sock, _ = self._socket.accept()
            if len(self._clients) >= CLIENTS_MAX:
                self._make_room()
            if len(self._clients) >= CLIENTS_MAX:
                self.refused += 1
                sock.close()
                return
            self._clients.append(_Client(sock, self._selector, self))

    def _make_room(self) -> None:
        """Who has not said the password yet gives way, the oldest first."""
        for client in self._clients:
            if not client.admitted:
                client.cut()
                return


class _Client:
    """One connection."""

    def __init__(self, sock: socket.socket, selector: selectors.BaseSelector, server: Endpoint) -> None:
        sock.settimeout(0)
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._selector = selector
        self._server = server
        self._stream = mqtt5.Stream(STRANGER_BYTES_MAX)
        self._outbox = bytearray()
        self._waiting: deque[tuple[str, bytes, bool]] = deque()
        self._waiting_bytes = 0
        self._unacked: set[int] = set()
        self._identifier = 0
        self._silence_ms = HELLO_MS
        self._heard_ms: int | None = None
        self._receive_max = 0
        self.packet_bytes_max = 0
        self.admitted = False
        self.client_id = ""
        self.filters: set[str] = set()
        selector.register(sock, selectors.EVENT_READ, self._ready)

    # --- out -----------------------------------------------------------------------------------------------

    def deliver(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Send a message it has subscribed to, or let it wait until earlier ones are acknowledged."""
        wanted = topic in self.filters or topic.partition("/")[0] + "/+" in self.filters
        if not wanted or (self.packet_bytes_max and len(payload) + len(topic) + 16 > self.packet_bytes_max):
            return
        self._waiting.append((topic, payload, retain))
        self._waiting_bytes += len(payload)
        self._fill()
        if self._waiting_bytes + len(self._outbox) > OUTBOX_BYTES_MAX:
            self.cut()

    def check(self, mono_ms: int) -> None:
        """Cut it off when it has been silent for too long; the clock starts at the first look after it spoke."""
        if self._heard_ms is None:
            self._heard_ms = mono_ms
        elif self._silence_ms and mono_ms - self._heard_ms > self._silence_ms:
            self.cut()

    def bye(self, reason: Reason) -> None:
        """Say why, as far as that can be sent at once, and close."""
        if self.admitted:
            self._outbox += mqtt5.disconnect(reason)
            with suppress(OSError):
                self._socket.send(self._outbox)
        self._close(refused=False)

    def cut(self) -> None:
        """Close at once."""
        self._close(refused=True)

    def _close(self, *, refused: bool) -> None:
        if self._socket.fileno() >= 0:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._server.forget(self, refused=refused)

    def _fill(self) -> None:
        while self._waiting and len(self._unacked) < self._receive_max:
            topic, payload, retain = self._waiting.popleft()
            self._waiting_bytes -= len(payload)
            self._identifier = self._identifier % 0xFFFF + 1
            while self._identifier in self._unacked:
                self._identifier = self._identifier % 0xFFFF + 1
            self._unacked.add(self._identifier)
            self._outbox += mqtt5.publish(topic, payload, self._identifier, retain=retain)
        self._flush()

    def _flush(self) -> None:
        try:
            with suppress(BlockingIOError):
                while self._outbox:
                    sent = self._socket.send(self._outbox)
                    del self._outbox[:sent]
        except OSError:
            self._close(refused=False)
            return
        if self._socket.fileno() >= 0:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outbox else 0)
            self._selector.modify(self._socket, wanted, self._ready)

    # --- in ------------------------------------------------------------------------------------------------

    def _ready(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._flush()
        if events & selectors.EVENT_READ and self._socket.fileno() >= 0:
            self._read()

    def _read(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(refused=False)
            return
        if not self.admitted and self._stream.empty and data[0] != _CONNECT:
            self.cut()
            return
        try:
            for packet in self._stream.feed(data):
                self._take(packet)
                if self._socket.fileno() < 0:
                    return
        except ProtocolError:
            self.cut()
            return
        self._flush()

    def _take(self, packet: Packet) -> None:
        if not self.admitted:
            self._connect(packet)
            return
        self._heard_ms = None
        match packet.kind:
            case Kind.PUBLISH:
                self._publish(packet)
            case Kind.PUBACK:
                self._unacked.discard(mqtt5.read_puback(packet))
                self._fill()
            case Kind.SUBSCRIBE | Kind.UNSUBSCRIBE:
                self._subscribe(packet)
            case Kind.PINGREQ:
                self._outbox += mqtt5.pingresp()
            case Kind.DISCONNECT:
                self._close(refused=False)
            case _:
                raise ProtocolError("format", "mqtt: no packet of a client")

    def _connect(self, packet: Packet) -> None:
        if packet.kind != Kind.CONNECT:
            raise ProtocolError("format", "mqtt: CONNECT comes first")
        said = mqtt5.read_connect(packet)
        if not self._server.admits(said.username, said.password):
            with suppress(OSError):
                self._socket.send(mqtt5.connack(Reason.NOT_AUTHORIZED, PACKET_BYTES_MAX))
            self.cut()
            return
        self._server.take_over(said.client_id)
        self.client_id = said.client_id
        self.admitted = True
        self.packet_bytes_max = said.packet_bytes_max
        self._receive_max = said.receive_max
        self._silence_ms = said.keepalive_s * 1_500
        self._heard_ms = None
        self._stream.bytes_max = PACKET_BYTES_MAX
        self._outbox += mqtt5.connack(Reason.SUCCESS, PACKET_BYTES_MAX)

    def _publish(self, packet: Packet) -> None:
        said = mqtt5.read_publish(packet)
        ours = self._server.is_ours(said.topic)
        if said.identifier is not None:
            self._outbox += mqtt5.puback(said.identifier, Reason.SUCCESS if ours else Reason.NOT_AUTHORIZED)
        if ours and said.payload:
            self._server.hear(said.topic, said.payload)

    def _subscribe(self, packet: Packet) -> None:
        identifier, filters = mqtt5.read_subscribe(packet)
        if packet.kind == Kind.UNSUBSCRIBE:
            self.filters.difference_update(filters)
            self._outbox += mqtt5.suback(Kind.UNSUBACK, identifier, [Reason.SUCCESS] * len(filters))
            return
        if len(self.filters) + len(filters) > FILTERS_MAX:
            raise ProtocolError("limit", "mqtt: too many subscriptions")
        ours = [self._server.is_ours(one) for one in filters]
        granted = [Reason.GRANTED_QOS_1 if good else Reason.NOT_AUTHORIZED for good in ours]
        self._outbox += mqtt5.suback(Kind.SUBACK, identifier, granted)
        self.filters.update(one for one, good in zip(filters, ours, strict=True) if good)
        if self.filters:
            self._server.retained(self)
