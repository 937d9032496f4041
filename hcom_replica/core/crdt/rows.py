"""Where a view keeps what it has folded: rows of bytes, so that it lives in a table and is read a row at a time.

A key is made of names that are bounded where events are checked, so it never comes near the 511 bytes that LMDB takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Rows(Protocol):
    """The rows of all views."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a row; None when there is none."""

    def put(self, key: bytes, value: bytes) -> None:
        """Set a row."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The rows whose keys begin so, ascending."""
