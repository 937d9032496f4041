"""Batches: runs of whole commits of one origin, and the descriptor that defines an origin (protocol-v1 2.5, 4.4)."""

from __future__ import annotations

from typing import Annotated

import msgspec

from hcom_replica.errors import ProtocolError
from hcom_replica.limits import BATCH_COMMITS_MAX, BATCH_EVENTS_MAX
from hcom_replica.wire.codec import FORKS_MAX, Hash32, Id8, Incarnation, Natural, Sig64, decoder, encode

Records = Annotated[list[bytes], msgspec.Meta(min_length=1, max_length=BATCH_EVENTS_MAX)]


class ForkPoint(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Where a derived origin leaves its parent: after seq `base`, with c[base + 1] = `link`."""

    base: Natural
    link: Hash32


class Descriptor(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What defines an origin: its hash, id and base follow from it (P2.3 to P2.5)."""

    key: Hash32
    incarnation: Incarnation
    forks: Annotated[tuple[ForkPoint, ...], msgspec.Meta(max_length=FORKS_MAX)]


class Commit(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False):
    """A signature over the prefix that ends at `seq` (P4.2)."""

    seq: Natural
    signature: Sig64


class Batch(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One or more whole commits of one origin.

    Attributes:
        origin: short id.
        first: seq of the first record, from 1.
        prev: c[first - 1].
        cum: cumulative encoded bytes at first - 1.
        records: encoded events.
        commits: ascending by seq; the last is at the last record.
        descriptor: required when first is the origin's base + 1.
    """

    origin: Id8
    first: Natural
    prev: Hash32
    cum: Natural
    records: Records
    commits: Annotated[list[Commit], msgspec.Meta(min_length=1, max_length=BATCH_COMMITS_MAX)]
    descriptor: Descriptor | None

    @property
    def last(self) -> int:
        """Seq of the last record."""
        return self.first + len(self.records) - 1


_decode_batch = decoder(Batch)


def encode_batch(batch: Batch) -> bytes:
    """Encode a batch."""
    return encode(batch)


def decode_batch(data: bytes) -> Batch:
    """Decode a batch from outside and check its shape; nothing is verified yet.

    Raises:
        ProtocolError: `format` or `order`.
    """
    batch = _decode_batch(data)
    previous = batch.first - 1
    if batch.first < 1:
        raise ProtocolError("order", "batch: first is below 1")
    for commit in batch.commits:
        if not previous < commit.seq <= batch.last:
            raise ProtocolError("order", "batch: commits do not ascend")
        previous = commit.seq
    if previous != batch.last:
        raise ProtocolError("order", "batch: does not end at a commit")
    return batch
