"""A progress bar on stderr, only on a terminal, and only for what takes over a second."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final, Self

_AFTER_S: Final = 1.0
_EVERY_S: Final = 0.1
_WIDTH: Final = 30


class Progress:
    """Shows how far something has come. A context manager; call it with what is done, how much, of how much."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._next = time.monotonic() + _AFTER_S
        self._drawn = False

    def __call__(self, what: str, done: int, total: int) -> None:
        """Note the progress, and draw it if it is time."""
        now = time.monotonic()
        if not self._shown or now < self._next:
            return
        self._next = now + _EVERY_S
        self._drawn = True
        part = min(1.0, done / total) if total else 1.0
        bar = ("#" * round(part * _WIDTH)).ljust(_WIDTH, ".")
        sys.stderr.write(f"\r{what} [{bar}] {part:4.0%} ")
        sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
