"""Unix sockets in the data folder, also where its path is longer than a socket address may be.

Owns the names of the sockets and how they are addressed. An address has room for 107 bytes (103 on macOS); a folder
deeper than that is reached through /proc/self/fd, else through a short link in the temporary folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

CONTROL: Final = "daemon.sock"
WAKE: Final = "wake.sock"

ADDRESS_BYTES_MAX: Final = 103
"""The least of all systems: sun_path is 104 bytes on macOS, 108 on Linux, with a closing zero byte."""

_DESCRIPTORS: Final = Path("/proc/self/fd")


@contextmanager
def address(root: Path, name: str) -> Iterator[str]:
    """Yield an address for the socket `name` in the folder `root`, valid inside the block.

    Raises:
        OSError: the folder cannot be opened.
    """
    plain = os.fspath(root / name)
    if len(os.fsencode(plain)) <= ADDRESS_BYTES_MAX:
        yield plain
    elif _DESCRIPTORS.is_dir():
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"{_DESCRIPTORS}/{fd}/{name}"
        finally:
            os.close(fd)
    else:
        with _short_link(root) as link:
            yield os.fspath(link / name)


@contextmanager
def _short_link(root: Path) -> Iterator[Path]:
    import shutil  # noqa: PLC0415 - slow to load, and hardly ever needed
    import tempfile  # noqa: PLC0415 - the same

    holder = Path(tempfile.mkdtemp(prefix="hr-"))
    try:
        (holder / "d").symlink_to(root)
        yield holder / "d"
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def remove(root: Path, name: str) -> None:
    """Remove a socket; only who holds the daemon's lock may: nobody else can say that it is stale."""
    with suppress(FileNotFoundError):
        (root / name).unlink()
