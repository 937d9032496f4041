"""Export into a file of JSON lines.

How far it has come stands in a file beside it, `FILE.export`, which also says how long the file was then: what a killed
export wrote behind that is cut off before the next one goes on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from hcom_replica.api.event import Event
from hcom_replica.api.exports.place import AGAIN, LockedTarget, Place, load, save, tidy
from hcom_replica.api.output import check_free, unwritable
from hcom_replica.errors import UsageError
from hcom_replica.folder.paths import FILE_MODE

SUFFIX: Final = ".export"


class LinesTarget(LockedTarget):
    """A file of JSON lines.

    Args:
        path: of the file.
        force: begin anew whatever is there.
    """

    def __init__(self, path: Path, *, force: bool) -> None:
        self._path = path
        self._state = path.with_name(path.name + SUFFIX)
        self._force = force

    def place(self, fresh: Place) -> Place:
        """How far it has come."""
        held = None if self._force else load(self._state)
        check_free(self._path, force=self._force or held is not None)
        if held is None:
            save(self._state, fresh)  # from here on the file is known to be an export
            held = fresh
        try:
            self.lock(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE), self._path)
            tidy(self._state)
            self._cut(held)
        except OSError as error:
            raise unwritable(self._path, error) from None
        return held

    def _cut(self, held: Place) -> None:
        size = os.fstat(self._fd).st_size
        if size < held.bytes:
            raise UsageError(f"{self._path} is shorter than what was exported into it", hint=AGAIN)
        os.ftruncate(self._fd, held.bytes)
        os.lseek(self._fd, held.bytes, os.SEEK_SET)

    def take(self, events: list[Event], place: Place) -> None:
        """Add lines, then move the place."""
        data = b"".join(event.json(arrival=True) + b"\n" for event in events)
        before = os.lseek(self._fd, 0, os.SEEK_CUR)
        try:
            with os.fdopen(os.dup(self._fd), "wb") as file:
                file.write(data)
            os.fsync(self._fd)
        except OSError as error:
            raise unwritable(self._path, error) from None
        save(self._state, msgspec.structs.replace(place, bytes=before + len(data)))
