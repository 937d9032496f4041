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


class Carrier(msgspec.Struct, frozen=True):
    """Who plays a device of a group of ours for machines that run only hcom (B8.2).

    Attributes:
        group: 16 hex digits that stand for our group.
        term: of its claim.
        claim: id of the event.
    """

    group: str
    term: int
    claim: str


class State(msgspec.Struct, frozen=True):
    """What a device says of itself besides events; `replica` is no word of hcom, which ignores it."""

    short_id: str
    instances: dict[str, Agent] = {}
    capabilities: Sequence[str] = ()
    max_packet: int = 0
    reset_ts: float = 0.0
    replica: Carrier | msgspec.UnsetType = msgspec.UNSET


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot; without a state it says that the device is gone."""

    state: State | None
    events: list[HcomEvent] = []


class _Loose(msgspec.Struct):
    """A snapshot whose events are not read yet: one that is malformed must not spoil the others."""

    state: State | None
    events: list[msgspec.Raw] = []


GONE: Final = Snapshot(None)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Loose).decode
_decode_event = msgspec.json.Decoder(HcomEvent).decode


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Write a snapshot as JSON."""
    return _encode(snapshot)


def decode_snapshot(data: bytes) -> Snapshot:
    """Read a snapshot; events that are none are left out.

    Raises:
        ProtocolError: `format`.
    """
    try:
        said = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError("format", f"snapshot: {error}") from None
    return Snapshot(said.state, [event for event in map(read_event, said.events) if event is not None])


def read_event(data: bytes | msgspec.Raw) -> HcomEvent | None:
    """Read one event of a snapshot, or of an answer; None when it is none."""
    try:
        event = _decode_event(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return event if 0 < event.id < 1 << 62 else None
