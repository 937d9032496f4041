"""The group's secret and what is derived from it: seal key, topic prefix, leaves (protocol-v1 5.2, section 6)."""

from __future__ import annotations

from functools import cached_property

import msgspec

from hcom_replica.wire.hashing import blake2b


class GroupKeys(msgspec.Struct, frozen=True, dict=True):
    """A group at one key epoch.

    Attributes:
        group: 16 bytes.
        epoch: number of the epoch, from 1.
        secret: 32 secret bytes; not in the repr.
    """

    group: bytes
    secret: bytes
    epoch: int = 1

    def __repr__(self) -> str:
        return f"GroupKeys(group={self.group!r}, epoch={self.epoch})"

    def derive(self, label: str) -> bytes:
        """K(label): 32 bytes."""
        data = b"hcr1 " + label.encode() + b"\x00" + self.group + self.epoch.to_bytes(4, "big")
        return blake2b(data, key=self.secret, digest_size=32).digest()

    @cached_property
    def seal(self) -> bytes:
        """Key of the envelope."""
        return self.derive("seal")

    @cached_property
    def leaf(self) -> bytes:
        """Key under which topic leaves are hashed."""
        return self.derive("leaf")

    @cached_property
    def check(self) -> bytes:
        """16 bytes that name the epoch, and tell nothing of its secret (P12.4)."""
        return self.derive("check")[:16]

    @cached_property
    def prefix(self) -> str:
        """First level of all topics of this epoch."""
        return self.derive("topic").hex()[:16]
