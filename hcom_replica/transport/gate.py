"""The gate before the embedded broker: reads CONNECT's first bytes, and watches over what follows.

Owns three things that amqtt leaves undone. It answers a CONNECT of another version than 3.1.1 with "unacceptable
protocol version" (amqtt misreads MQTT 5 and waits for bytes that never come). It ends a connection that was silent
for one and a half keepalives (amqtt never does, so no will would be published for a half-open one). It refuses
packets over a limit before they are read into memory.
"""

from __future__ import annotations

import asyncio
from typing import Final

from amqtt.adapters import ReaderAdapter  # type: ignore[import-untyped]

from hcom_replica.limits import MIB

PACKET_BYTES_MAX: Final = 1 * MIB
"""Seventeen of our largest messages."""

_CONNECT: Final = 0x10
_LEVEL_311: Final = 4
_KEEPALIVE_GRACE: Final = 1.5
"""MQTT 3.1.1 section 3.1.2.10."""
_CONNECT_S_MAX: Final = 10.0
_UNACCEPTABLE_VERSION: Final = b"\x20\x02\x00\x01"


class GatedReader(ReaderAdapter):  # type: ignore[misc]
    """Gives amqtt the bytes of an admitted connection, from the first on.

    Args:
        reader: the rest of the stream.
        seen: the bytes already read from it.
        silence_s_max: the connection is over when nothing came for so long; None is never.
    """

    def __init__(self, reader: asyncio.StreamReader, seen: bytes, silence_s_max: float | None) -> None:
        self._reader = reader
        self._seen = seen
        self._silence_s_max = silence_s_max

    async def read(self, n: int = -1) -> bytes:
        """Read exactly `n` bytes.

        Raises:
            ConnectionResetError: more were asked for than a packet may have, or the client fell silent.
        """
        if n > PACKET_BYTES_MAX:
            raise ConnectionResetError("packet too large")
        if self._seen:
            start, self._seen = self._seen[:n], self._seen[n:]
            return start if len(start) == n else start + await self.read(n - len(start))
        try:
            return await asyncio.wait_for(self._reader.readexactly(n), self._silence_s_max)
        except TimeoutError as error:
            raise ConnectionResetError("the client fell silent") from error

    def feed_eof(self) -> None:
        """Mark the end of the stream."""
        self._reader.feed_eof()


async def admit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> GatedReader | None:
    """Read the head of CONNECT; None when the connection is not to be served (a refusal has then been written)."""
    try:
        seen, level, keepalive_s = await asyncio.wait_for(_read_head(reader), _CONNECT_S_MAX)
    except (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError):
        return None
    if level != _LEVEL_311:
        writer.write(_UNACCEPTABLE_VERSION)
        return None
    return GatedReader(reader, seen, keepalive_s * _KEEPALIVE_GRACE if keepalive_s else None)


async def _read_head(reader: asyncio.StreamReader) -> tuple[bytes, int, int]:
    """Read up to the keepalive: gives the bytes read, the protocol level and the keepalive in seconds."""
    seen = await reader.readexactly(2)
    if seen[0] != _CONNECT:
        raise ValueError("not CONNECT")
    while seen[-1] & 0x80:
        if len(seen) > 4:
            raise ValueError("malformed length")
        seen += await reader.readexactly(1)
    name_length = await reader.readexactly(2)
    if name_length not in (b"\x00\x04", b"\x00\x06"):
        raise ValueError("not MQTT")
    rest = await reader.readexactly(int.from_bytes(name_length, "big") + 4)
    return seen + name_length + rest, rest[-4], int.from_bytes(rest[-2:], "big")
