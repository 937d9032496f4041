"""The four letters by which hcom shows a device (hcom-bridge-v1 B1.3)."""

from __future__ import annotations

from typing import Final

_CONSONANTS: Final = "BDFGHKLMNPRSTVZ"
_VOWELS: Final = "AEIOU"
_ALL: Final = 5625


def short_id(device: str, taken: frozenset[str] = frozenset()) -> str:
    """Make the letters of a device.

    Args:
        device: its UUID as text.
        taken: letters that other devices have here: the next free ones are used.
    """
    number = _fnv1a(device.encode())
    for step in range(_ALL):
        letters = _letters((number + step) % _ALL)
        if letters not in taken:
            return letters
    return _letters(number % _ALL)


def _fnv1a(data: bytes) -> int:
    number = 0x811C9DC5
    for byte in data:
        number = (number ^ byte) * 0x01000193 & 0xFFFFFFFF
    return number


def _letters(index: int) -> str:
    first, second = _CONSONANTS[index % 15], _VOWELS[index // 15 % 5]
    return first + second + _CONSONANTS[index // 75 % 15] + _VOWELS[index // 1125 % 5]
