"""The section `[relay]` of hcom's config.toml: read, pointed elsewhere, and put back (hcom-bridge-v1 section 6).

Owns the text of that section and nothing else of the file: every other line stays as it is. Pure.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

from hcom_replica.bridge.settings import BridgeSettings
from hcom_replica.bridge.token import key_text
from hcom_replica.errors import BridgeError

KEYS: Final = ("url", "id", "token", "enabled", "psk")
_HEADER: Final = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")


def read_relay(text: str, where: str) -> dict[str, Any]:
    """Read the relay's settings; those that are not there are left out.

    Raises:
        BridgeError: the file is not TOML.
    """
    try:
        section = tomllib.loads(text).get("relay", {})
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise BridgeError(f"{where} is not TOML: {error}", hint="hcom config --edit repairs it") from None
    return {key: section[key] for key in KEYS if key in section} if isinstance(section, dict) else {}


def pointed(settings: BridgeSettings) -> dict[str, Any]:
    """The relay's settings that lead to our endpoint."""
    return {
        "url": settings.url,
        "id": settings.relay_id,
        "token": settings.password,
        "enabled": True,
        "psk": key_text(settings.key_bytes),
    }


def in_a_group(relay: Mapping[str, Any]) -> bool:
    """Whether hcom's relay is in a group, and on."""
    return bool(relay.get("id")) and relay.get("enabled", True) is not False


def with_relay(text: str, relay: Mapping[str, Any]) -> str:
    """Write the relay's settings into the text of a config.toml; keys that are not given are taken out."""
    kept: list[str] = []
    section = ""
    at = None
    for line in text.splitlines():
        if header := _HEADER.fullmatch(line):
            section = header[1]
        key = _KEY.match(line)
        if section == "relay" and key and key[1] in KEYS:
            continue
        kept.append(line)
        if section == "relay" and header:
            at = len(kept)
    if at is None:
        kept += ["", "[relay]"]
        at = len(kept)
    lines = [f"{key} = {json.dumps(relay[key])}" for key in KEYS if key in relay]
    return "\n".join([*kept[:at], *lines, *kept[at:]]) + "\n"
