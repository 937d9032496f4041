"""Who is told how far something long has come."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Told from time to time what is being done, how much is done, and of how much."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Show nothing."""
