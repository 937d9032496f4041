"""From a data folder to an open log: lock, settings, keys, store.

Owns the order of these steps, and what a folder that has none of them is given: a device key, and a group of its own
that syncs with nobody yet. Also finishes a move to another group that was cut short.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from hcom_replica.core.append import Writer
from hcom_replica.errors import ConfigError
from hcom_replica.folder import keys
from hcom_replica.folder.config import Config, load_config
from hcom_replica.folder.files import read_text
from hcom_replica.folder.paths import Folder, FolderLock
from hcom_replica.folder.state import boot_id, machine_id, state_folder
from hcom_replica.ids import check_device_name
from hcom_replica.store.continuity import Continuity
from hcom_replica.store.lmdb_kv import LmdbKv
from hcom_replica.store.log import Log
from hcom_replica.store.marker import MarkerFolder
from hcom_replica.store.place import place_of
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.names import name_of
from hcom_replica.wire.signing import DeviceKey, device_id
from hcom_replica.wire.token import JoinToken

if TYPE_CHECKING:
    from hcom_replica.core.membership import Viewer


class Parts(msgspec.Struct):
    """What an open folder consists of.

    Attributes:
        folder: its paths.
        config: its settings.
        device: this device's key.
        name: this device's name, as the folder has it.
        token: the group; without brokers while it is this folder's own.
        earlier: key epochs that earlier tokens told of.
        log: for reading and appending.
    """

    folder: Folder
    config: Config
    device: DeviceKey
    name: str
    token: JoinToken
    earlier: tuple[GroupKeys, ...]
    log: Log
    _kv: LmdbKv
    _lock: FolderLock
    _continuity: Continuity

    @property
    def viewer(self) -> Viewer:
        """On whose behalf members and key epochs are judged."""
        from hcom_replica.core.membership import Viewer

        return Viewer(self.device, self.token.keys, self.token.founder, self.earlier)

    def close(self) -> None:
        """Close the store, then give the folder back. Idempotent."""
        self._kv.close()
        self._continuity.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_parts(folder: Folder, *, name: str | None = None, sync: bool | None = None, create: bool = True) -> Parts:
    """Open a folder; see `Replica.open`."""
    if name is not None:
        check_device_name(name)
    if not folder.exists():
        if not create:
            raise ConfigError(
                f"there is no replica in {folder.root}", hint="`hcom-replica relay new` or the first `emit` makes one"
            )
        folder.make()
    finish_joining(folder)
    lock = FolderLock(folder)
    try:
        config = _named(folder, name) if name else load_config(folder.config)
        device = keys.device_key(folder)
        token = keys.local_group(folder)
        shown = device_name(folder, config, device)
        kv = LmdbKv(folder.log, sync=config.sync if sync is None else sync)
        try:
            held_to = continuity(folder)
            writer = Writer(device, token.keys.group, shown, token.keys.check)
            log = Log(kv, token.keys.group, writer, continuity=held_to)
        except BaseException:
            kv.close()
            raise
        return Parts(folder, config, device, shown, token, keys.earlier_epochs(folder), log, kv, lock, held_to)
    except BaseException:
        lock.close()
        raise


def continuity(folder: Folder) -> Continuity:
    """What tells that a folder was restored from an older copy, or copied (storage-v1 section 7)."""
    return Continuity(
        partial(place_of, folder.log),
        lambda: (machine_id(os.environ), boot_id(os.environ)),
        MarkerFolder(state_folder(os.environ)),
    )


def _named(folder: Folder, name: str) -> Config:
    from hcom_replica.folder.config_edit import change_config

    return change_config(folder.config, {"device.name": name})


def device_name(folder: Folder, config: Config, device: DeviceKey) -> str:
    """This device's name: of config.toml, else of `relay.device`, else made from its id."""
    return name_and_source(folder, config, device)[0]


def name_and_source(folder: Folder, config: Config, device: DeviceKey) -> tuple[str, str]:
    """The name, and where it comes from."""
    if config.device_name is not None:
        return config.device_name, config.settings["device.name"].source
    found = keys.name_from_file(folder, os.environ)
    if found is not None:
        return found[0], str(found[1])
    return name_of(device_id(device.public)), "made from the device's id"


# --- moving to another group -------------------------------------------------------------------------------


def joining_mark(folder: Folder) -> Path:
    """The file that says for which group `log.joining` was made."""
    return folder.log_joining / "group"


def finish_joining(folder: Folder) -> None:
    """Finish, or undo, a move to another group that was cut short: `group.key` decides which of the two logs counts.

    Raises:
        ConfigError: such a move is under way.
    """
    if not folder.log_joining.exists():
        return
    with FolderLock(folder, exclusive=True):
        token = keys.group_token(folder)
        if token is not None and (read_text(joining_mark(folder)) or "").strip() == token.keys.group.hex():
            take_joined_log(folder)
        else:
            from shutil import rmtree

            rmtree(folder.log_joining, ignore_errors=True)


def take_joined_log(folder: Folder) -> None:
    """Put the log made for the new group in place; the old one is kept beside it, as `log.local`."""
    if folder.log.exists():
        folder.log.rename(free_name(folder.root / "log.local"))
    joining_mark(folder).unlink(missing_ok=True)
    folder.log_joining.rename(folder.log)


def free_name(path: Path) -> Path:
    """The path, or with a number behind it when there is something already."""
    number = 1
    free = path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}.{number}")
    return free
