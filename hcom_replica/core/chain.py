"""The hash chain over an origin's events (protocol-v1 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hcom_replica.wire.event import Event, RedactedEvent, decode_events
from hcom_replica.wire.hashing import blake2b

_EMPTY: Final = blake2b(digest_size=32)
"""Copied for each hash: that takes a quarter less time than to make one anew, and nothing is called more often."""


def link(previous: bytes, record: bytes, body: bytes) -> bytes:
    """c[n] from c[n-1]: H(previous || header || H(body)).

    The body is hashed apart, so that it can be replaced by its hash without breaking the chain.
    """
    return links(previous, (record,), (body,))[0]


def links(previous: bytes, records: Sequence[bytes], bodies: Sequence[bytes]) -> list[bytes]:
    """The c after each of a run of records.

    Args:
        previous: c before the first.
        records: encoded events.
        bodies: one for each, its tail.
    """
    tips: list[bytes] = []
    fresh = _EMPTY.copy
    for record, body in zip(records, bodies, strict=True):
        inner = fresh()
        inner.update(body)
        outer = fresh()
        outer.update(previous + record[: len(record) - len(body)] + inner.digest())
        previous = outer.digest()
        tips.append(previous)
    return tips


def chained(previous: bytes, records: Sequence[bytes], events: Sequence[Event]) -> list[bytes]:
    """The c after each of a run of records, redacted ones among them; as `links` does it faster for whole ones.

    Args:
        previous: c before the first.
        records: encoded events, redacted or not.
        events: the same, decoded.
    """
    tips: list[bytes] = []
    for record, event in zip(records, events, strict=True):
        if isinstance(event, RedactedEvent):
            outer = _EMPTY.copy()
            outer.update(previous + event.header + event.body_hash)
            previous = outer.digest()
        else:
            previous = link(previous, record, event.body)
        tips.append(previous)
    return tips


def walk(previous: bytes, records: list[bytes]) -> bytes:
    """The c after a run of records that this device holds."""
    if not records:
        return previous
    events, whole = decode_events(records)
    tips = links(previous, records, [event.body for event in events]) if whole else chained(previous, records, events)
    return tips[-1]
