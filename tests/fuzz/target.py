"""What a fuzz target is: one decoder, its seeds, and what it may raise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from hcom_replica.errors import ReplicaError
from hcom_replica.limits import KIB, MIB
from tests.fuzz.mutate import mutate_bytes, mutate_msgpack, mutate_text, shorten

Run = Callable[[bytes], None]
"""Takes hostile bytes; raises nothing but the target's own errors."""

PEAK_BYTES: Final = 256 * KIB
PEAK_PER_BYTE: Final = 64
"""A field of one byte becomes an object of half a hundred."""

JSON_PEAK_PER_BYTE: Final = 192
"""Lists in lists, and what a regular expression makes of white space between them."""

INFLATING_PEAK_BYTES: Final = 24 * MIB
"""The most that one message may inflate to, twice, while it is copied, and what is decoded of it."""


@dataclass(frozen=True)
class Target:
    """One decoder.

    Attributes:
        name: of the decoder, for people.
        make: gives the function, with whatever state it begins with.
        seeds: valid inputs, and some that are not.
        errors: the only ones that it may raise.
        prefix: so many bytes before a msgpack structure, changed by themselves.
        words: of a text format; none means msgpack.
        weight: how often its turn comes; slow ones less often.
        peak_bytes: memory that one input may take beside what its length explains.
        peak_per_byte: and for each of its bytes.
    """

    name: str
    make: Callable[[], Run]
    seeds: tuple[bytes, ...]
    errors: tuple[type[ReplicaError], ...]
    prefix: int = 0
    words: tuple[bytes, ...] = field(default=(), repr=False)
    weight: int = 10
    peak_bytes: int = PEAK_BYTES
    peak_per_byte: int = PEAK_PER_BYTE

    def draw(self, rng: Random) -> bytes:
        """Make an input: a seed, changed in one place or several; rarely bytes of no kind."""
        if rng.random() < 0.02:
            return rng.randbytes(int(rng.random() * 200))
        seed = data = self.seeds[int(rng.random() * len(self.seeds))]
        while True:
            data = self._mutated(rng, data)
            if rng.random() < 0.6:
                return shorten(data, seed)

    def _mutated(self, rng: Random, data: bytes) -> bytes:
        if self.words:
            return mutate_text(rng, data, self.seeds, self.words)
        if self.prefix and rng.random() < 0.15:
            return mutate_bytes(rng, data[: self.prefix], self.seeds) + data[self.prefix :]
        return data[: self.prefix] + mutate_msgpack(rng, data[self.prefix :], self.seeds)

    def may_peak_bytes(self, data: bytes) -> int:
        """How much memory an input may take at once."""
        return self.peak_bytes + self.peak_per_byte * len(data)


def stateless(run: Run) -> Callable[[], Run]:
    """A `make` for a function that keeps nothing."""
    return lambda: run
