"""Failures: every cause becomes words, a hint where one helps, and the right verdict on trying again."""

from __future__ import annotations

import socket
import ssl

import pytest

from hcom_replica.errors import BrokerError
from hcom_replica.transport import failure as fail
from hcom_replica.transport.failure import Failure
from hcom_replica.transport.url import BrokerAddress

PLAIN = BrokerAddress("broker.example", 1883, tls=False)
TLS = BrokerAddress("broker.example", 8883)


@pytest.mark.parametrize(
    ("error", "cause", "refused"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "unreachable", False),
        (OSError(101, "Network is unreachable"), "unreachable", False),
        (OSError("no errno"), "unreachable", False),
        (TimeoutError("timed out"), "unreachable", False),
        (socket.gaierror(-2, "Name or service not known"), "unreachable", False),
        (ConnectionResetError(104, "Connection reset by peer"), "tls", False),
        (ssl.SSLError(1, "wrong version number"), "tls", True),
        (ssl.SSLCertVerificationError(1, "self-signed"), "certificate", True),
    ],
)
def test_os_error_gives_cause_verdict_and_hint(error: OSError, cause: str, refused: bool) -> None:
    found = fail.of_os_error(error, TLS)
    assert (found.cause, found.refused) == (cause, refused)
    assert found.hint


def test_reset_on_plain_connection_is_not_blamed_on_tls() -> None:
    assert fail.of_os_error(ConnectionResetError(104, "Connection reset by peer"), PLAIN).cause == "unreachable"


@pytest.mark.parametrize(
    ("code", "cause", "refused"),
    [
        (0x84, "version", True),
        (0x85, "refused", True),
        (0x86, "refused", True),
        (0x87, "refused", True),
        (0x88, "busy", False),
        (0x89, "busy", False),
        (0x97, "refused", True),
        (0x9F, "busy", False),
    ],
)
def test_connack_code_gives_cause_and_verdict(code: int, cause: str, refused: bool) -> None:
    found = fail.of_connack(code, "Some reason")
    assert (found.cause, found.refused) == (cause, refused)


def test_connack_bad_password_hints_at_password_options() -> None:
    assert "--password-file" in fail.of_connack(0x86, "Bad user name or password").hint


def test_disconnect_by_broker_names_its_reason() -> None:
    found = fail.of_disconnect("Session taken over", code=0x8E, by_broker=True)
    assert "session taken over" in found.reason
    assert not found.refused


def test_disconnect_not_authorized_is_refused() -> None:
    assert fail.of_disconnect("Not authorized", code=0x87, by_broker=True).refused


def test_silence_on_plain_port_hints_at_tls() -> None:
    assert "mqtts://" in fail.silent(5.0, PLAIN).hint
    assert "mqtts://" in fail.closed_before_answer(PLAIN).hint
    assert not fail.closed_before_answer(TLS).hint


def test_as_error_names_broker_and_keeps_hint() -> None:
    error = Failure("lost", "it broke", hint="do this").as_error(TLS)
    assert isinstance(error, BrokerError)
    assert str(error) == "mqtts://broker.example:8883: it broke"
    assert error.hint == "do this"
