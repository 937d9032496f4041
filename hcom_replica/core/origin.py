"""What a device knows of one origin, as it is stored (storage-v1 section 3)."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from hcom_replica.ids import OriginId
from hcom_replica.wire.batch import Descriptor, ForkPoint
from hcom_replica.wire.codec import decoder, encode
from hcom_replica.wire.signing import device_id, origin_hash, root_hash, short


class CommitRow(NamedTuple):
    """A verified commit: the prefix that ends at `seq`, and the signature over it."""

    seq: int
    hlc: int
    cum: int
    tip: bytes
    signature: bytes


class OriginState(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One origin's prefix that is held here.

    Attributes:
        hash: full origin hash; its first 8 bytes are the id.
        key: the device's public key.
        incarnation: 12 bytes.
        forks: empty, or where this derived origin leaves its parents.
        base: 0, or the seq before a derived origin's first.
        seq: highest contiguous seq held; base when none is.
        hlc: of the event at seq; 0 when none is.
        tip: c[seq].
        cum: cumulative encoded bytes at seq.
        system: system events among those held (of 1..seq; for a derived origin of base+1..seq).
        name: the device's name as this origin last stated it; empty when unknown.
        drift_ms: the most that its events were ahead of our wall clock beyond the bound; 0 for never.
    """

    hash: bytes
    key: bytes
    incarnation: bytes
    forks: tuple[ForkPoint, ...]
    base: int
    seq: int
    hlc: int
    tip: bytes
    cum: int
    system: int
    name: str
    drift_ms: int

    @property
    def id(self) -> OriginId:
        """Short id."""
        return short(self.hash)

    @property
    def device(self) -> bytes:
        """8 bytes that stand for the device in all its incarnations."""
        return device_id(self.key)

    @property
    def generation(self) -> int:
        """Which incarnation of the device this is, from 1."""
        return int.from_bytes(self.incarnation[:4], "big")

    @property
    def descriptor(self) -> Descriptor:
        """What defines the origin."""
        return Descriptor(self.key, self.incarnation, self.forks)

    def root(self, group: bytes) -> bytes:
        """The c0 that its commits are signed over."""
        return self.hash if not self.forks else root_hash(group, self.key, self.incarnation)


decode_state = decoder(OriginState)
encode_state = encode


def fresh_origin(group: bytes, descriptor: Descriptor, *, tip: bytes | None = None, cum: int = 0) -> OriginState:
    """The state of an origin of which nothing is held yet.

    Args:
        group: 16 bytes.
        descriptor: what defines it.
        tip: c at its base; None takes the origin hash, right for an origin that is not derived.
        cum: cumulative bytes at its base.
    """
    full = origin_hash(group, descriptor)
    base = descriptor.forks[-1].base if descriptor.forks else 0
    return OriginState(
        full, descriptor.key, descriptor.incarnation, descriptor.forks, base, base, 0, tip or full, cum, 0, "", 0
    )
