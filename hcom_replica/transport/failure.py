"""Why a connection failed: operating system, TLS and MQTT causes, in words for people with what to do.

Owns the translation of every cause into one `Failure`. Nothing here connects or imports paho.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Final, Literal

from hcom_replica.errors import BrokerError
from hcom_replica.transport.url import BrokerAddress

Cause = Literal[
    "unreachable", "silent", "lost", "tls", "certificate", "ca-file", "version", "refused", "busy", "internal"
]

_NETWORK_HINT: Final = "check the host name, the port, the network and any firewall; writing goes on meanwhile"
_PASSWORD_HINT: Final = "check --username and --password-file"
_TLS_HINT: Final = "this port may speak plain MQTT: mqtt://host:port is plain, mqtts://host:port is TLS"
_PLAIN_HINT: Final = "this port may want TLS: use mqtts://host:port"
_CERTIFICATE_HINT: Final = "check the host name, or give the authority that signed the certificate with --ca-file"

_PASSWORD_CODES: Final = frozenset({0x86, 0x87, 0x8C})
_BUSY_CODES: Final = frozenset({0x88, 0x89, 0x8B, 0x8D, 0x8E, 0x98, 0x9C, 0x9D, 0x9F})
VERSION_CODE: Final = 0x84
"""MQTT 5 reason code "unsupported protocol version"."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How a connection ended.

    Attributes:
        cause: a fixed word for code that decides.
        reason: one clause for people.
        refused: the broker answered and said no, or cannot be trusted: trying again soon will not help.
        hint: what the person can do; may be empty.
    """

    cause: Cause
    reason: str
    refused: bool = False
    hint: str = ""

    def as_error(self, address: BrokerAddress) -> BrokerError:
        """The error to raise for it; names the broker."""
        return BrokerError(f"{address.url}: {self.reason}", hint=self.hint)


class ConnectFailed(Exception):
    """Carries a Failure from the code that connects to the code that reports; never leaves the transport."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def of_os_error(error: OSError, address: BrokerAddress) -> Failure:
    """Translate what connecting or the TLS handshake raised."""
    if isinstance(error, ssl.SSLCertVerificationError):
        detail = getattr(error, "verify_message", "") or "it does not verify"
        return Failure(
            "certificate", f"the broker's certificate is not trusted: {detail}", refused=True, hint=_CERTIFICATE_HINT
        )
    if isinstance(error, ssl.SSLError):
        return Failure(
            "tls", f"no TLS connection: {getattr(error, 'reason', '') or error}", refused=True, hint=_TLS_HINT
        )
    if isinstance(error, socket.gaierror):
        return Failure("unreachable", f"the name {address.host} does not resolve", hint=_NETWORK_HINT)
    if isinstance(error, TimeoutError):
        return Failure("unreachable", "no answer while connecting", hint=_NETWORK_HINT)
    if isinstance(error, ConnectionResetError) and address.tls:
        return Failure("tls", "the connection was reset during the TLS handshake", hint=_TLS_HINT)
    return Failure("unreachable", (error.strerror or str(error)).lower(), hint=_NETWORK_HINT)


def of_ca_file(path: object, error: OSError) -> Failure:
    """Translate a CA file that cannot be read or parsed."""
    unreadable = not isinstance(error, ssl.SSLError) and error.strerror
    what = unreadable.lower() if unreadable else "not a PEM file of certificates"
    return Failure("ca-file", f"cannot use the CA file {path}: {what}", refused=True, hint="check --ca-file")


def of_connack(code: int, name: str) -> Failure:
    """Translate a refusing CONNACK; `code` is an MQTT 5 reason code (3.1.1 codes are mapped to them)."""
    if code in _PASSWORD_CODES:
        return Failure("refused", f"the broker refused us: {name.lower()}", refused=True, hint=_PASSWORD_HINT)
    if code == VERSION_CODE:
        return Failure("version", "the broker speaks neither MQTT 5 nor 3.1.1", refused=True)
    return Failure(
        "busy" if code in _BUSY_CODES else "refused", f"the broker refused us: {name.lower()}", code not in _BUSY_CODES
    )


def of_disconnect(name: str, *, code: int, by_broker: bool) -> Failure:
    """Translate the end of a connection that had been accepted."""
    if by_broker:
        return Failure("lost", f"the broker ended the connection: {name.lower()}", refused=code in _PASSWORD_CODES)
    if name == "Keep alive timeout":
        return Failure("lost", "the broker stopped answering")
    return Failure("lost", "the connection was lost")


def closed_before_answer(address: BrokerAddress) -> Failure:
    """The broker closed the connection instead of answering CONNECT."""
    hint = "" if address.tls else _PLAIN_HINT
    return Failure("version", "the broker closed the connection without answering", hint=hint)


def silent(seconds: float, address: BrokerAddress) -> Failure:
    """The broker took the connection but said nothing."""
    hint = _NETWORK_HINT if address.tls else _PLAIN_HINT
    return Failure("silent", f"connected, but no answer within {seconds:g} s", hint=hint)


CLOSED_HERE: Final = Failure("lost", "closed here")
NO_QOS1: Final = Failure("refused", "the broker does not offer QoS 1, which we cannot do without", refused=True)


def internal(error: Exception) -> Failure:
    """A bug in ours or in the MQTT library, or bytes that made the library fail."""
    return Failure("internal", f"the connection failed inside: {type(error).__name__}: {error}")
