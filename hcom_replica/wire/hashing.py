"""BLAKE2b, without the rest of hashlib: that loads OpenSSL, which takes a twentieth of the time of a whole `emit`."""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # another Python than CPython has it in hashlib only
    from hashlib import blake2b

__all__ = ["blake2b"]
