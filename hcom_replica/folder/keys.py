"""The folder's secrets: the device's key and the group's join token; and the device's name file.

Owns `device.key` (a 32-byte Ed25519 seed, made once, never changed), `group.key` (the join token; in further lines the
tokens of earlier key epochs) and the
reading of `relay.device`. What it returns is secret; it never prints or logs it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hcom_replica.errors import ConfigError, UsageError
from hcom_replica.folder.files import create_once, read_bytes, read_text, replace
from hcom_replica.folder.paths import HCOM_VARIABLE, Folder
from hcom_replica.ids import check_device_name
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.signing import DeviceKey
from hcom_replica.wire.token import JoinToken, decode_token


def device_key(folder: Folder) -> DeviceKey:
    """Return the device's key, made at the first call.

    Raises:
        ConfigError: the file is not a key, or cannot be read or made.
    """
    seed = read_bytes(folder.device_key)
    if seed is None:
        create_once(folder.device_key, os.urandom(32))
        seed = read_bytes(folder.device_key)
    if seed is None or len(seed) != 32:
        raise ConfigError(
            f"{folder.device_key} is not a device key: it has {len(seed or b'')} bytes instead of 32",
            hint="restore it from a backup, or move the folder away and join again with relay connect",
        )
    return DeviceKey(seed)


def group_token(folder: Folder) -> JoinToken | None:
    """Return the group this folder belongs to, or None when it has none yet.

    Raises:
        ConfigError: the file is not a join token, or cannot be read.
    """
    text = read_text(folder.group_key)
    if text is None:
        return None
    try:
        return decode_token(text.strip().split("\n", 1)[0])
    except ConfigError as error:
        raise ConfigError(
            f"{folder.group_key}: {error.message}", hint="restore it: relay token on another device shows the token"
        ) from None


def earlier_epochs(folder: Folder) -> tuple[GroupKeys, ...]:
    """The key epochs of the tokens that the group had here before, the newest first; damaged lines are skipped."""
    found: list[GroupKeys] = []
    for line in (read_text(folder.group_key) or "").strip().split("\n")[1:]:
        with suppress(ConfigError):
            found.append(decode_token(line).keys)
    return tuple(found)


def local_group(folder: Folder) -> JoinToken:
    """Return the folder's group, made on the spot when it has none: without brokers, it syncs with nobody yet.

    Raises:
        ConfigError: as for `group_token`.
    """
    fresh = JoinToken(GroupKeys(os.urandom(16), os.urandom(32)), (), device_key(folder).public)
    if not folder.group_key.exists():
        create_once(folder.group_key, (fresh.encode() + "\n").encode())
    return group_token(folder) or fresh


def set_group(folder: Folder, token: JoinToken) -> None:
    """Keep the group's token in the first line; those of earlier epochs stay behind it, to clear up what lies there.

    Raises:
        ConfigError: it cannot be written; what was there stands.
    """
    lines, known = [token.encode()], {token.keys.check}
    for line in (read_text(folder.group_key) or "").split():
        with suppress(ConfigError):
            held = decode_token(line).keys
            if held.group == token.keys.group and held.check not in known:
                known.add(held.check)
                lines.append(line)
    replace(folder.group_key, ("\n".join(lines) + "\n").encode())


def name_from_file(folder: Folder, environ: Mapping[str, str]) -> tuple[str, Path] | None:
    """Return the device's name from `relay.device`, in the folder or else in $HCOM_DIR, and where it stood.

    Raises:
        ConfigError: the file holds no device name.
    """
    paths = [folder.device_name]
    if environ.get(HCOM_VARIABLE):
        paths.append(Path(environ[HCOM_VARIABLE]).expanduser() / "relay.device")
    for path in paths:
        text = (read_text(path) or "").strip()
        if text:
            try:
                return check_device_name(text), path
            except UsageError as error:
                raise ConfigError(f"{path}: {error.message}", hint=error.hint) from None
    return None
