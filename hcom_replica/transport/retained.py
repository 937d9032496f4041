"""RetainedFile: where the embedded broker keeps retained messages between runs.

Owns one msgpack file, replaced in one step, so a kill leaves the old content or the new.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hcom_replica.errors import BrokerError

Kept = tuple[str, bytes, int]
"""Topic, payload, QoS."""


class RetainedFile:
    """Retained messages in a folder.

    Args:
        folder: made when missing, with mode 0700.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "retained.msgpack"
        self._saved: list[Kept] | None = None

    def load(self) -> list[Kept]:
        """Read what was saved last; nothing was: an empty list.

        Raises:
            BrokerError: the file is not ours or damaged; it is left as it is.
        """
        try:
            self._saved = msgspec.msgpack.decode(self._path.read_bytes(), type=list[Kept])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BrokerError(
                f"cannot read {self._path}: {error}", hint="delete it: the devices publish everything again"
            ) from error
        return self._saved

    def save(self, kept: Sequence[Kept]) -> None:
        """Replace the content; does nothing when it has not changed.

        Raises:
            BrokerError: the disk refused; the old content stands.
        """
        wanted = list(kept)
        if wanted == self._saved:
            return
        temporary = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(msgspec.msgpack.encode(wanted))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            raise BrokerError(f"cannot save retained messages: {error}", hint="check the disk and --data") from error
        self._saved = wanted
