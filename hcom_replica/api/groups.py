"""Making, joining and leaving a group: what changes in the folder, in which order.

Owns the rule that a folder belongs to one group for good: another one needs `leave` first, which keeps the old log
aside. Only a group of the folder's own, which never synced, gives way: its events are appended again under the group
that is joined. Nothing here speaks to a daemon or a broker; that has been done before, or comes after.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from hcom_replica.api.appending import wall_ms
from hcom_replica.api.opening import device_name, free_name, joining_mark, take_joined_log
from hcom_replica.core.append import Writer
from hcom_replica.core.hlc import millis
from hcom_replica.errors import ConfigError
from hcom_replica.folder import keys
from hcom_replica.folder.config import load_config
from hcom_replica.folder.files import create_once
from hcom_replica.folder.paths import Folder, FolderLock
from hcom_replica.store.lmdb_kv import LmdbKv
from hcom_replica.store.log import Log
from hcom_replica.wire.event import Draft, RedactedEvent, decode_event, is_system
from hcom_replica.wire.token import JoinToken

_BATCH = 4_096


def refuse_second_group(folder: Folder, joining: JoinToken | None = None) -> None:
    """Check that the folder may be given a group.

    Args:
        folder: need not exist.
        joining: the group to be joined, which may be the folder's own already; None for a new one.

    Raises:
        ConfigError: it belongs to another; nothing was changed.
    """
    held = keys.group_token(folder)
    if held is None or not held.brokers:
        return
    if joining is None or held.keys.group != joining.keys.group:
        raise ConfigError(
            f"this folder belongs to group {held.keys.group.hex()[:8]} already",
            hint="use another folder (--dir), or leave the group with `hcom-replica relay forget`",
        )


def name_brokers(folder: Folder, brokers: tuple[str, ...]) -> JoinToken:
    """Make the folder's group one that others can join: its token names brokers now. Returns the token."""
    held = keys.local_group(folder)
    token = JoinToken(held.keys, brokers, held.founder)
    keys.set_group(folder, token)
    return token


def join(folder: Folder, token: JoinToken) -> int:
    """Make the folder one of the token's group; return how many events written before were appended to it again.

    Dying in between leaves the old group or the new one, whole: the next opening finishes it.

    Raises:
        ConfigError: the folder belongs to another group, or is in use; nothing was changed.
        StoreError: nothing was changed.
    """
    refuse_second_group(folder, token)
    folder.make()
    held = keys.group_token(folder)
    if held is None or held.keys.group == token.keys.group or not folder.log.exists():
        keys.set_group(folder, token)
        return 0
    with FolderLock(folder, exclusive=True):
        shutil.rmtree(folder.log_joining, ignore_errors=True)
        moved = _append_again(folder, held, token)
        keys.set_group(folder, token)
        take_joined_log(folder)
    return moved


def leave(folder: Folder) -> Path | None:
    """Take the folder out of its group; return where its log is kept, None when there was none.

    Raises:
        ConfigError: it is in use; nothing was changed.
    """
    held = keys.group_token(folder)
    if held is None:
        return None
    with FolderLock(folder, exclusive=True):
        kept = None
        if folder.log.exists():
            kept = free_name(folder.root / f"log.{held.keys.group.hex()[:8]}")
            folder.log.rename(kept)
        folder.group_key.unlink()
        folder.moved_from.unlink(missing_ok=True)
    return kept


def _append_again(folder: Folder, held: JoinToken, token: JoinToken) -> int:
    """Build the log of the new group beside the old one."""
    device = keys.device_key(folder)
    group = token.keys.group
    writer = Writer(device, group, device_name(folder, load_config(folder.config), device), token.keys.check)
    moved = 0
    old = LmdbKv(folder.log)
    try:
        drafts = _drafts(Log(old, held.keys.group))
        new = LmdbKv(folder.log_joining)
        try:
            log = Log(new, group, writer)
            while page := list(islice(drafts, _BATCH)):
                moved += len(log.append(page, wall_ms()))
        finally:
            new.close()
    finally:
        old.close()
    create_once(joining_mark(folder), group.hex().encode())
    return moved


def _drafts(log: Log) -> Iterator[Draft]:
    """The events of a log, each with the time it showed as its claimed one; the redacted ones are left behind."""
    for row in log.events():
        event = decode_event(row.record)
        if not is_system(event.kind) and not isinstance(event, RedactedEvent):
            claimed = millis(event.hlc) * 1_000 if event.time is None else event.time
            yield Draft(event.kind, event.agent, claimed, event.body)
