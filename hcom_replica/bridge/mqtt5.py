"""Packets of MQTT 5, as far as a loopback server for hcom's clients needs them: bytes <-> types.

Owns sizes and shapes: whatever a client sends that is not exactly one of these packets is a ProtocolError. Pure.
Section numbers are those of the OASIS standard.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from hcom_replica.errors import ProtocolError

VERSION: Final = 5
_FILTERS_MAX: Final = 16


class Kind(IntEnum):
    """Packet types (2.1.2)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class Reason(IntEnum):
    """Reason codes (2.4)."""

    SUCCESS = 0
    GRANTED_QOS_1 = 1
    MALFORMED = 0x81
    BAD_CREDENTIALS = 0x86
    NOT_AUTHORIZED = 0x87
    SHUTTING_DOWN = 0x8B
    TAKEN_OVER = 0x8E
    VERSION = 0x84


class Packet(NamedTuple):
    """A packet off the wire: type, the four flag bits, and what follows the fixed header."""

    kind: int
    flags: int
    body: bytes


class Connect(NamedTuple):
    """CONNECT (3.1).

    Attributes:
        client_id: as the client calls itself.
        keepalive_s: 0 is none.
        packet_bytes_max: largest packet it takes; 0 is any.
        receive_max: QoS 1 publishes it takes without having acknowledged them.
        username, password: None when absent.
    """

    client_id: str
    keepalive_s: int
    packet_bytes_max: int
    receive_max: int
    username: str | None
    password: bytes | None


class Publish(NamedTuple):
    """PUBLISH (3.3); `identifier` is None at QoS 0."""

    topic: str
    payload: bytes
    retain: bool
    identifier: int | None


class Stream:
    """Cuts a stream of bytes into packets.

    Args:
        bytes_max: the largest packet.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._data = bytearray()

    @property
    def empty(self) -> bool:
        """Whether no packet has begun."""
        return not self._data

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Take bytes; yield the packets that are complete.

        Raises:
            ProtocolError: a length that is none, or too large; the connection is good for nothing more.
        """
        self._data += data
        while (found := self._next()) is not None:
            yield found

    def _next(self) -> Packet | None:
        length, at = _length(self._data, 1)
        if length is None:
            return None
        if at + length > self.bytes_max:
            raise ProtocolError("limit", f"mqtt: a packet of {length} bytes")
        if len(self._data) < at + length:
            return None
        packet = Packet(self._data[0] >> 4, self._data[0] & 0xF, bytes(self._data[at : at + length]))
        del self._data[: at + length]
        return packet


def read_connect(packet: Packet) -> Connect:
    """Read a CONNECT.

    Raises:
        ProtocolError: `version` when it is of another MQTT; `format`.
    """
    fields = _Fields(packet.body)
    if fields.text() != "MQTT":
        raise ProtocolError("format", "mqtt: no CONNECT")
    if fields.number(1) != VERSION:
        raise ProtocolError("version", "mqtt: not version 5")
    flags, keepalive_s = fields.number(1), fields.number(2)
    properties = fields.properties()
    client_id = fields.text()
    if flags & 0x04:  # a will: of no use here, because nobody but us reads what clients say of themselves
        fields.properties()
        fields.data()
        fields.data()
    username = fields.text() if flags & 0x80 else None
    password = fields.data() if flags & 0x40 else None
    fields.end()
    return Connect(client_id, keepalive_s, properties.get(0x27, 0), properties.get(0x21, 0xFFFF), username, password)


def read_publish(packet: Packet) -> Publish:
    """Read a PUBLISH of QoS 0 or 1, its topic written out.

    Raises:
        ProtocolError: `format`.
    """
    qos = packet.flags >> 1 & 3
    fields = _Fields(packet.body)
    topic = fields.text()
    if qos > 1 or not topic or "+" in topic or "#" in topic:
        raise ProtocolError("format", "mqtt: PUBLISH")
    identifier = fields.number(2) if qos else None
    fields.properties()
    return Publish(topic, fields.rest(), bool(packet.flags & 1), identifier)


def read_subscribe(packet: Packet) -> tuple[int, list[str]]:
    """Read a SUBSCRIBE or UNSUBSCRIBE: its identifier, and its filters.

    Raises:
        ProtocolError: `format`.
    """
    fields = _Fields(packet.body)
    identifier = fields.number(2)
    fields.properties()
    filters = []
    while not fields.done:
        filters.append(fields.text())
        if packet.kind == Kind.SUBSCRIBE:
            fields.number(1)
    if not 0 < len(filters) <= _FILTERS_MAX:
        raise ProtocolError("format", "mqtt: SUBSCRIBE")
    return identifier, filters


def read_puback(packet: Packet) -> int:
    """Read a PUBACK: its identifier.

    Raises:
        ProtocolError: `format`.
    """
    return _Fields(packet.body).number(2)


def connack(reason: Reason, bytes_max: int) -> bytes:
    """Write a CONNACK: QoS 1 at most, nothing kept of a session, no shared or numbered subscriptions."""
    properties = b"\x24\x01" + b"\x27" + bytes_max.to_bytes(4, "big") + b"\x29\x00\x2a\x00"
    return _packet(Kind.CONNACK, b"\x00" + bytes((reason,)) + _var(len(properties)) + properties)


def publish(topic: str, payload: bytes, identifier: int, *, retain: bool) -> bytes:
    """Write a PUBLISH of QoS 1."""
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + identifier.to_bytes(2, "big") + b"\0" + payload
    return _packet(Kind.PUBLISH, body, 2 | retain)


def puback(identifier: int, reason: Reason = Reason.SUCCESS) -> bytes:
    """Write a PUBACK."""
    return _packet(Kind.PUBACK, identifier.to_bytes(2, "big") + (b"" if reason == 0 else bytes((reason, 0))))


def suback(kind: Kind, identifier: int, reasons: list[Reason]) -> bytes:
    """Write a SUBACK or UNSUBACK."""
    return _packet(kind, identifier.to_bytes(2, "big") + b"\0" + bytes(reasons))


def pingresp() -> bytes:
    """Write a PINGRESP."""
    return _packet(Kind.PINGRESP, b"")


def disconnect(reason: Reason) -> bytes:
    """Write a DISCONNECT."""
    return _packet(Kind.DISCONNECT, bytes((reason, 0)))


def _packet(kind: Kind, body: bytes, flags: int = 0) -> bytes:
    return bytes((kind << 4 | flags,)) + _var(len(body)) + body


def _var(number: int) -> bytes:
    """A variable byte integer (1.5.5)."""
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def _length(data: bytes | bytearray, at: int) -> tuple[int | None, int]:
    """A variable byte integer and where it ends; None while it is not complete."""
    number = 0
    for step, byte in enumerate(data[at : at + 4]):
        number |= (byte & 0x7F) << 7 * step
        if not byte & 0x80:
            return number, at + step + 1
    if len(data) >= at + 4:
        raise ProtocolError("format", "mqtt: a length without end")
    return None, at


_NUMBERS: Final = {0x11: 4, 0x17: 1, 0x19: 1, 0x21: 2, 0x22: 2, 0x27: 4, 0x01: 1, 0x02: 4, 0x18: 4, 0x23: 2}
_TEXTS: Final = {0x03: 1, 0x08: 1, 0x09: 1, 0x15: 1, 0x16: 1, 0x1F: 1, 0x26: 2}
_VARIABLE: Final = 0x0B


class _Fields:
    """Reads the fields of a packet, one after the other; each raises ProtocolError when it is not there."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._body)

    def end(self) -> None:
        """Raise ProtocolError if anything is left."""
        if not self.done:
            raise ProtocolError("format", "mqtt: bytes behind the end")

    def number(self, size: int) -> int:
        """A big-endian number of `size` bytes."""
        return int.from_bytes(self._take(size), "big")

    def data(self) -> bytes:
        """Binary data: two bytes of length, then so many bytes."""
        return self._take(self.number(2))

    def text(self) -> str:
        """The same, as UTF-8; ProtocolError when it is not."""
        try:
            return self.data().decode()
        except UnicodeDecodeError:
            raise ProtocolError("format", "mqtt: text") from None

    def rest(self) -> bytes:
        """All that is left, which may be nothing."""
        return self._take(len(self._body) - self._at)

    def properties(self) -> dict[int, int]:
        """The numbers among the properties; texts are skipped."""
        length, self._at = _length(self._body, self._at)
        if length is None:
            raise ProtocolError("format", "mqtt: properties")
        inner = _Fields(self._take(length))
        found: dict[int, int] = {}
        while not inner.done:
            name = inner.number(1)
            if name in _NUMBERS:
                found[name] = inner.number(_NUMBERS[name])
            elif name == _VARIABLE:
                _, inner._at = _length(inner._body, inner._at)
            elif name in _TEXTS:
                for _ in range(_TEXTS[name]):
                    inner.data()
            else:
                raise ProtocolError("format", f"mqtt: property {name}")
        return found

    def _take(self, size: int) -> bytes:
        taken = self._body[self._at : self._at + size]
        if len(taken) < size:
            raise ProtocolError("format", "mqtt: cut off")
        self._at += size
        return taken
