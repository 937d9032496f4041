"""Broker URLs: text a person typed, and the address it means.

Owns the forms `mqtt://host[:port]` (plain, 1883), `mqtts://host[:port]` and bare `host[:port]` (TLS, 8883), with
IPv6 hosts in brackets, and the credentials that go with an address. A URL never carries a password: URLs are
printed, logged and put into tokens, credentials are not.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Final

import msgspec

from hcom_replica.errors import ConfigError

PLAIN_PORT: Final = 1883
TLS_PORT: Final = 8883
_HOST_CHARS_MAX: Final = 253
_FORMS: Final = "write mqtts://host[:port] (TLS), mqtt://host[:port] (plain), or just host[:port] (TLS)"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?")
_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*\.?")


class BrokerAddress(msgspec.Struct, frozen=True):
    """Where a broker listens.

    Attributes:
        host: a lower-case name or an IP address, without brackets.
        port: 1 to 65535.
        tls: whether the connection is encrypted and the broker's certificate checked.
    """

    host: str
    port: int
    tls: bool = True

    @property
    def url(self) -> str:
        """The canonical text: scheme, host and port always written; `parse_broker_url` gives it back equal."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"

    def __str__(self) -> str:
        return self.url


class Credentials(msgspec.Struct, frozen=True):
    """What we show to a broker and how we check it; the password is never in the repr.

    Attributes:
        username: None connects anonymously.
        password: used only with a username.
        ca_file: PEM file of the only authorities trusted for TLS; None trusts the system's.
        host: the only one that user name and password are shown to; None: any.
    """

    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    host: str | None = None

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, ca_file={self.ca_file!r}, host={self.host!r})"

    def shown_to(self, address: BrokerAddress) -> Credentials:
        """What a broker is shown: no password that was given for another host."""
        if self.host is None or self.host == address.host:
            return self
        return Credentials(ca_file=self.ca_file)


DEFAULT_BROKERS: Final = (
    BrokerAddress("broker.emqx.io", 8883),
    BrokerAddress("broker.hivemq.com", 8883),
    BrokerAddress("test.mosquitto.org", 8886),
)
"""Public brokers tried in this order when none is named; the first that answers is then kept in the config."""


def parse_broker_url(text: str) -> BrokerAddress:
    """Read a broker URL.

    Raises:
        ConfigError: it is not one of the three forms; the hint says which they are.
    """
    stripped = text.strip()
    text = _without_password(text)
    scheme = _SCHEME.match(stripped)
    tls = _tls_of(scheme[1].lower(), text) if scheme else True
    rest = stripped[scheme.end() :] if scheme else stripped
    if "@" in rest:
        raise ConfigError("a broker URL carries no user name or password", hint="use --username and --password-file")
    match = _HOST_PORT.fullmatch(rest.removesuffix("/"))
    if match is None:
        raise ConfigError(f"not a broker URL: {text!r}", hint=f"{_FORMS}; an IPv6 address goes in brackets")
    return BrokerAddress(_host(match[1], text), _port(match[2], TLS_PORT if tls else PLAIN_PORT, text), tls)


def _without_password(text: str) -> str:
    """The text as it may be shown: somebody may have written a password into it."""
    before, at, host = text.rpartition("@")
    scheme, mark, _ = before.partition("://")
    return f"{scheme if mark else ''}{mark}***@{host}" if at else text


def _tls_of(scheme: str, text: str) -> bool:
    if scheme not in ("mqtt", "mqtts"):
        raise ConfigError(f"not a broker URL: {text!r}: no broker is reached by {scheme}://", hint=_FORMS)
    return scheme == "mqtts"


def _host(host: str, text: str) -> str:
    if host.startswith("["):
        return _ipv6(host[1:-1], text)
    lowered = host.lower()
    if len(lowered) > _HOST_CHARS_MAX or _HOST_NAME.fullmatch(lowered) is None:
        raise ConfigError(f"not a broker URL: {text!r}: the host is missing or not a host name", hint=_FORMS)
    return lowered


def _ipv6(host: str, text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError as error:
        raise ConfigError(f"not a broker URL: {text!r}: not an IPv6 address in the brackets", hint=_FORMS) from error


def _port(digits: str | None, default: int, text: str) -> int:
    if digits is None:
        return default
    port = int(digits) if re.fullmatch(r"[0-9]{1,5}", digits) else 0
    if not 1 <= port <= 65535:
        raise ConfigError(f"not a broker URL: {text!r}: the port is not a number from 1 to 65535", hint=_FORMS)
    return port
