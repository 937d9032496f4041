"""Rows of machines that run only hcom, as they come: which are taken, and by what they are known (B8.4). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple
from uuid import UUID

from hcom_replica.bridge.ledger import Key, u64
from hcom_replica.bridge.rows import body_of
from hcom_replica.bridge.snapshot import Agent, HcomEvent

_KINDS_LEFT: Final = frozenset(("control", "rpc_result"))
_NOTICES: Final = frozenset(("relay_device_join", "relay_device_leave"))
_STABLE: Final = ("parent", "directory", "transcript", "tag", "tool", "background")
"""Fields of an agent that no status event tells of."""


class Rows(NamedTuple):
    """Events of a peer that were looked at.

    Attributes:
        events: ascending.
        after: all ids above this and up to `upto` were looked at.
        upto: see there.
    """

    events: Sequence[HcomEvent]
    after: int
    upto: int


class Waiting(NamedTuple):
    """Events of a peer that wait for older ones, for which it is asked: since when, and when some came last."""

    rows: list[Rows]
    since_ms: int
    moved_ms: int


def is_usual(event: HcomEvent) -> bool:
    """Whether it is an own row of the peer that others are to have (B2.1)."""
    if event.type in _KINDS_LEFT or ":" in event.instance or event.instance == "_device":
        return False
    if event.type == "life" and not event.instance:
        return body_of(bytes(event.data).decode("utf-8", "replace")).get("action") not in _NOTICES
    return True


def stable_hash(agent: Agent) -> str:
    """A hash of what no status tells of an agent."""
    return blake2b(repr([agent.get(field) for field in _STABLE]).encode(), digest_size=8).hexdigest()


def event_key(device: bytes, number: int, ts: str) -> bytes:
    """Under which it stands on the shelf that an event was taken."""
    return Key.PEER_EVENT.of(device, u64(number), event_hash(device, number, ts))


def event_range(device: bytes, upto: int) -> tuple[bytes, bytes]:
    """The keys of all events of a peer up to an id."""
    return Key.PEER_EVENT.of(device), Key.PEER_EVENT.of(device, u64(upto + 1))


def event_hash(device: bytes, number: int, ts: str) -> bytes:
    """Eight bytes that stand for (peer, id, timestamp)."""
    return blake2b(device + u64(number) + ts.encode(), digest_size=8).digest()


def is_uuid(text: str) -> bool:
    """Whether a topic ends as that of a device does."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
