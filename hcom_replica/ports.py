"""The small interfaces that the floors above implement: transport and clock.

Owns types only. The store's own port is `hcom_replica.store.kv` (a transaction over ordered tables), because
only the store's floor needs it; what the core reads of the log is `hcom_replica.core.reader`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for us when the connection dies: QoS 1, retained."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a broker said or was found to be able to do.

    Attributes:
        version: 5 or 4 (MQTT 3.1.1).
        packet_bytes_max: largest packet it takes; None is unknown.
        retain: keeps retained messages; None is unknown.
        retain_wildcard: gives retained messages to wildcard subscriptions; None is unknown.
        receive_max: how many QoS 1 publishes it lets us have unacknowledged.
    """

    version: int
    packet_bytes_max: int | None = None
    retain: bool | None = None
    retain_wildcard: bool | None = None
    receive_max: int = 20


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The broker accepted us."""

    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The connection ended or never came to be; this link object is dead. `reason` is for people."""

    reason: str
    refused: bool = False
    """True when the broker answered and said no (password, ACL, quota): retrying soon will not help."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message arrived. `retain` is the flag on the packet: True means it was stored before we subscribed."""

    topic: str
    payload: bytes
    retain: bool


@dataclass(frozen=True, slots=True)
class Subscribed:
    """SUBACK for these filters; `refused` lists those that the broker did not grant."""

    filters: tuple[str, ...]
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """PUBACK for the publish that was given this token; `refused` when its reason code is an error (0x80 up)."""

    token: int
    refused: bool = False


LinkEvent = LinkUp | LinkDown | Delivered | Subscribed | Published


class Link(Protocol):
    """One connection to a broker, from CONNECT to its end. Never reused: a new connection is a new object.

    All methods return at once and never raise for network reasons: what happens comes back as LinkEvents,
    queued by the implementation and handed out by `drain`.
    """

    def start(self) -> None:
        """Begin to connect. Exactly one LinkUp or LinkDown follows; after LinkUp, one LinkDown at the end."""

    def subscribe(self, filters: Sequence[str], *, no_local: bool = False, fresh: bool = True) -> None:
        """Subscribe at QoS 1, at most SUBSCRIBE_FILTERS_MAX filters a packet (split here).

        Args:
            filters: topic filters.
            no_local: do not send back what this link publishes; only MQTT 5 brokers heed it.
            fresh: send what is retained now; False (heeded by MQTT 5 brokers only) sends what comes from now on.
        """

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """End subscriptions."""

    def publish(self, topic: str, payload: bytes, *, retain: bool, token: int) -> None:
        """Publish at QoS 1; `Published(token)` follows when the broker has taken it."""

    def drain(self) -> list[LinkEvent]:
        """Take everything that has happened since the last call, oldest first."""

    def pending_bytes(self) -> int:
        """Payload bytes handed to `publish` and not yet acknowledged."""

    def close(self) -> None:
        """DISCONNECT cleanly (the will is discarded) and free all resources. Idempotent."""


class Clock(Protocol):
    """Wall and monotonic time, in milliseconds."""

    def wall_ms(self) -> int:
        """UTC wall clock since 1970, never negative."""

    def monotonic_ms(self) -> int:
        """A clock that only moves forwards, sleep included where the OS offers it."""
