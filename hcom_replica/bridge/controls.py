"""What hcom publishes on its control topic (hcom-bridge-v1 B7.1): read as it is, and judged by whoever asks for it."""

from __future__ import annotations

from typing import Any

import msgspec

from hcom_replica.errors import ProtocolError


class Control(msgspec.Struct):
    """One thing that is asked for.

    Attributes:
        type: "control" for a request.
        data: hcom's own.
    """

    type: str = ""
    data: dict[str, Any] = {}

    @property
    def params(self) -> dict[str, Any]:
        """What it needs; empty where that is malformed."""
        params = self.data.get("params")
        return params if isinstance(params, dict) else {}


class _Controls(msgspec.Struct):
    """What an envelope holds; other keys are passed over."""

    events: list[Control] = []


_decode = msgspec.json.Decoder(_Controls).decode


def decode_controls(plain: bytes) -> list[Control]:
    """Read what an envelope held.

    Raises:
        ProtocolError: `format`: it is malformed.
    """
    try:
        return _decode(plain).events
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProtocolError("format", "control") from None
