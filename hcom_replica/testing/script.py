"""Words of a scenario's lines: names, numbers, times, `key=value` options."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from hcom_replica.errors import UsageError

_TIME: Final = re.compile(r"([+-]?)([0-9]+)(ms|s|m|h|d)")
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True)
class Words:
    """One command.

    Attributes:
        verb: its first word.
        places: the words behind it that are no options, in order.
        options: `key=value`.
    """

    verb: str
    places: list[str]
    options: dict[str, str]

    def place(self, number: int) -> str:
        """The word at a place, counted from 0.

        Raises:
            UsageError: the line is too short.
        """
        if number >= len(self.places):
            raise UsageError(f"{self.verb}: a word is missing")
        return self.places[number]

    def time_ms(self, name: str, default: str) -> int:
        """An option that is a time."""
        return parse_time_ms(self.options.get(name, default))

    def without(self, *flags: str) -> list[str]:
        """The places that are none of these flags."""
        return [word for word in self.places if word not in flags]


def parse_words(line: str) -> Words:
    """Split a command."""
    verb, *rest = line.split()
    options = dict(word.split("=", 1) for word in rest if "=" in word)
    return Words(verb, [word for word in rest if "=" not in word], options)


def parse_time_ms(text: str) -> int:
    """Read `5s`, `250ms`, `-2h` or `0`.

    Raises:
        UsageError: it is no time.
    """
    match = _TIME.fullmatch(text)
    if match is None and text != "0":
        raise UsageError(f"not a time: {text}")
    return 0 if match is None else int(f"{match[1]}{match[2]}") * _UNIT_MS[match[3]]


def parse_span(text: str) -> tuple[int, int]:
    """Read `5..20`, or `5` for both ends."""
    low, _, high = text.partition("..")
    return int(low), int(high or low)


def parse_point(text: str) -> tuple[str, int]:
    """Read `A.2:450`: an origin's name and a seq.

    Raises:
        UsageError: it is not that.
    """
    name, colon, seq = text.rpartition(":")
    if not colon or not seq.isdigit():
        raise UsageError(f"not an origin and a seq: {text}")
    return name, int(seq)
