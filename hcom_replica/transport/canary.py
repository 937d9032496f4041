"""The canary: asks a broker what it can do, by doing it.

Owns short blocking conversations with a broker, each on a connection of its own with its own random client id, so
none disturbs a running daemon. Raises only BrokerError. Leaves nothing retained behind, unless the connection dies
in between.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import Final

from hcom_replica.errors import BrokerError
from hcom_replica.limits import KIB, MESSAGE_BYTES_MAX
from hcom_replica.ports import Capabilities
from hcom_replica.transport.talk import Talk
from hcom_replica.transport.url import BrokerAddress, Credentials

_SIZES_BYTES: Final = (MESSAGE_BYTES_MAX, 30 * KIB, 15 * KIB, 4 * KIB)
"""Payloads tried, largest first, until one comes back."""
_SMALL_BYTES: Final = 16


def reachable(address: BrokerAddress, credentials: Credentials | None = None, *, timeout_s: float = 5.0) -> float:
    """Connect and measure one round trip.

    Args:
        address: where the broker listens.
        credentials: None connects anonymously.
        timeout_s: bounds the conversation.

    Returns:
        milliseconds from a request to its answer, once connected.

    Raises:
        BrokerError: it cannot be reached or refused us; the hint says what to do.
    """
    with Talk(address, credentials, deadline=time.monotonic() + timeout_s) as talk:
        started = time.monotonic()
        talk.subscribe(f"hr{secrets.token_hex(8)}")
        return (time.monotonic() - started) * 1000


def probe(
    address: BrokerAddress,
    credentials: Credentials | None = None,
    *,
    prefix: str,
    timeout_s: float = 5.0,
    version: int = 5,
) -> Capabilities:
    """Find out what a broker can do.

    Args:
        address: where the broker listens.
        credentials: None connects anonymously.
        prefix: where to publish: topics `<prefix>/<random>/...`.
        timeout_s: bounds the conversations; 1 s more may go into clearing up.
        version: the highest MQTT version to try, 5 or 4 (3.1.1).

    Returns:
        what it said and did. `retain` and `retain_wildcard` are known. `packet_bytes_max` is what it announced, or
        the largest payload that came back where our largest did not (0: none of 4 KiB), or None: our largest passes.

    Raises:
        BrokerError: it cannot be reached, refused us, or does not deliver; the hint says what to do.
    """
    deadline = time.monotonic() + timeout_s
    topic = f"{prefix}/{secrets.token_hex(8)}"
    with Talk(address, credentials, deadline=deadline, version=version) as talk:
        found = _small_messages(talk, topic, address)
    version = found.version  # spares later connections the attempt with MQTT 5 where it was refused
    for number, size in enumerate(_SIZES_BYTES):
        # A connection each: many brokers end it when a packet is too large.
        with Talk(address, credentials, deadline=deadline, version=version) as talk:
            if _comes_back(talk, f"{topic}/{number}", bytes(size), retained=bool(found.retain)):
                return found if size == _SIZES_BYTES[0] else replace(found, packet_bytes_max=size)
    return replace(found, packet_bytes_max=0)


def _small_messages(talk: Talk, topic: str, address: BrokerAddress) -> Capabilities:
    """What works for small messages: delivery at all, the retained store, its way to wildcard subscriptions."""
    payload = bytes(_SMALL_BYTES)
    if not talk.echoes(f"{topic}/e", payload):
        raise BrokerError(
            f"{address.url}: the broker takes messages but does not deliver them",
            hint="it may not let us publish or subscribe: check its access rules",
        )
    said = talk.capabilities
    retain = said.retain is not False and talk.keeps(f"{topic}/r", payload, read_by=f"{topic}/r")
    wildcard = retain and said.retain_wildcard is not False
    wildcard = wildcard and talk.keeps(f"{topic}/w/a", payload, read_by=f"{topic}/w/+")
    return replace(said, retain=retain, retain_wildcard=wildcard)


def _comes_back(talk: Talk, topic: str, payload: bytes, *, retained: bool) -> bool:
    return talk.keeps(topic, payload, read_by=topic) if retained else talk.echoes(topic, payload)
