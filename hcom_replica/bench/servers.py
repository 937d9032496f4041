"""The servers that peers need: found, run in a folder, and ended by their pid."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Final

_STOP_S: Final = 10.0
_PLACES: Final = "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin:/opt/homebrew/sbin"


def found(program: str) -> str | None:
    """Path of a program: beside this Python, on PATH, or where servers are; None when it is not installed."""
    return which(program, path=str(Path(sys.executable).parent)) or which(program) or which(program, path=_PLACES)


@contextmanager
def server(command: Sequence[str], folder: Path) -> Iterator[None]:
    """Run a server, ended by its pid."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
