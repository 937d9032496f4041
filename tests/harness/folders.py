"""Data folders made by hand: a group with a broker, and devices in it, without the command line."""

from __future__ import annotations

import secrets
from pathlib import Path

from hcom_replica.folder import keys
from hcom_replica.folder.config_edit import change_config
from hcom_replica.folder.paths import Folder
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.token import JoinToken


def new_token(*brokers: str) -> JoinToken:
    """A group of its own."""
    return JoinToken(GroupKeys(secrets.token_bytes(16), secrets.token_bytes(32)), brokers, bytes(32))


def device_folder(root: Path, token: JoinToken, **settings: str | int | bool) -> Folder:
    """A folder of a device named like it; settings are given as `section_key`."""
    folder = Folder(root)
    folder.make()
    keys.set_group(folder, token)
    changes = {name.replace("_", ".", 1): value for name, value in settings.items()}
    change_config(folder.config, {"device.name": root.name.upper(), **changes})
    return folder
