"""hcom's own formats: token, envelope, letters, snapshot. The envelope's bytes are those of the program itself."""

from __future__ import annotations

import msgspec
import pytest

from hcom_replica.bridge.envelope import OVERHEAD_BYTES, seal, unseal
from hcom_replica.bridge.shortid import short_id
from hcom_replica.bridge.snapshot import GONE, HcomEvent, Snapshot, State, decode_snapshot, encode_snapshot
from hcom_replica.bridge.token import HcomToken, decode_token, encode_token, fingerprint, key_text
from hcom_replica.errors import ProtocolError, TokenError

RELAY = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
TOPIC = f"{RELAY}/47c30da0-9397-4156-b9c5-67f07077ad17"
KEY = bytes(range(32))
PLAIN = b'{"state":null,"events":[]}'
SEALED = bytes.fromhex(
    "016465666768696a6b6c6d6e6f707172737475767778797a7b000000006553f10007518ac49e5aeca0bd5ee853ca439fac2dde3c05970ef0"
    "ebd12801bb0f3e364d7c8d206963a0fe617453"
)
# Made by hcom 0.7.31 itself: `hcom relay new --broker mqtt://127.0.0.1:18831`.
REAL_TOKEN = "BNlEumv0FEHkrMXeoxdEbp62Ci09ihQWCeZuQQHhIeQDLuiyOzd5t4RPxKfoxb25b21xdHQ6Ly8xMjcuMC4wLjE6MTg4MzE"


def test_envelope_is_sealed_and_opened_as_hcom_does_it() -> None:
    """B1.2"""
    assert seal(KEY, TOPIC, 1_700_000_000, PLAIN, bytes(range(0x64, 0x7C))) == SEALED
    assert unseal(KEY, TOPIC, SEALED) == (PLAIN, 1_700_000_000)
    assert len(SEALED) == len(PLAIN) + OVERHEAD_BYTES


@pytest.mark.parametrize("at", [0, 1, 25, 32, 33, len(SEALED) - 1])
def test_envelope_changed_anywhere_or_moved_is_refused(at: int) -> None:
    """B1.2"""
    with pytest.raises(ProtocolError):
        unseal(KEY, TOPIC, SEALED[:at] + bytes((SEALED[at] ^ 1,)) + SEALED[at + 1 :])
    with pytest.raises(ProtocolError):
        unseal(KEY, TOPIC + "x", SEALED)
    with pytest.raises(ProtocolError):
        unseal(KEY, TOPIC, SEALED[:at])


def test_token_of_the_real_program_is_read_and_written_the_same() -> None:
    """B1.1"""
    token = decode_token(REAL_TOKEN + "\n")
    assert token.relay_id == "d944ba6b-f414-41e4-acc5-dea317446e9e"
    assert token.broker == "mqtt://127.0.0.1:18831"
    assert fingerprint(token.key) == "kMIYGR9Y"
    assert encode_token(token) == REAL_TOKEN
    assert decode_token(REAL_TOKEN + "==") == token
    assert len(key_text(token.key)) == 43


def test_token_with_a_numbered_broker_is_read_and_written_the_same() -> None:
    """B1.1"""
    token = HcomToken(RELAY, KEY, "mqtts://broker.hivemq.com:8883")
    assert len(encode_token(token)) == 67
    assert decode_token(encode_token(token)) == token


@pytest.mark.parametrize("text", ["", "x", "AaGyw9Tl9niQq83vEjRWeJAA", REAL_TOKEN[:60], "ä" * 90, "B" * 4000])
def test_token_that_is_none_is_refused(text: str) -> None:
    """B1.1"""
    with pytest.raises(TokenError):
        decode_token(text)


@pytest.mark.parametrize("tail", [b"\x07", b"\xff\xfe"])
def test_token_with_an_unknown_broker_is_refused(tail: bytes) -> None:
    """B1.1"""
    from base64 import urlsafe_b64encode

    with pytest.raises(TokenError):
        decode_token(urlsafe_b64encode(b"\x04" + bytes(16) + KEY + tail).decode())


def test_letters_of_a_device_go_on_where_others_have_them() -> None:
    """B1.3"""
    first = short_id("47c30da0-9397-4156-b9c5-67f07077ad17")
    assert len(first) == 4
    second = short_id("47c30da0-9397-4156-b9c5-67f07077ad17", frozenset((first,)))
    assert second != first
    assert second[1:] == first[1:] or first[0] == "Z"


def test_snapshot_of_hcom_is_read_whatever_else_it_says() -> None:
    """B1.4"""
    text = (
        b'{"events":[{"id":6,"ts":"2026-11-22T17:39:23.798466+00:00","type":"message","instance":"memo",'
        b'"data":{"text":"hi"},"more":1}],"state":{"short_id":"MAHI","reset_ts":0.0,"max_packet":1048576,'
        b'"capabilities":["launch"],"instances":{"memo":{"enabled":true,"status":"inactive"}},"sig":"x"}}'
    )
    read = decode_snapshot(text)
    assert read.state is not None
    assert read.state.short_id == "MAHI"
    assert read.state.instances["memo"]["status"] == "inactive"
    assert msgspec.json.decode(read.events[0].data) == {"text": "hi"}


def test_snapshot_of_a_device_that_is_gone_is_hcoms_tombstone() -> None:
    """B1.4"""
    assert encode_snapshot(GONE) == PLAIN
    assert decode_snapshot(PLAIN) == GONE


def test_snapshot_written_is_read_the_same() -> None:
    """B1.4"""
    event = HcomEvent(1, "2026-11-22T17:39:23.798466+00:00", "life", "", msgspec.Raw(b'{"a":1}'))
    made = Snapshot(State("BOXE", {"luna": {"status": "active"}}), [event])
    read = decode_snapshot(encode_snapshot(made))
    assert read.state == msgspec.structs.replace(made.state, capabilities=[])  # type: ignore[type-var]
    assert bytes(read.events[0].data) == b'{"a":1}'


@pytest.mark.parametrize("text", [b"", b"[]", b'{"state":{"instances":3}}', b"\xff", b"[" * 100_000])
def test_snapshot_that_is_none_is_refused(text: bytes) -> None:
    """B1.4"""
    with pytest.raises(ProtocolError):
        decode_snapshot(text)
