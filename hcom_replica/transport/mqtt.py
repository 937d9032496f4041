"""One MQTT connection, driven by hand: the only importer of paho.

Owns one paho client from CONNECT to its end and translates what paho says into calls of a `Listener`. All methods
of one object are called by one thread. Paho's own threads, its queue of offline messages and its reconnecting are
never used: paho sends what was queued before a connection died after what was published since, so an old retained
value would win over a new one. A dead connection's object is thrown away with all that it held.
"""

from __future__ import annotations

import os
import secrets
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from hcom_replica.limits import CLIENT_ID_CHARS_MAX, KIB
from hcom_replica.ports import Capabilities, Will
from hcom_replica.transport import failure as fail
from hcom_replica.transport.failure import ConnectFailed, Failure
from hcom_replica.transport.url import BrokerAddress, Credentials

_SEND_BUFFER_BYTES: Final = 256 * KIB
"""Small enough that a ping does not wait minutes behind our own bytes on a slow uplink; still 1 MB/s at 250 ms."""
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
"""Linux has it; elsewhere systems find out by themselves."""
_LINGER_BYTES: Final = 256 * KIB

_RETAINED_ALWAYS: Final = 0
_RETAINED_NEVER: Final = 2


class Listener(Protocol):
    """What happened on the connection, told on the thread that drives it."""

    def on_up(self, capabilities: Capabilities) -> None:
        """CONNACK accepted us."""

    def on_message(self, topic: str | None, payload: bytes, *, retain: bool) -> None:
        """A PUBLISH arrived; topic is None when it was not text."""

    def on_puback(self, mid: int, *, refused: bool) -> None:
        """A publish of ours was answered."""

    def on_suback(self, mid: int, refused: Sequence[bool]) -> None:
        """A subscribe of ours was answered, filter by filter."""


class MqttConnection:
    """One connection, never reused.

    Attributes:
        failure: how it ended; None while it lives or before it was opened.

    Args:
        address: where the broker listens.
        credentials: user name, password, trusted authorities.
        version: 5 or 4 (MQTT 3.1.1).
        will: what the broker publishes for us when the connection dies; None is nothing.
        keepalive_s: a silent broker is given up between one and two of these.
        connect_timeout_s: bounds each TCP connect and the TLS handshake.
        packet_bytes_max: MQTT 5 brokers are told to send nothing larger.
        listener: is told what happens.
    """

    def __init__(
        self,
        address: BrokerAddress,
        credentials: Credentials,
        *,
        version: int,
        will: Will | None,
        keepalive_s: int,
        connect_timeout_s: float,
        packet_bytes_max: int,
        listener: Listener,
    ) -> None:
        self.failure: Failure | None = None
        self._address = address
        self._credentials = credentials.shown_to(address)
        self._version = version
        self._keepalive_s = keepalive_s
        self._packet_bytes_max = packet_bytes_max
        self._listener = listener
        self._leaving: socket.socket | None = None  # the same connection: paho closes its own once DISCONNECT is out
        self._client = self._new_client()
        self._client.connect_timeout = connect_timeout_s
        if will is not None:
            self._client.will_set(will.topic, will.payload, qos=1, retain=True)

    def _new_client(self) -> Client:
        five = self._version == 5
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=_random_client_id(),
            clean_session=None if five else True,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages = 0  # the link keeps the window, since CONNACK may narrow it
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_socket_register_write = _driven_by_us
        return client

    def open(self) -> None:
        """Connect and send CONNECT; blocks up to the connect timeout for each of the host's addresses.

        Raises:
            ConnectFailed: nothing is open.
        """
        if self._credentials.username is not None:
            self._client.username_pw_set(self._credentials.username, self._credentials.password)
        if self._address.tls:
            self._client.tls_set_context(_tls_context(self._credentials))
        try:
            if self._version == 5:
                self._client.connect(
                    self._address.host,
                    self._address.port,
                    self._keepalive_s,
                    clean_start=True,
                    properties=self._wishes(),
                )
            else:
                self._client.connect(self._address.host, self._address.port, self._keepalive_s)
        except OSError as error:
            raise ConnectFailed(fail.of_os_error(error, self._address)) from error
        tune_socket(self.socket())

    def _wishes(self) -> Properties:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 0
        properties.MaximumPacketSize = self._packet_bytes_max
        return properties

    def socket(self) -> socket.socket | None:
        """The connected socket, for a selector; None once the connection has ended."""
        sock = self._client.socket()
        return sock if isinstance(sock, socket.socket) else None

    @property
    def keepalive_s(self) -> int:
        """The keepalive in force: a broker of MQTT 5 may have set its own."""
        return self._client.keepalive

    def has_undecoded(self) -> bool:
        """Whether the TLS layer holds bytes that no selector will announce."""
        sock = self.socket()
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def wants_write(self) -> bool:
        """Whether bytes wait for the socket."""
        return self._client.want_write()

    def read(self) -> None:
        """Take what the socket has; the listener is told what it was."""
        self._checked(self._client.loop_read())

    def write(self) -> None:
        """Give the socket what it takes."""
        self._checked(self._client.loop_write())

    def acknowledge(self) -> None:
        """Have the system acknowledge at once what was read, unless what was written since has done so.

        A broker that gathers small messages (Nagle's algorithm, Mosquitto's default) holds the next one back until the
        last one is acknowledged, and a system that has nothing to send waits 40 ms with that. Asked for after each
        read: the system falls back into waiting.
        """
        sock = self.socket()
        if sock is not None and _QUICKACK is not None:
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def tick(self) -> None:
        """Ping when idle; end the connection when a ping stayed unanswered."""
        self._checked(self._client.loop_misc())

    def _checked(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self._client.socket() is None:
            self.failure = self.failure or fail.of_disconnect("", code=0, by_broker=False)

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> int | None:
        """Hand one QoS 1 publish to the connection.

        Returns:
            its message id, or None when it cannot be sent at all (topic with wildcards or over 65,535 bytes).
        """
        try:
            return self._client.publish(topic, payload, qos=1, retain=retain).mid
        except ValueError:
            return None

    def subscribe(self, filters: Sequence[str], *, no_local: bool, fresh: bool) -> int | None:
        """Send one SUBSCRIBE at QoS 1; None when a filter is malformed. The options exist on MQTT 5 only."""
        try:
            return self._client.subscribe(self._subscriptions(filters, no_local=no_local, fresh=fresh))[1]
        except ValueError:
            return None

    def _subscriptions(self, filters: Sequence[str], *, no_local: bool, fresh: bool) -> Any:  # paho's union of lists
        if self._version != 5:
            return [(one, 1) for one in filters]
        handling = _RETAINED_ALWAYS if fresh else _RETAINED_NEVER
        return [(one, SubscribeOptions(qos=1, noLocal=no_local, retainHandling=handling)) for one in filters]

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Send one UNSUBSCRIBE; malformed filters were never subscribed to and are ignored."""
        with suppress(ValueError):
            self._client.unsubscribe(list(filters))

    def goodbye(self) -> None:
        """Queue DISCONNECT behind what is being written; the broker then discards the will. `linger` follows."""
        sock = self.socket()
        self._leaving = None if sock is None else socket.socket(fileno=os.dup(sock.fileno()))
        self._client.disconnect()

    def linger(self, timeout_s: float) -> None:
        """After DISCONNECT has been sent: drop what still arrives until the broker has closed its side.

        A socket that is closed with unread bytes in it resets the connection. The reset may overtake what was sent
        last: the broker would miss DISCONNECT, and publish the will.
        """
        sock, deadline = self._leaving, time.monotonic() + timeout_s
        with suppress(OSError):
            while sock is not None and (left_s := deadline - time.monotonic()) > 0:
                sock.settimeout(left_s)
                if not sock.recv(_LINGER_BYTES):
                    return

    def kill(self) -> None:
        """Close the socket at once, with no DISCONNECT. Idempotent."""
        for sock in (self.socket(), self._leaving):
            if sock is not None:
                with suppress(OSError):
                    sock.close()

    # --- paho's callbacks: translate and pass on ------------------------------------------------------------

    def _on_connect(
        self, _client: Client, _userdata: object, _flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self.failure = fail.of_connack(code.value, code.getName())
        elif _property(properties, "MaximumQoS", 2) == 0:
            self.failure = fail.NO_QOS1
        else:
            self._listener.on_up(_capabilities(self._version, properties))

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        flags: DisconnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        by_broker = flags.is_disconnect_packet_from_server
        self.failure = self.failure or fail.of_disconnect(code.getName(), code=code.value, by_broker=by_broker)

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        try:
            topic: str | None = message.topic
        except UnicodeDecodeError:
            topic = None
        self._listener.on_message(topic, bytes(message.payload), retain=message.retain)

    def _on_publish(
        self, _client: Client, _userdata: object, mid: int, code: ReasonCode, _properties: Properties | None
    ) -> None:
        self._listener.on_puback(mid, refused=code.is_failure)

    def _on_subscribe(
        self, _client: Client, _userdata: object, mid: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        self._listener.on_suback(mid, [code.is_failure for code in codes])


def _driven_by_us(_client: Client, _userdata: object, _sock: object) -> None:
    """Keep paho from writing inside publish: whoever drives the connection asks `wants_write`."""


def _random_client_id() -> str:
    """New for each connection: a half-open old session or a cloned disk can then never kick this one."""
    return f"hr{secrets.token_hex(CLIENT_ID_CHARS_MAX)}"[:CLIENT_ID_CHARS_MAX]


class _HandshakeSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho drops such a socket open."""

    def do_handshake(self, block: bool = False) -> None:
        """See SSLSocket; on an OSError it is closed before that goes on."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _tls_context(credentials: Credentials) -> ssl.SSLContext:
    path = credentials.ca_file
    try:
        context = ssl.create_default_context(cafile=None if path is None else str(path))
    except OSError as error:
        raise ConnectFailed(fail.of_ca_file(path, error)) from error
    context.sslsocket_class = _HandshakeSocket
    return context


def tune_socket(sock: socket.socket | None) -> None:
    """Send small messages at once, and keep few of our own bytes ahead of a ping."""
    if sock is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)


def _capabilities(version: int, properties: Properties | None) -> Capabilities:
    return Capabilities(
        version=version,
        packet_bytes_max=_property(properties, "MaximumPacketSize", None),
        retain=_false_if_zero(_property(properties, "RetainAvailable", None)),
        retain_wildcard=_false_if_zero(_property(properties, "WildcardSubscriptionAvailable", None)),
        receive_max=_property(properties, "ReceiveMaximum", 65535) or 1,
    )


def _property(properties: Properties | None, name: str, default: int | None) -> Any:  # paho's values are untyped
    return getattr(properties, name, default)


def _false_if_zero(value: int | None) -> bool | None:
    """0 is a plain no; 1 or nothing only allows it, whether it works is for the canary to find out."""
    return False if value == 0 else None
