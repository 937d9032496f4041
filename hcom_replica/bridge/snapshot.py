"""What a device of hcom's relay publishes: its agents, and a run of its events (hcom-bridge-v1 B1.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hcom_replica.errors import ProtocolError

EVENTS_MAX: Final = 100
"""Events in one snapshot, as hcom itself does it."""

Agent = dict[str, Any]
"""One agent: enabled, status, context, detail, status_time, parent, directory, transcript, wait_timeout, last_stop,
tcp_mode, tag, tool, background."""


class HcomEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of a snapshot.

    Attributes:
        id: its number on the device, ascending.
        ts: ISO 8601, microseconds.
        type: message, status, life, bundle ...
        instance: agent without a device, or empty.
        data: its body, a JSON object as text.
    """

    id: int
    ts: str
    type: str
    instance: str
    data: msgspec.Raw


class State(msgspec.Struct, frozen=True):
    """What a device says of itself besides events."""

    short_id: str
    instances: dict[str, Agent] = {}
    capabilities: Sequence[str] = ()
    max_packet: int = 0
    reset_ts: float = 0.0


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot; without a state it says that the device is gone."""

    state: State | None
    events: list[HcomEvent] = []


GONE: Final = Snapshot(None)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Snapshot).decode


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Write a snapshot as JSON."""
    return _encode(snapshot)


def decode_snapshot(data: bytes) -> Snapshot:
    """Read a snapshot.

    Raises:
        ProtocolError: `format`.
    """
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError("format", f"snapshot: {error}") from None
