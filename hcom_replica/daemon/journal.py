"""daemon.log: one line for whatever is worth one, kept small by rotation. The only module that logs.

Owns the file and its format: UTC time, level, what happened, then name=value. Text that came from peers or brokers is
escaped. Secrets never come here: traces are made without them.
"""

from __future__ import annotations

import json
import logging
import os
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from hcom_replica.core.effects import Trace
from hcom_replica.errors import DaemonError
from hcom_replica.limits import MIB

FILE_BYTES_MAX: Final = 1 * MIB
FILES_KEPT: Final = 2
_LEVELS: Final = {"store failed": logging.ERROR, "bug": logging.CRITICAL, "ask": logging.DEBUG}
"""Levels of traces that are not plain information."""


class Journal:
    """An open daemon.log.

    Args:
        path: the file; made with mode 0600.
        level: "debug", "info", "warning" or "error": what is below is left out.

    Raises:
        DaemonError: it cannot be written.
    """

    def __init__(self, path: Path, level: str) -> None:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
            self._handler = _PrivateFile(path, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT, encoding="utf-8")
        except OSError as error:
            raise DaemonError(f"cannot write {path}: {error.strerror or error}") from error
        formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        self._handler.setFormatter(formatter)
        self.set_level(level)

    def set_level(self, level: str) -> None:
        """Leave out what is below `level` from now on."""
        self._handler.setLevel(level.upper())

    def trace(self, trace: Trace) -> None:
        """Write a line, if its level is wanted."""
        level = _LEVELS.get(trace.event, logging.INFO)
        if level >= self._handler.level:
            self._handler.handle(logging.LogRecord("", level, "", 0, line(trace), None, None))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


class _PrivateFile(RotatingFileHandler):
    """A rotated file that nobody else may read."""

    def doRollover(self) -> None:  # noqa: N802 - the standard library's name
        """See RotatingFileHandler; the file that is begun has the mode 0600."""
        super().doRollover()
        Path(self.baseFilename).chmod(0o600)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        """A full disk must not stop the daemon, nor fill its stderr: the line is lost."""


def line(trace: Trace) -> str:
    """A trace as text, on one line."""
    return " ".join([trace.event, *(f"{name}={_value(value)}" for name, value in trace.fields)])


def _value(value: str | int | bool | None) -> str:
    if isinstance(value, str) and value.isascii() and value.replace("-", "").replace(".", "").isalnum():
        return value
    return json.dumps(value)
