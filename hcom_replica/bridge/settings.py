"""`bridge.json` of the data folder: which hcom is bridged, and the private relay group made for it.

Owns its form. It holds a key and a password, so its mode is 0600; reading and writing the file is the folder's.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hcom_replica.bridge.filed import decode_file
from hcom_replica.bridge.token import KEY_BYTES


class BridgeSettings(msgspec.Struct, frozen=True):
    """The file.

    Attributes:
        hcom_dir: hcom's folder.
        program: the hcom program, to restart its relay with; empty when it was not found.
        port: of the endpoint on 127.0.0.1.
        relay_id: UUID text of the private group.
        key: its key, 64 hex digits.
        password: of the endpoint.
        before: hcom's own relay settings before, by key; put back when the bridge is removed.
    """

    hcom_dir: str
    program: str
    port: int
    relay_id: str
    key: str
    password: str
    before: dict[str, Any]

    @property
    def key_bytes(self) -> bytes:
        """32 bytes."""
        return bytes.fromhex(self.key)

    @property
    def url(self) -> str:
        """Where hcom connects to."""
        return f"mqtt://127.0.0.1:{self.port}"


def decode_settings(data: bytes, where: str) -> BridgeSettings:
    """Read the file's bytes.

    Raises:
        ConfigError: they are not what `bridge hcom --setup` writes.
    """
    hint = "hcom-replica bridge hcom --setup writes it anew"
    return decode_file(data, BridgeSettings, _is_sound, where=where, hint=hint)


def _is_sound(settings: BridgeSettings) -> bool:
    return len(settings.key_bytes) == KEY_BYTES and 0 < settings.port < 1 << 16
