"""Putting parts together again, in bounded memory (P5.5)."""

from __future__ import annotations

from dataclasses import dataclass, field

from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.limits import EVENT_BYTES_MAX, SPOOL_BYTES_MAX
from hcom_replica.wire.frame import Packed, unpack
from hcom_replica.wire.messages import Part
from hcom_replica.wire.signing import hash32


@dataclass
class _Blob:
    count: int
    chunks: dict[int, bytes] = field(default_factory=dict)
    size: int = 0


class Assembler:
    """Parts that wait for the rest of their batch; the oldest batch goes when the room is used up."""

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
        blob = self._blobs.setdefault(key, _Blob(part.count))
        if blob.count != part.count or part.index >= part.count:
            self._drop(key)
            raise ProtocolError("format", "parts that disagree")
        if part.index not in blob.chunks:
            blob.chunks[part.index] = part.chunk
            blob.size += len(part.chunk)
            self.size_bytes += len(part.chunk)
        if blob.size > 2 * EVENT_BYTES_MAX:
            self._drop(key)
            raise ProtocolError("size", "parts of more than an event")
        if len(blob.chunks) < blob.count:
            self._bound(key)
            return None
        self._drop(key)
        data = b"".join(blob.chunks[index] for index in range(blob.count))
        if hash32(data)[:16] != part.blob:
            raise ProtocolError("format", "parts of something else")
        return unpack(Packed(data[0], data[1:]))

    def _bound(self, newest: tuple[OriginId, bytes]) -> None:
        while self.size_bytes > SPOOL_BYTES_MAX:
            self._drop(next(key for key in self._blobs if key != newest))

    def _drop(self, key: tuple[OriginId, bytes]) -> None:
        blob = self._blobs.pop(key, None)
        if blob is not None:
            self.size_bytes -= blob.size
