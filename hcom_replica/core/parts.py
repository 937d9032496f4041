"""Putting parts together again, in bounded memory (P5.5).

What is kept is counted with what it costs to keep it, so that many small or empty parts are bounded like large ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.limits import EVENT_BYTES_MAX, SPOOL_BYTES_MAX
from hcom_replica.wire.frame import Packed, unpack
from hcom_replica.wire.messages import Part
from hcom_replica.wire.signing import hash32

_BLOB_COST_BYTES: Final = 1024
_CHUNK_COST_BYTES: Final = 256


@dataclass
class _Blob:
    """A batch of which parts are missing.

    Attributes:
        count: of all its parts.
        chunks: index, from 0 -> bytes of that part.
        size: of these, in bytes.
    """

    count: int
    chunks: dict[int, bytes] = field(default_factory=dict)
    size: int = 0

    @property
    def cost(self) -> int:
        """Memory it takes, about."""
        return self.size + _BLOB_COST_BYTES + _CHUNK_COST_BYTES * len(self.chunks)


class Assembler:
    """Parts that wait for the rest of their batch; the oldest batch goes when the room is used up.

    Attributes:
        size_bytes: about what they take in memory.
    """

    def __init__(self) -> None:
        self._blobs: dict[tuple[OriginId, bytes], _Blob] = {}
        self.size_bytes = 0

    def add(self, author: OriginId, part: Part) -> bytes | None:
        """Take a part from one author.

        Returns:
            The encoded batch, when this was the last part missing; None otherwise.

        Raises:
            ProtocolError: `format` or `size`: the parts do not make a batch; they are dropped.
        """
        key = (author, part.blob)
        blob = self._blobs.pop(key, None)
        self.size_bytes -= blob.cost if blob is not None else 0
        blob = blob or _Blob(part.count)
        if blob.count != part.count or part.index >= part.count or not part.chunk:
            raise ProtocolError("format", "parts that disagree")
        if part.index not in blob.chunks:
            blob.chunks[part.index] = part.chunk
            blob.size += len(part.chunk)
        if blob.size > 2 * EVENT_BYTES_MAX:
            raise ProtocolError("size", "parts of more than an event")
        if len(blob.chunks) < blob.count:
            self._keep(key, blob)
            return None
        data = b"".join(blob.chunks[index] for index in range(blob.count))
        if hash32(data)[:16] != part.blob:
            raise ProtocolError("format", "parts of something else")
        return unpack(Packed(data[0], data[1:]))

    def _keep(self, key: tuple[OriginId, bytes], blob: _Blob) -> None:
        """Put a batch behind all others, and let go of those in front that have no room any more."""
        self._blobs[key] = blob
        self.size_bytes += blob.cost
        while self.size_bytes > SPOOL_BYTES_MAX:
            self.size_bytes -= self._blobs.pop(next(iter(self._blobs))).cost
