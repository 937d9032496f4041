"""The continuity marker's file: two slots, written in turn, never synced (storage-v1 T7.2 to T7.4).

Owns its layout and its file descriptor. Whoever writes holds the writers' lock of the log, so slots are written in the
order of commits. A marker that cannot be kept is no error: it is a defence that is missing, and `trouble` says so.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from hcom_replica.core.continuity import Mark
from hcom_replica.wire.hashing import blake2b

SLOT_BYTES: Final = 128
STRIDE_BYTES: Final = 512
"""A sector: a power cut that tears one slot leaves the other."""

_FILE_BYTES: Final = STRIDE_BYTES + SLOT_BYTES
_MAGIC: Final = b"hcm1"
_SUM_BYTES: Final = 16
_FIELDS: Final = struct.Struct(">4sQ16s16s12s8sQQ16s16s")
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600


def pack_mark(mark: Mark, counter: int | None = None) -> bytes:
    """A slot; with another counter than the mark's where one is given."""
    data = _FIELDS.pack(_MAGIC, mark.counter if counter is None else counter, *mark[1:])
    return data + _sum(data)


def unpack_mark(slot: bytes) -> Mark | None:
    """What a slot says; None when it is torn, empty, or of a form that this version does not know."""
    data, stored = slot[: _FIELDS.size], slot[_FIELDS.size : SLOT_BYTES]
    if not data.startswith(_MAGIC) or len(data) < _FIELDS.size or _sum(data) != stored:
        return None
    return Mark(*_FIELDS.unpack(data)[1:])


def _sum(data: bytes) -> bytes:
    return blake2b(data, digest_size=_SUM_BYTES).digest()


def newest(data: bytes) -> tuple[int, Mark | None]:
    """The index of the slot to be written next, and what the newest sound one says."""
    first, second = (unpack_mark(data[at : at + SLOT_BYTES]) for at in (0, STRIDE_BYTES))
    if first is None or (second is not None and second.counter > first.counter):
        return 0, second
    return 1, first


class Marks(Protocol):
    """Where markers are kept."""

    @property
    def trouble(self) -> str:
        """Why none can be kept, for people; empty when nothing is wrong."""

    def read(self, home: bytes) -> Mark | None:
        """The marker of a home; None when there is none, or it is not sound."""

    def write(self, mark: Mark) -> None:
        """Keep a mark as the newest of its home, with the next counter. Never raises OSError."""

    def close(self) -> None:
        """Give everything back. Idempotent."""


class MarkerFolder:
    """Markers in a folder, one file a home.

    Args:
        path: the folder, made when the first marker is written; None keeps none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._home = b""
        self._fd = -1
        self._known = b""
        self._counter = self._slot = 0
        self.trouble = "" if path is not None else "there is no state folder (HOME is not set)"

    def read(self, home: bytes) -> Mark | None:
        """See Marks."""
        if self._path is None:
            return None
        try:
            return newest(self._file(home).read_bytes())[1]
        except FileNotFoundError:
            return None
        except OSError as error:
            self._note(error)
            return None

    def write(self, mark: Mark) -> None:
        """See Marks."""
        if self._path is None:
            return
        try:
            fd = self._open(mark.home)
            data = os.pread(fd, _FILE_BYTES, 0)
            if data != self._known or not data:  # else nobody has written since this very object has
                self._slot, before = newest(data)
                self._counter = before.counter if before is not None else 0
            made, at = pack_mark(mark, self._counter + 1), self._slot * STRIDE_BYTES
            os.pwrite(fd, made, at)
            self._known = data[:at].ljust(at, b"\0") + made + data[at + SLOT_BYTES :]
            self._counter, self._slot = self._counter + 1, 1 - self._slot
            self.trouble = ""
        except OSError as error:
            self._known = b""
            self._note(error)

    def close(self) -> None:
        """See Marks."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self, home: bytes) -> int:
        if self._fd < 0 or self._home != home:
            self.close()
            path = self._file(home)
            with suppress(FileExistsError):
                path.parent.mkdir(mode=_FOLDER_MODE, parents=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)
            self._home = home
        return self._fd

    def _file(self, home: bytes) -> Path:
        return Path(self._path or "", f"{home.hex()}.mark")

    def _note(self, error: OSError) -> None:
        self.trouble = f"{self._path}: {(error.strerror or str(error)).lower()}"
