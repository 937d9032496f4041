"""The system events that define origins, members and epochs (protocol-v1 3.6, 3.7, section 12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import msgspec

from hcom_replica.errors import ProtocolError
from hcom_replica.limits import NAME_CHARS_MAX
from hcom_replica.wire.codec import BrokerText, MoveNumber
from hcom_replica.wire.event import Draft

HELLO: Final = "_hello"
NAME: Final = "_name"
RETIRE: Final = "_retire"
RETURN: Final = "_return"
ADMIT: Final = "_admit"
EPOCH: Final = "_epoch"
ADOPT: Final = "_adopt"
REPLACE: Final = "_replace"
ROSTER: Final = "_roster"
MOVE: Final = "_move"


Seq = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)]


class Link(msgspec.Struct, frozen=True):
    """The incarnation before this one: its origin id, the seq and c that were held of it (hex)."""

    origin: str
    seq: Seq
    c: str


class Hello(msgspec.Struct, frozen=True):
    """Body of an origin's first event. All bytes in hexadecimal."""

    key: str
    incarnation: str
    name: Name
    link: Link | None = None
    epoch: str = ""
    reason: str = ""


class Rename(msgspec.Struct, frozen=True):
    """Body of `_name`."""

    name: Name


class Retire(msgspec.Struct, frozen=True):
    """Body of `_retire`: a device that leaves, and the last seq that counts of each of its origins."""

    device: str
    last: dict[str, Seq]


class Return(msgspec.Struct, frozen=True):
    """Body of `_return`: a retired device that writes again.

    Attributes:
        device: hex.
        answers: ids of the `_retire` events that count no more, wherever those stand in the unified order.
    """

    device: str
    answers: list[str] = []


class Admit(msgspec.Struct, frozen=True):
    """Body of `_admit`: (device's key, "as my n-th", signature) of each device that the writer admits (P12.1)."""

    certificates: list[tuple[str, Seq, str]]


class NewEpoch(msgspec.Struct, frozen=True):
    """Body of `_epoch`: an epoch record, base64 (P12.6)."""

    record: bytes


class Adopt(msgspec.Struct, frozen=True):
    """Body of `_adopt`: the writer has an epoch, and holds so much of revoked devices (P12.9).

    Attributes:
        epoch: check of the epoch, hex.
        held: origin id, hex -> seq.
        notice: base64, where the log does not hold the record.
    """

    epoch: str
    held: dict[str, Seq]
    notice: bytes | None = None


class Replace(msgspec.Struct, frozen=True):
    """Body of `_replace`: asks the other members to retire a device whose name the writer claims, too."""

    device: str


class Roster(msgspec.Struct, frozen=True, omit_defaults=True):
    """Body of `_roster`: what its writer says of origins (hex) for the sake of the stable order (P13.2).

    Attributes:
        enter: waited for from here on.
        close: waited for no more: the seq held here, and an hlc up to which nothing behind that seq can be.
        late: held here up to that seq; what of it has no place yet stands here.
    """

    enter: list[str] = []
    close: dict[str, tuple[Seq, Seq]] = {}
    late: dict[str, Seq] = {}


class Move(msgspec.Struct, frozen=True):
    """Body of `_move`: the group meets at another broker (P16.1)."""

    number: MoveNumber
    broker: BrokerText


System = Hello | Rename | Retire | Return | Replace | Admit | NewEpoch | Adopt | Roster | Move

_DECODE: Final[dict[str, Callable[[bytes], System]]] = {
    HELLO: msgspec.json.Decoder(Hello).decode,
    NAME: msgspec.json.Decoder(Rename).decode,
    RETIRE: msgspec.json.Decoder(Retire).decode,
    RETURN: msgspec.json.Decoder(Return).decode,
    ADMIT: msgspec.json.Decoder(Admit).decode,
    EPOCH: msgspec.json.Decoder(NewEpoch).decode,
    ADOPT: msgspec.json.Decoder(Adopt).decode,
    REPLACE: msgspec.json.Decoder(Replace).decode,
    ROSTER: msgspec.json.Decoder(Roster).decode,
    MOVE: msgspec.json.Decoder(Move).decode,
}


def system_draft(kind: str, body: System) -> Draft:
    """A system event ready to be appended."""
    return Draft(kind, None, None, msgspec.json.encode(body))


def read_system(kind: str, body: bytes) -> System | None:
    """Read a system event; None for kinds unknown to this version and for bodies that are not as they should be."""
    decode = _DECODE.get(kind)
    if decode is None:
        return None
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def check_hello(kind: str, body: bytes, key: bytes, incarnation: bytes) -> Hello:
    """Check an origin's first event.

    Raises:
        ProtocolError: `hello`: it is not the hello of this key and incarnation.
    """
    hello = read_system(kind, body) if kind == HELLO else None
    if not isinstance(hello, Hello) or hello.key != key.hex() or hello.incarnation != incarnation.hex():
        raise ProtocolError("hello")
    return hello
