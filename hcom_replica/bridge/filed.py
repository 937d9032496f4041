"""Files of a folder that hold a bridge's settings: one object of JSON, laid out for people to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from hcom_replica.errors import ConfigError

S = TypeVar("S", bound=msgspec.Struct)


def encode_file(settings: msgspec.Struct) -> bytes:
    """Write the file's bytes."""
    return msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"


def decode_file(data: bytes, shape: type[S], is_sound: Callable[[S], bool], *, where: str, hint: str) -> S:
    """Read the file's bytes.

    Args:
        data: of the file.
        shape: what it is to hold.
        is_sound: whether the values will do; a ValueError says that they do not.
        where: the file, for people.
        hint: what to do about one that is not usable.

    Raises:
        ConfigError: it is not usable.
    """
    try:
        settings = msgspec.json.decode(data, type=shape)
        if is_sound(settings):
            return settings
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        pass
    raise ConfigError(f"{where} is not usable", hint=hint)
