"""The hash chain over an origin's events (protocol-v1 4.1)."""

from __future__ import annotations

from hashlib import blake2b

from hcom_replica.wire.event import decode_event


def link(previous: bytes, record: bytes, body: bytes) -> bytes:
    """c[n] from c[n-1]: H(previous || header || H(body)).

    The body is hashed apart, so that it can be replaced by its hash without breaking the chain.
    """
    header = record[: len(record) - len(body)]
    inner = blake2b(body, digest_size=32).digest()
    return blake2b(previous + header + inner, digest_size=32).digest()


def walk(previous: bytes, records: list[bytes]) -> bytes:
    """The c after a run of records that this device holds."""
    for record in records:
        previous = link(previous, record, decode_event(record).body)
    return previous
