"""How far an export has come, and the file beside the data in which targets that are no database keep it."""

from __future__ import annotations

import fcntl
import os
from glob import escape
from pathlib import Path
from typing import Final, Protocol

import msgspec

from hcom_replica.api.event import Event
from hcom_replica.api.output import unwritable
from hcom_replica.errors import ConfigError, OutputError, UsageError
from hcom_replica.folder.files import replace

AGAIN: Final = "--force begins it anew; or name another"


class Place(msgspec.Struct, frozen=True):
    """How far a target has come.

    Attributes:
        group: whose events, 32 hex digits.
        device: on which device, 16 hex digits; arrival numbers are each device's own.
        system: system events are exported, too.
        arrival: number of the last event that was looked at; 0 before the first.
        hlc: of that event: another one with that number means that the log is another.
        events: exported so far.
        redactions: known when it was exported.
        bytes: of the file, for JSON lines.
        pending: for Parquet: files that are whole and still have to be given their names.
    """

    group: str
    device: str
    system: bool
    arrival: int = 0
    hlc: int = 0
    events: int = 0
    redactions: int = 0
    bytes: int = 0
    pending: list[str] = []


class Target(Protocol):
    """Where events are exported to. Events and place move together: after a kill both are there, or neither."""

    def place(self, fresh: Place) -> Place:
        """How far it has come; `fresh`, kept from now on, when it is new.

        Raises:
            UsageError: something else is there; nothing was changed.
        """

    def take(self, events: list[Event], place: Place) -> None:
        """Add events; durable when it returns."""

    def redact(self, names: list[str]) -> bool:
        """Take away the bodies of events; False when a target cannot."""

    def close(self) -> None:
        """Give it back. Idempotent."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Place).decode


def load(path: Path) -> Place | None:
    """Read a place; None when there is none.

    Raises:
        UsageError: it is not one.
    """
    try:
        return _decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UsageError(f"{path} does not say how far an export has come", hint=AGAIN) from None
    except OSError as error:
        raise unwritable(path, error) from None


def save(path: Path, place: Place) -> None:
    """Write a place: the old one or the new one is there, whenever the machine stops.

    Raises:
        OutputError: it cannot be written; the old one stands.
    """
    try:
        replace(path, _encode(place) + b"\n")
    except ConfigError as error:
        raise OutputError(error.message.replace("cannot use", "cannot write")) from None


def tidy(path: Path) -> None:
    """Clear what a killed `save` has left beside a place; the target is locked."""
    for draft in path.parent.glob(f".{escape(path.name)}.*"):
        draft.unlink()


def encoded(place: Place) -> str:
    """A place as text."""
    return _encode(place).decode()


def decoded(text: str) -> Place:
    """A place from its text."""
    return _decode(text)


class LockedTarget:
    """What targets that are no database share: one writer at a time, and what is written stays as it is."""

    _fd = -1

    def lock(self, fd: int, path: Path) -> None:
        """Keep others from writing at the same time, until it is closed; the descriptor is this target's from now on.

        Raises:
            UsageError: somebody does already.
        """
        self._fd = fd
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another export writes {path}", hint="wait for its end") from None

    def redact(self, names: list[str]) -> bool:
        """Files stand as they were written."""
        del names
        return False

    def close(self) -> None:
        """Close the file or folder, which gives it back. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
