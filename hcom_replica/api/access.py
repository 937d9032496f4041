"""What a person says about the broker and this device: which settings that means, and which broker takes us with them.

Changes nothing: settings that were asked for come back to be written once a broker has answered.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from hcom_replica.daemon.session import broker_settings
from hcom_replica.errors import BrokerError, ConfigError, UsageError
from hcom_replica.folder.config import Config, Value, load_config
from hcom_replica.folder.paths import Folder
from hcom_replica.ids import check_device_name
from hcom_replica.transport.canary import reachable
from hcom_replica.transport.url import BrokerAddress, Credentials
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.token import JoinToken

_NO_GROUP: Final = JoinToken(GroupKeys(bytes(16), bytes(32)), (), bytes(32))
"""Stands for the token where only the settings count."""

Tried = Callable[[str], None]
"""Told why a broker of several is not taken; the text names it."""


class Access(NamedTuple):
    """What a person says about the broker and this device; None leaves a setting as it is.

    Attributes:
        broker: URL.
        username: at the broker.
        password_file: its first line is the password; relative to the data folder only when it has no folder in it
            and lies there.
        ca_file: authorities trusted for TLS.
        name: of this device.
        password_keyring: service of the system's keyring that has the password.
    """

    broker: str | None = None
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    name: str | None = None
    password_keyring: str | None = None


def changes_of(folder: Folder, access: Access) -> dict[str, Value]:
    """The settings that the arguments ask for.

    Raises:
        ConfigError, UsageError: an argument is not usable; nothing was changed.
    """
    changes: dict[str, Value] = {}
    if access.name is not None:
        changes["device.name"] = check_device_name(access.name)
    if access.username is not None:
        changes["relay.username"] = access.username
        changes["relay.credentials_for"] = None
    if access.password_file is not None and access.password_keyring is not None:
        raise UsageError("--password-file and --password-keyring", hint="the password is kept in one place: choose one")
    if access.password_file is not None:
        changes["relay.password_file"] = _kept_path(folder, access.password_file)
        changes["relay.password_keyring"] = None
    if access.password_keyring is not None:
        changes["relay.password_keyring"] = access.password_keyring
        changes["relay.password_file"] = None
    if access.ca_file is not None:
        changes["relay.ca_file"] = kept = _kept_path(folder, access.ca_file)
        if not (folder.root / kept).exists():
            raise ConfigError(f"there is no file {access.ca_file}", hint="--ca-file names a PEM file of authorities")
    return changes


def _kept_path(folder: Folder, given: str) -> str:
    """A path as config.toml keeps it: absolute, unless it is a file of the folder's own."""
    if os.sep not in given and (folder.root / given).exists():
        return given
    return str(Path(given).expanduser().absolute())


def credentials_of(folder: Folder, changes: dict[str, Value]) -> Credentials:
    """What we will show to a broker once the changes are made.

    Raises:
        ConfigError: the settings are not usable, or the password cannot be had.
    """
    config = load_config(folder.config)
    changed = {
        name: setting._replace(value=changes.get(name, setting.value)) for name, setting in config.settings.items()
    }
    return broker_settings(Config(folder.config, changed), _NO_GROUP)[1]


def first_reachable(candidates: tuple[BrokerAddress, ...], credentials: Credentials, tried: Tried) -> BrokerAddress:
    """The first broker that takes us.

    Args:
        candidates: asked in this order; at least one.
        credentials: shown to each.
        tried: told why one of several does not.

    Raises:
        BrokerError: none does.
    """
    failures: list[BrokerError] = []
    for address in candidates:
        try:
            reachable(address, credentials)
        except BrokerError as error:
            failures.append(error)
            if len(candidates) > 1:
                tried(error.message)
        else:
            return address
    if len(failures) == 1:
        raise failures[0]
    raise BrokerError(
        f"none of {len(failures)} brokers answers", hint="name one with --broker, or run your own: hcom-replica broker"
    )
