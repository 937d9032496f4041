"""The shared state of scripts: registers, add-wins sets and counters, folded from `state` events (P15.2 to P15.5).

Every event carries a random tag of its own: what it does once, it does once, however often it comes and under whatever
name a fork has moved it to.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from hcom_replica.core.crdt.rows import Rows
from hcom_replica.wire.event import Event, RedactedEvent

KIND: Final = "state"
STAMP_MAX: Final = (1 << 62) - 1
AMOUNT_MAX: Final = (1 << 53) - 1
NAME_BYTES_MAX: Final = 128
ITEM_BYTES_MAX: Final = 200

_REGISTER: Final = b"v"
_MEMBER: Final = b"s"
_COUNTER: Final = b"c"
_COUNTED: Final = b"i"
_END: Final = b"\x00"

Tag = str


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """Body of a `state` event.

    Attributes:
        op: what it does.
        key: name of the register, set or counter.
        tag: 16 hex digits, random.
        value: of `set`: any JSON.
        stamp: of `set`: more than that of any value it has seen.
        item: of `add` and `remove`: a member.
        seen: of `remove`: tags of the additions that it takes back.
        by: of `incr`: how much.
    """

    op: Literal["set", "add", "remove", "incr"]
    key: str
    tag: Tag
    value: msgspec.Raw = msgspec.Raw(b"null")
    stamp: int = 0
    item: str = ""
    seen: list[Tag] = []
    by: int = 0


class Register(msgspec.Struct, array_like=True, frozen=True):
    """A value, and what decides between it and another: stamp, then tag."""

    stamp: int
    tag: Tag
    value: bytes


class Member(msgspec.Struct, array_like=True, frozen=True):
    """A possible member of a set: the tags that added it, and those of them that were taken back."""

    added: tuple[Tag, ...]
    removed: tuple[Tag, ...]

    @property
    def live(self) -> list[Tag]:
        """Tags of additions that nobody has taken back; an item with one is in the set."""
        return [tag for tag in self.added if tag not in self.removed]


_decode_change = msgspec.json.Decoder(Change).decode
_decode_register = msgspec.msgpack.Decoder(Register).decode
_decode_member = msgspec.msgpack.Decoder(Member).decode
_encode = msgspec.msgpack.Encoder().encode


def read_change(event: Event) -> Change | None:
    """The change that an event makes; None when it makes none."""
    if event.kind != KIND or isinstance(event, RedactedEvent):
        return None
    try:
        change = _decode_change(event.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return change if _is_sound(change) else None


def _is_sound(change: Change) -> bool:
    fits = 0 < len(change.key.encode()) <= NAME_BYTES_MAX and len(change.item.encode()) <= ITEM_BYTES_MAX
    bounded = 0 <= change.stamp <= STAMP_MAX and abs(change.by) <= AMOUNT_MAX
    plain = "\x00" not in change.key and "\x00" not in change.tag
    return fits and bounded and plain and 0 < len(change.tag) <= 32


def fold(rows: Rows, event: Event) -> None:
    """Take in an event."""
    change = read_change(event)
    if change is None:
        return
    name = change.key.encode() + _END
    if change.op == "set":
        _set(rows, _REGISTER + name, Register(change.stamp or event.hlc, change.tag, bytes(change.value)))
    elif change.op == "incr":
        _count(rows, name, change)
    else:
        _change_member(rows, _MEMBER + name + change.item.encode(), change)


def _set(rows: Rows, key: bytes, said: Register) -> None:
    held = register(rows, key)
    if held is None or (held.stamp, held.tag) < (said.stamp, said.tag):
        rows.put(key, _encode(said))


def _count(rows: Rows, name: bytes, change: Change) -> None:
    once = _COUNTED + name + change.tag.encode()
    if rows.get(once) is None:
        rows.put(once, b"")
        total = int((rows.get(_COUNTER + name) or b"0").decode()) + change.by
        rows.put(_COUNTER + name, str(total).encode())


def _change_member(rows: Rows, key: bytes, change: Change) -> None:
    held = rows.get(key)
    member = Member((), ()) if held is None else _decode_member(held)
    if change.op == "add":
        member = Member(_joined(member.added, [change.tag]), member.removed)
    else:
        member = Member(member.added, _joined(member.removed, change.seen))
    rows.put(key, _encode(member))


def _joined(tags: tuple[Tag, ...], more: list[Tag]) -> tuple[Tag, ...]:
    return tuple(sorted({*tags, *more}))


# --- reading -------------------------------------------------------------------------------------------------------


def register(rows: Rows, key: bytes) -> Register | None:
    """The register of a row."""
    held = rows.get(key)
    return None if held is None else _decode_register(held)


def value(rows: Rows, name: str) -> Register | None:
    """A register; None when it was never set."""
    return register(rows, _REGISTER + name.encode() + _END)


def count(rows: Rows, name: str) -> int | None:
    """A counter; None when nothing was ever counted."""
    held = rows.get(_COUNTER + name.encode() + _END)
    return None if held is None else int(held.decode())


def member(rows: Rows, name: str, item: str) -> Member:
    """What is known of a possible member of a set."""
    held = rows.get(_MEMBER + name.encode() + _END + item.encode())
    return Member((), ()) if held is None else _decode_member(held)


def members(rows: Rows, name: str) -> list[str]:
    """The members of a set, sorted."""
    prefix = _MEMBER + name.encode() + _END
    return [key[len(prefix) :].decode() for key, held in rows.scan(prefix) if _decode_member(held).live]


def names(rows: Rows) -> dict[str, list[str]]:
    """`values`, `sets` and `counters` -> the names in use."""
    sets: dict[str, None] = {}
    for key, held in rows.scan(_MEMBER):
        if _decode_member(held).live:
            sets[_name(key)] = None
    return {
        "values": [_name(key) for key, _ in rows.scan(_REGISTER)],
        "sets": list(sets),
        "counters": [_name(key) for key, _ in rows.scan(_COUNTER)],
    }


def _name(key: bytes) -> str:
    return key[1 : key.index(_END)].decode()
