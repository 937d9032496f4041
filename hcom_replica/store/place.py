"""Where a log lies: the inode and the birth of its data file (storage-v1 T7.1).

A copy of a file is born anew, wherever it lies and however it was made, and no tool can set the time of birth on Linux.
An inode alone says little there: ext4 gives the number of a deleted file to the next one. On macOS it is the other way
round: programs set the time of birth when they copy, and inodes are never used twice.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

from hcom_replica.core.continuity import Place

DATA_FILE: Final = "data.mdb"

_AT_FDCWD: Final = -100
_WANT_BIRTH: Final = 0x800
_STATX_BYTES: Final = 256
_BIRTH_AT: Final = 80
_NS: Final = 1_000_000_000


def place_of(folder: str | os.PathLike[str]) -> Place:
    """Return the place of the environment in a folder; zero for what the system does not tell."""
    path = os.path.join(folder, DATA_FILE)  # noqa: PTH118 - on the way of each append of a command
    try:
        inode = os.stat(path).st_ino  # noqa: PTH116 - the same
    except OSError:
        return Place(0, 0)
    return Place(inode, _born_ns(path) if sys.platform == "linux" else 0)


def _born_ns(path: str) -> int:
    """When a file was made, by statx(2); 0 where the kernel, the C library or the filesystem does not know it."""
    found = ctypes.create_string_buffer(_STATX_BYTES)
    try:
        failed = ctypes.CDLL(None).statx(_AT_FDCWD, os.fsencode(path), 0, _WANT_BIRTH, found)
    except (AttributeError, OSError):
        return 0
    order, raw = sys.byteorder, found.raw
    if failed or not int.from_bytes(raw[:4], order) & _WANT_BIRTH:
        return 0
    seconds = int.from_bytes(raw[_BIRTH_AT : _BIRTH_AT + 8], order, signed=True)
    return max(0, seconds) * _NS + int.from_bytes(raw[_BIRTH_AT + 8 : _BIRTH_AT + 12], order)
