"""The settings that are in force, and where each comes from: config.toml, the join token, a file, or the default."""

from __future__ import annotations

from typing import NamedTuple

from hcom_replica.api.opening import name_and_source
from hcom_replica.folder import keys
from hcom_replica.folder.config import Value, load_config
from hcom_replica.folder.paths import Folder


class InForce(NamedTuple):
    """One setting: its name in config.toml, its value, where that comes from, what it means."""

    name: str
    value: Value
    source: str
    meaning: str


def effective(folder: Folder) -> list[InForce]:
    """All settings of a folder. Makes nothing.

    Raises:
        ConfigError: config.toml or a key is not usable.
    """
    config = load_config(folder.config)
    shown = {
        name: InForce(name, setting.value, setting.source, setting.key.meaning)
        for name, setting in config.settings.items()
    }
    if folder.device_key.exists():
        name, source = name_and_source(folder, config, keys.device_key(folder))
        shown["device.name"] = shown["device.name"]._replace(value=name, source=source)
    token = keys.group_token(folder)
    if not config.brokers and token is not None and token.brokers:
        shown["relay.broker"] = shown["relay.broker"]._replace(value=token.brokers, source="join token")
    return list(shown.values())
