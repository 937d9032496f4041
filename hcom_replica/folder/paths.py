"""Where the data folder is and what lies where in it (storage-v1 T1.1).

Owns the names of the files, their modes (0700 and 0600), and the lock that keeps a folder from being given to
another group while somebody uses it. Never reads a setting or a key.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from hcom_replica.errors import ConfigError

DIR_VARIABLE: Final = "HCOM_REPLICA_DIR"
HCOM_VARIABLE: Final = "HCOM_DIR"
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600


class Place(NamedTuple):
    """Where the data folder is, and what decided it: `--dir`, a variable's name, or `default`."""

    path: Path
    source: str


def find_folder(given: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Place:
    """Decide on the data folder; the first of these that is set counts, an empty one is not set.

    Args:
        given: the value of `--dir`.
        environ: for HCOM_REPLICA_DIR, then HCOM_DIR (its subfolder `replica`), then HOME.
    """
    if given is not None and os.fspath(given):
        return Place(_absolute(os.fspath(given)), "--dir")
    if environ.get(DIR_VARIABLE):
        return Place(_absolute(environ[DIR_VARIABLE]), DIR_VARIABLE)
    if environ.get(HCOM_VARIABLE):
        return Place(_absolute(environ[HCOM_VARIABLE]) / "replica", HCOM_VARIABLE)
    return Place(_absolute("~/.hcom-replica"), "default")


def _absolute(path: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - links stay as they were given


class Folder:
    """The paths in one data folder. Making the object touches nothing.

    Args:
        root: the folder; see `find_folder`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config.toml"
        self.device_key = root / "device.key"
        self.group_key = root / "group.key"
        self.device_name = root / "relay.device"
        self.log = root / "log"
        self.log_joining = root / "log.joining"
        self.lock = root / "folder.lock"
        self.daemon_log = root / "daemon.log"
        self.bridge = root / "bridge.json"
        self.legacy = root / "legacy.json"
        self.moved_from = root / "moved.from"

    def exists(self) -> bool:
        """Tell whether anything was ever kept here."""
        return self.device_key.exists() or self.config.exists()

    def make(self) -> None:
        """Make the folder, mode 0700, and those above it. Does nothing when it is there.

        Raises:
            ConfigError: it cannot be made or is not a folder; nothing was changed.
        """
        try:
            self.root.parent.mkdir(parents=True, exist_ok=True)
            self.root.mkdir(mode=FOLDER_MODE, exist_ok=True)
        except FileExistsError:
            raise ConfigError(f"{self.root} is not a folder", hint="choose another with --dir") from None
        except OSError as error:
            raise unusable(self.root, error) from None


def unusable(path: Path, error: OSError) -> ConfigError:
    """Translate what the system says about a path of the folder."""
    return ConfigError(
        f"cannot use {path}: {(error.strerror or str(error)).lower()}",
        hint="choose another folder with --dir or HCOM_REPLICA_DIR, or repair its permissions",
    )


class FolderLock:
    """Shared while a folder is used, exclusive while it is given to another group or emptied.

    The system gives it back when the process dies. A context manager.

    Args:
        folder: must exist.
        exclusive: wait for nobody: somebody else's use is an error.

    Raises:
        ConfigError: somebody uses the folder, or is changing it right now; nothing was changed.
    """

    def __init__(self, folder: Folder, *, exclusive: bool = False) -> None:
        try:
            self._fd = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise unusable(folder.lock, error) from None
        how = fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH
        try:
            fcntl.flock(self._fd, how)
        except OSError:
            os.close(self._fd)
            raise ConfigError(
                f"another process uses {folder.root}",
                hint="stop its daemon (hcom-replica relay daemon stop) and what follows its events, then try again",
            ) from None

    def close(self) -> None:
        """Give the lock back. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
