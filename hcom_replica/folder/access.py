"""Who may use what lies in the data folder: its user alone (storage-v1 T1.1).

Looks, and says what is wrong with what to do about it; never changes a mode.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from hcom_replica.errors import ConfigError
from hcom_replica.folder.config import load_config
from hcom_replica.folder.files import read_bytes
from hcom_replica.folder.paths import FILE_MODE, FOLDER_MODE, Folder

_FILES: Final = (
    "config.toml",
    "device.key",
    "group.key",
    "broker.password",
    "bridge.json",
    "daemon.log",
    "daemon.log.1",
    "daemon.log.2",
    "daemon.sock",
    "wake.sock",
    "log/data.mdb",
)


def warnings(folder: Folder) -> list[str]:
    """Say which files others on this machine may use, one sentence each with what to do; nothing for a missing folder.

    The file with the broker's password counts, wherever it lies.
    """
    return [warning for path, mode in _checked(folder) if (warning := _warning(path, mode))]


def _checked(folder: Folder) -> Iterator[tuple[Path, int]]:
    yield folder.root, FOLDER_MODE
    yield folder.log, FOLDER_MODE
    for name in _FILES:
        yield folder.root / name, FILE_MODE
    password = _password_file(folder)
    if password is not None and password != folder.root / "broker.password":
        yield password, FILE_MODE


def _password_file(folder: Folder) -> Path | None:
    """The file that config.toml names; settings that cannot be read are for others to complain about."""
    with suppress(ConfigError):
        if b"password_file" in (read_bytes(folder.config) or b""):
            return load_config(folder.config).password_file
    return None


def _warning(path: Path, mode: int) -> str:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return ""
    actual = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid():
        return f"{path} belongs to user {status.st_uid}, who may use it (chown {os.geteuid()} {path})"
    if actual & 0o077:
        return f"{path} has mode {actual:04o}, others on this machine may use it (chmod {mode:04o} {path})"
    return ""
