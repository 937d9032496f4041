"""Small files that are whole or absent, whenever the machine stops.

Owns the two ways a file of the folder is written: made once, or replaced. Both reach the disk before they return.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from hcom_replica.errors import ConfigError
from hcom_replica.folder.paths import FILE_MODE, unusable
from hcom_replica.limits import KIB, MIB

FILE_BYTES_MAX: Final = 1 * MIB
"""Keys, settings and names take a few KiB; what is larger is something else, perhaps without an end."""

_PIECE_BYTES: Final = 16 * KIB


def read_password(path: Path) -> str:
    """Return the file's first line.

    Raises:
        ConfigError: there is no such file, it cannot be read, or it is not UTF-8.
    """
    text = read_text(path)
    if text is None:
        raise ConfigError(f"there is no file {path}", hint="its first line is the password")
    return text.partition("\n")[0]


def read_text(path: Path) -> str | None:
    """Return the file's text, or None when there is none.

    Raises:
        ConfigError: it cannot be read or is not UTF-8.
    """
    data = read_bytes(path)
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise unusable(path, OSError("it is not UTF-8 text")) from None


def read_bytes(path: Path) -> bytes | None:
    """Return the file's content, or None when there is none.

    Raises:
        ConfigError: it cannot be read.
    """
    data = bytearray()
    try:
        with path.open("rb", buffering=0) as file:
            while len(data) <= FILE_BYTES_MAX and (piece := file.read(_PIECE_BYTES)):
                data += piece
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(path, error) from None
    if len(data) > FILE_BYTES_MAX:
        raise unusable(path, OSError(f"it has more than {FILE_BYTES_MAX:,} bytes"))
    return bytes(data)


def create_once(path: Path, data: bytes) -> bool:
    """Make the file, mode 0600, unless it is there; tell whether this call made it.

    Of many processes that try at once one succeeds, and none ever sees half of it.

    Raises:
        ConfigError: it cannot be written; nothing was changed.
    """
    try:
        draft = _write_draft(path, data)
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        _sync_folder(path.parent)
    except OSError as error:
        raise unusable(path, error) from None
    return True


def replace(path: Path, data: bytes) -> None:
    """Write the file, mode 0600, in place of whatever is there.

    Raises:
        ConfigError: it cannot be written; the old content stands.
    """
    try:
        draft = _write_draft(path, data)
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise unusable(path, error) from None


def _write_draft(path: Path, data: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
