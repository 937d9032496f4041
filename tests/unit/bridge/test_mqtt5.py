"""Packets of MQTT 5: read as the standard has them, and anything else refused (B3.1, B3.3)."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from hcom_replica.bridge import mqtt5
from hcom_replica.bridge.mqtt5 import Kind, Packet, Reason
from hcom_replica.errors import ProtocolError


def one(data: bytes, bytes_max: int = 1 << 20) -> Packet:
    (packet,) = mqtt5.Stream(bytes_max).feed(data)
    return packet


def connect(body: bytes) -> bytes:
    return bytes((0x10, len(body))) + body


BODY = bytes.fromhex(
    "00044d515454 05 c6 001e 05 2700100000 0005 68636f6d2d 00 0001 74 0000 0004 68636f6d 0006 736563726574".replace(
        " ", ""
    )
)


def test_connect_with_a_will_and_a_password_is_read() -> None:
    """B3.1"""
    said = mqtt5.read_connect(one(connect(BODY)))
    assert said == mqtt5.Connect("hcom-", 30, 1 << 20, 0xFFFF, "hcom", b"secret")


def test_stream_in_pieces_gives_the_same_packets() -> None:
    """B3.1"""
    data = connect(BODY) + b"\xc0\x00" + connect(BODY)
    stream = mqtt5.Stream(1 << 20)
    found = [packet.kind for byte in data for packet in stream.feed(bytes((byte,)))]
    assert found == [Kind.CONNECT, Kind.PINGREQ, Kind.CONNECT]


def test_publish_is_written_and_read_the_same() -> None:
    """B3.1"""
    for size in (0, 10, 200, 20_000, 3_000_000):
        packet = one(mqtt5.publish("a/b", b"x" * size, 7, retain=True), 1 << 22)
        assert mqtt5.read_publish(packet) == mqtt5.Publish("a/b", b"x" * size, retain=True, identifier=7)


@pytest.mark.parametrize(
    "body",
    [BODY[:-1], BODY + b"x", BODY[:6] + b"\x04" + BODY[7:], b"", b"\x00\x04MQTX\x05", BODY[:10] + b"\xff\xff\xff\xff"],
)
def test_connect_that_is_none_is_refused(body: bytes) -> None:
    """B3.3"""
    with pytest.raises(ProtocolError):
        mqtt5.read_connect(one(connect(body)))


@pytest.mark.parametrize("data", [b"\x30\xff\xff\xff\xff\x7f", b"\x30\xff\xff\xff\x7f", b"\x30\x81\x80\x80\x01"])
def test_length_without_end_or_beyond_the_bound_is_refused_before_anything_is_kept(data: bytes) -> None:
    """B3.3"""
    with pytest.raises(ProtocolError):
        list(mqtt5.Stream(1 << 20).feed(data))


@pytest.mark.parametrize(
    ("flags", "body"),
    [
        (4, b"\0\1a\0\1\0"),
        (0, b"\0\0\0"),
        (0, b"\0\3a/+\0"),
        (0, b"\0\1#\0"),
        (0, b"\0\1\xff\0"),
        (2, b"\0\1a\0"),
        (0, b"\0\1a\1\x99"),
    ],
)
def test_publish_that_is_none_is_refused(flags: int, body: bytes) -> None:
    """B3.3"""
    with pytest.raises(ProtocolError):
        mqtt5.read_publish(Packet(Kind.PUBLISH, flags, body))


@pytest.mark.parametrize("body", [b"", b"\0\1\0", b"\0\1\0\0\1a", b"\0\1\0" + b"\0\1a\1" * 17])
def test_subscribe_that_is_none_is_refused(body: bytes) -> None:
    """B3.3"""
    with pytest.raises(ProtocolError):
        mqtt5.read_subscribe(Packet(Kind.SUBSCRIBE, 2, body))


def test_properties_of_every_kind_are_skipped() -> None:
    """B3.1"""
    properties = b"\x03\0\1t\x08\0\1r\x26\0\1k\0\1v\x0b\x85\x01\x01\x01\x02\0\0\0\1\x23\0\2\x09\0\0"
    packet = Packet(Kind.PUBLISH, 0, b"\0\1a" + bytes((len(properties),)) + properties + b"payload")
    assert mqtt5.read_publish(packet).payload == b"payload"


def test_bytes_of_any_kind_are_read_or_refused() -> None:
    """B3.3"""
    rng = random.Random(5)
    for _ in range(3_000):
        body = rng.randbytes(rng.randrange(40))
        if rng.random() < 0.5:
            at = rng.randrange(len(BODY))
            body = BODY[:at] + rng.randbytes(3) + BODY[at + 3 :]
        for read in (mqtt5.read_connect, mqtt5.read_publish, mqtt5.read_subscribe, mqtt5.read_puback):
            with suppress(ProtocolError):
                read(Packet(rng.randrange(16), rng.randrange(16), body))


def test_acknowledgements_have_the_standards_bytes() -> None:
    """B3.1"""
    assert mqtt5.puback(1) == b"\x40\x02\x00\x01"
    assert mqtt5.puback(1, Reason.NOT_AUTHORIZED) == b"\x40\x04\x00\x01\x87\x00"
    assert mqtt5.suback(Kind.SUBACK, 2, [Reason.GRANTED_QOS_1]) == b"\x90\x04\x00\x02\x00\x01"
    assert mqtt5.pingresp() == b"\xd0\x00"
    assert mqtt5.disconnect(Reason.SHUTTING_DOWN) == b"\xe0\x02\x8b\x00"
    assert mqtt5.connack(Reason.SUCCESS, 1 << 20)[:4] == b"\x20\x0e\x00\x00"
