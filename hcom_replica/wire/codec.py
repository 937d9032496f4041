"""MessagePack for fixed structures: exact types, exact lengths, one error.

Owns the annotated field types that all structures share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

import msgspec

from hcom_replica.errors import ProtocolError
from hcom_replica.limits import BROKER_CHARS_MAX, MOVES_MAX

FORKS_MAX: Final = 8

Id8 = Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
Hash32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Incarnation = Annotated[bytes, msgspec.Meta(min_length=12, max_length=12)]
Sig64 = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Page = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
MoveNumber = Annotated[int, msgspec.Meta(ge=1, le=MOVES_MAX)]
BrokerText = Annotated[str, msgspec.Meta(max_length=BROKER_CHARS_MAX, pattern=r"^mqtts?://[A-Za-z0-9.:_\[\]-]+\Z")]
"""Of another device: checked here so far that it can stand in a token and in a list; else it is for the transport."""
U64_MAX: Final = (1 << 64) - 1

T = TypeVar("T")

encode: Final = msgspec.msgpack.Encoder().encode


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """Make a strict decoder for a structure; it raises only ProtocolError(`format`)."""
    decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(kind).decode

    def run(data: bytes) -> T:
        try:
            result: T = decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolError("format", f"{kind.__name__}: {error}") from None
        return result

    return run
