"""`legacy.json` of the data folder: the group of hcom's own relay that this device has joined (B8.1).

Owns its form. It holds a key and perhaps a password, so its mode is 0600; reading and writing the file is the folder's.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final
from uuid import UUID

import msgspec

from hcom_replica.bridge.filed import decode_file
from hcom_replica.bridge.token import KEY_BYTES

USERNAME: Final = "hcom"
"""What hcom shows to every broker."""


class LegacySettings(msgspec.Struct, frozen=True):
    """The file.

    Attributes:
        relay_id: UUID text, first level of all topics.
        key: 64 hex digits.
        broker: URL.
        password: of the broker; empty when it asks for none.
        ca_file: PEM file of the only authorities trusted for TLS; empty trusts the system's.
    """

    relay_id: str
    key: str
    broker: str
    password: str = ""
    ca_file: str = ""

    @property
    def key_bytes(self) -> bytes:
        """32 bytes."""
        return bytes.fromhex(self.key)

    @property
    def group(self) -> str:
        """What the log calls the group: 16 hex digits."""
        return blake2b(self.relay_id.encode() + b"\0" + self.key_bytes, digest_size=8).hexdigest()


def decode_legacy(data: bytes, where: str) -> LegacySettings:
    """Read the file's bytes.

    Raises:
        ConfigError: they are not what `bridge hcom --join` writes.
    """
    hint = "remove it, then hcom-replica bridge hcom --join TOKEN"
    return decode_file(data, LegacySettings, _is_sound, where=where, hint=hint)


def _is_sound(settings: LegacySettings) -> bool:
    return len(settings.key_bytes) == KEY_BYTES and str(UUID(settings.relay_id)) == settings.relay_id
