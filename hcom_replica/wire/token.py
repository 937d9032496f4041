"""The join token: group, epoch, secret and brokers in one line that a person can paste.

Layout under the prefix `hcr1_`, base64url without padding: version u8 = 1 || group 16 || epoch u32 || secret 32 ||
founder's key 32 || brokers, UTF-8, joined by spaces || first 4 bytes of H of all before.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

import msgspec

from hcom_replica.errors import TokenError
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.signing import hash32

PREFIX: Final = "hcr1_"
_FIXED: Final = 1 + 16 + 4 + 32 + 32
_CHECK: Final = 4
_ALPHABET: Final = re.compile(r"[A-Za-z0-9_-]*=*")
_HCOM_VERSIONS: Final = (1, 2, 4)


class JoinToken(msgspec.Struct, frozen=True):
    """What a device needs to join.

    Attributes:
        keys: the group at its current epoch.
        brokers: broker URLs, at least one.
        founder: 32-byte key of the device that made the group.
    """

    keys: GroupKeys
    brokers: tuple[str, ...]
    founder: bytes

    def encode(self) -> str:
        """The token's text. Treat it like a private key."""
        keys = self.keys
        data = b"\x01" + keys.group + keys.epoch.to_bytes(4, "big") + keys.secret + self.founder
        data += " ".join(self.brokers).encode()
        return PREFIX + _b64(data + hash32(data)[:_CHECK])


def decode_token(text: str) -> JoinToken:
    """Read a token.

    Raises:
        TokenError: says what is wrong with it, with a hint.
    """
    text = "".join(text.split())
    if not text.startswith(PREFIX):
        raise _foreign(text)
    if not _ALPHABET.fullmatch(text[len(PREFIX) :]):
        raise TokenError("the token has characters that no token has", hint="copy it again, whole")
    data = _unb64(text[len(PREFIX) :])
    if data is None or len(data) < _FIXED + _CHECK:
        raise TokenError("the token is cut off", hint="copy it again, whole: it is one long line")
    body, check = data[:-_CHECK], data[-_CHECK:]
    if body[0] != 1:
        raise TokenError(f"the token is of version {body[0]}", hint="update hcom-replica on this device")
    if hash32(body)[:_CHECK] != check:
        raise TokenError("the token is mistyped or cut off", hint="copy it again, whole: it is one long line")
    brokers = tuple(body[_FIXED:].decode(errors="replace").split())
    return JoinToken(GroupKeys(body[1:17], body[21:53], int.from_bytes(body[17:21], "big")), brokers, body[53:85])


def _foreign(text: str) -> TokenError:
    data = _unb64(text) or b""
    if len(data) >= 17 and data[0] in _HCOM_VERSIONS:
        return TokenError(
            "this is a token of hcom's own relay",
            hint="hcom-replica relay new --hcom makes a group, and connects the hcom of this machine to it",
        )
    return TokenError(f"not a join token: it does not begin with {PREFIX}", hint="hcom-replica relay token shows it")


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
