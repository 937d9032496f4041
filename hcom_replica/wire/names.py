"""Short device names made from a device id: four letters that can be said aloud."""

from __future__ import annotations

from typing import Final

_CONSONANTS: Final = "BDFGHKLMNPRSTVZ"
_VOWELS: Final = "AEIOU"


def name_of(device: bytes) -> str:
    """A pronounceable 4-letter name for an 8-byte device id, like TUKA."""
    number = int.from_bytes(device, "big")
    letters = []
    for alphabet in (_CONSONANTS, _VOWELS, _CONSONANTS, _VOWELS):
        number, index = divmod(number, len(alphabet))
        letters.append(alphabet[index])
    return "".join(letters)


def suffix_of(device: bytes) -> str:
    """Two characters that tell apart devices which claim one name."""
    return device.hex()[:2].upper()
