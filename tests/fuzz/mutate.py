"""Changing valid bytes into nearly valid ones, by what the bytes are: msgpack, text, or nothing in particular.

Deterministic: all chance comes from the generator that is given. Made to be fast; a mutation takes microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import msgspec

INTEGERS: Final = (
    0, 1, 2, 7, 8, 31, 32, 63, 64, 65, 127, 128, 255, 256, 257, 4095, 4096, 65535, 65536, (1 << 31) - 1, 1 << 31,
    (1 << 32) - 1, 1 << 32, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -1, -128, -(1 << 31), -(1 << 63),
)  # fmt: skip
"""Numbers at the ends of every field."""

_SIZES: Final = (0, 1, 7, 8, 9, 12, 16, 24, 31, 32, 33, 48, 64, 65, 128, 300)
_HEADERS: Final = (
    b"\xdd\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc6\x00\x80\x00\x00", b"\xdb\x7f\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff", b"\x91" * 40, b"\xc1", b"\xcf" + b"\xff" * 8, b"\xd3\x80",
)  # fmt: skip
"""Beginnings of msgpack values that say that much follows, or that are none."""

_ODD: Final[tuple[Any, ...]] = (None, True, 1.5, "", "\u009b31m\x1b", [], {}, [[]], b"")
_DEPTH_MAX: Final = 30
_SIZE_MAX: Final = 1 << 16
"""A mutated input is not longer than a message, unless its seed was."""

_decode = msgspec.msgpack.Decoder().decode
_encode = msgspec.msgpack.Encoder().encode


def mutate_bytes(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Change, take out, put in, repeat or cut bytes; or go on with another seed."""
    at = int(rng.random() * (len(data) + 1))
    change = _CHANGES[int(rng.random() * len(_CHANGES))]
    kept, new = change(rng, data, at, seeds)
    return data[:at] + new + data[kept:]


_Change = Callable[[Random, bytes, int, Sequence[bytes]], tuple[int, bytes]]
"""Gives the place where the old bytes go on, and what stands between."""


def _flip(rng: Random, data: bytes, at: int, _seeds: Sequence[bytes]) -> tuple[int, bytes]:
    return at + 1, bytes(byte ^ (1 << int(rng.random() * 8)) for byte in data[at : at + 1])


def _leave_out(rng: Random, _data: bytes, at: int, _seeds: Sequence[bytes]) -> tuple[int, bytes]:
    return at + 1 + int(rng.random() * 8), b""


def _cut(_rng: Random, data: bytes, _at: int, _seeds: Sequence[bytes]) -> tuple[int, bytes]:
    return len(data), b""


def _put_in(rng: Random, _data: bytes, at: int, _seeds: Sequence[bytes]) -> tuple[int, bytes]:
    return at, rng.randbytes(1 + int(rng.random() * 8))


def _promise_much(rng: Random, _data: bytes, at: int, _seeds: Sequence[bytes]) -> tuple[int, bytes]:
    return at, bytes(_pick(rng, _HEADERS))


def _splice(rng: Random, data: bytes, _at: int, seeds: Sequence[bytes]) -> tuple[int, bytes]:
    other = seeds[int(rng.random() * len(seeds))]
    return len(data), other[int(rng.random() * (len(other) + 1)) :]


def _repeat(rng: Random, data: bytes, at: int, _seeds: Sequence[bytes]) -> tuple[int, bytes]:
    end = at + int(rng.random() * 32)
    return end, data[at:end] * (2 + int(rng.random() * 30))


def _overwrite(rng: Random, _data: bytes, at: int, _seeds: Sequence[bytes]) -> tuple[int, bytes]:
    new = rng.randbytes(1 + int(rng.random() * 4))
    return at + len(new), new


_CHANGES: Final[tuple[_Change, ...]] = (
    _flip, _leave_out, _cut, _put_in, _promise_much, _splice, _repeat, _overwrite, _overwrite,
)  # fmt: skip


def mutate_text(rng: Random, data: bytes, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Put words of the format in, over, or many times over; now and then bytes that are no text."""
    if rng.random() < 0.4:
        return mutate_bytes(rng, data, seeds)
    at = int(rng.random() * (len(data) + 1))
    word: bytes = words[int(rng.random() * len(words))]
    if rng.random() < 0.1:
        word *= 1 + int(rng.random() * 600)
    cut = at if rng.random() < 0.5 else at + len(word)
    return data[:at] + word + data[cut:]


def mutate_msgpack(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Change one value somewhere in a structure; its neighbours stay valid."""
    if rng.random() < 0.25:
        return mutate_bytes(rng, data, seeds)
    try:
        tree = _decode(data)
        return bytes(_encode(_changed(rng, tree, 0)))
    except (msgspec.MsgspecError, UnicodeError, OverflowError, TypeError, RecursionError):
        return mutate_bytes(rng, data, seeds)


def shorten(data: bytes, seed: bytes) -> bytes:
    """Keep repeated repetitions from growing without end."""
    return data[: max(_SIZE_MAX, len(seed))]


def _changed(rng: Random, value: Any, depth: int) -> Any:
    if isinstance(value, list) and value and depth < _DEPTH_MAX and rng.random() < 0.9:
        return _changed_list(rng, value, depth)
    if isinstance(value, bytes) and value and rng.random() < 0.3:
        return _changed_nested(rng, value, depth)
    return _other(rng, value)


def _changed_list(rng: Random, items: list[Any], depth: int) -> list[Any]:
    at = int(rng.random() * len(items))
    choice = rng.random()
    if choice < 0.06:
        return items[:at] + items[at + 1 :]
    if choice < 0.12:
        return [*items[:at], items[at], *items[at:]]
    if choice < 0.15:
        return items * (1 + int(rng.random() * 40))
    if choice < 0.18:
        return items[::-1]
    return [*items[:at], _changed(rng, items[at], depth + 1), *items[at + 1 :]]


def _changed_nested(rng: Random, value: bytes, depth: int) -> bytes:
    """Bytes may hold a structure themselves, as records do."""
    if value[0] & 0xF0 == 0x90 and depth < _DEPTH_MAX:
        try:
            return bytes(_encode(_changed(rng, _decode(value), depth + 1)))
        except (msgspec.MsgspecError, UnicodeError, OverflowError, TypeError, RecursionError):
            pass
    at = int(rng.random() * len(value))
    return value[:at] + bytes((value[at] ^ (1 << int(rng.random() * 8)),)) + value[at + 1 :]


def _other(rng: Random, value: Any) -> Any:
    choice = int(rng.random() * 12)
    if choice < 5 and isinstance(value, int):
        return _pick(rng, INTEGERS) if choice < 3 else max(-(1 << 63), min(value + choice * 2 - 7, (1 << 64) - 1))
    if choice < 5:
        return rng.randbytes(_pick(rng, _SIZES))
    return _pick(rng, (*_ODD, _pick(rng, INTEGERS), "x" * _pick(rng, _SIZES)))


def _pick(rng: Random, items: Sequence[Any]) -> Any:
    return items[int(rng.random() * len(items))]
