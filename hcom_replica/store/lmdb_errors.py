"""lmdb's exceptions as ours, each with a sentence that says what to do.

An I/O error that may mean a full disk is told as one: about that, people can do something.
"""

from __future__ import annotations

import errno
import os
import resource
from typing import Final

import lmdb

from hcom_replica.errors import StoreCorrupt, StoreError, StoreFull
from hcom_replica.limits import MIB

_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_ROOM_BYTES_MIN: Final = 16 * MIB
_DENIED: Final = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))


def translated(error: lmdb.Error, folder: str) -> StoreError:
    """Turn an exception of lmdb into ours."""
    if isinstance(error, lmdb.MapFullError):
        return StoreFull("the map of the log is full", hint="try again: it grows before the next write")
    if error.code in _FULL or (error.code == errno.EIO and _looks_full(folder)):
        return StoreFull(f"the disk under {folder} is full", hint="make room; nothing acknowledged was lost")
    if error.code == errno.ENOENT or isinstance(error, lmdb.NotFoundError):
        return StoreError(
            f"there is no log in {folder}", hint="make one with: hcom-replica relay new, or relay connect"
        )
    if error.code in _DENIED:
        return StoreError(f"cannot write in {folder}: {error.reason}", hint="check its owner and its mode (0700)")
    for kind, make, message, hint in _TRANSLATIONS:
        if isinstance(error, kind):
            return make(f"{message}: {folder}", hint=hint)
    return StoreError(f"the log in {folder} failed: {error}", hint="check the disk, its quota and the system's log")


_TRANSLATIONS: Final[tuple[tuple[type[lmdb.Error], type[StoreError], str, str], ...]] = (
    (lmdb.CorruptedError, StoreCorrupt, "the file of the log is damaged", "copy the folder before anything else"),
    (lmdb.PageNotFoundError, StoreCorrupt, "the file of the log is damaged", "copy the folder before anything else"),
    (lmdb.InvalidError, StoreError, "not a log of this program", ""),
    (lmdb.VersionMismatchError, StoreError, "not a log of this program", ""),
    (lmdb.ReadersFullError, StoreError, "too many processes read this log at once", "end some of them"),
    (lmdb.PanicError, StoreError, "an earlier write to the disk failed", "check the disk, then start again"),
)


def _looks_full(folder: str) -> bool:
    """Guess what an I/O error was: LMDB says EIO, too, when the system took only a part of a write for want of room."""
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return room.f_bavail * room.f_frsize < _ROOM_BYTES_MIN or limit != resource.RLIM_INFINITY


def os_error(error: OSError, folder: str) -> StoreError:
    """Turn a failure to make or open the folder's files into ours."""
    if error.errno in _FULL:
        return StoreFull(f"the disk under {folder} is full", hint="make room")
    return StoreError(f"cannot use {folder}: {error.strerror}", hint="check its owner and its mode (0700)")
