"""Where a view keeps what it has folded: rows of bytes, so that it lives in a table and is read a row at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

KEY_BYTES_MAX = 400
"""Of a row: LMDB takes 511. What needs a longer one is no event of a view."""


class Rows(Protocol):
    """The rows of all views."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a row; None when there is none."""

    def put(self, key: bytes, value: bytes) -> None:
        """Set a row."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The rows whose keys begin so, ascending."""
