"""Files that a person asked for: whole or not there, and never in the place of another one unasked.

Owns what happens to what lies at the path already. A file is written beside its path under a name of its own, mode 0600
because a history is nobody else's, and takes its place when it is whole.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from hcom_replica.errors import OutputError, UsageError
from hcom_replica.folder.paths import FILE_MODE

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BUFFER_BYTES: Final = 1 << 18
_AHEAD_BYTES: Final = 1 << 23


@contextmanager
def written(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Open a file to be written; it is in its place, on disk, when the block ends, and not there when it raises.

    Args:
        path: what is no plain file (a pipe, /dev/stdout) is written as it comes.
        force: replace a file that is there.

    Raises:
        UsageError: there is a file already, or a folder; nothing was changed.
        OutputError: it cannot be written; what was at the path stands.
    """
    check_free(path, force=force)
    try:
        if _is_special(path):
            with path.open("wb") as file:
                yield file
            return
        with _draft(path, force=force) as file:
            yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(path, error) from None


class _Steady(FileIO):
    """A file that goes to the disk while it is written, so that little is left to wait for at its end."""

    _written = _begun = 0

    def write(self, data: Buffer) -> int:
        """See FileIO."""
        count = super().write(data)
        self._written += count
        if self._written - self._begun >= _AHEAD_BYTES and hasattr(os, "posix_fadvise"):
            # Linux begins to write what will not be needed, and does not wait for it.
            os.posix_fadvise(self.fileno(), self._begun, self._written - self._begun, os.POSIX_FADV_DONTNEED)
            self._begun = self._written
        return count


@contextmanager
def _draft(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        with BufferedWriter(_Steady(fd, "wb"), _BUFFER_BYTES) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if force:
            draft.replace(path)
        else:
            _put(draft, path)
    finally:
        with suppress(OSError):
            draft.unlink()


def _put(draft: Path, path: Path) -> None:
    """Give a file its name, unless another has taken it meanwhile."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise _taken(path) from None
    except OSError:  # a filesystem without hard links
        check_free(path, force=False)
        draft.replace(path)


def check_free(path: Path, *, force: bool) -> None:
    """Check that a file may be written at a path.

    Raises:
        UsageError: there is something else; nothing was changed.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint="name a file in it")
    if path.is_file() and not force:
        raise _taken(path)


def _taken(path: Path) -> UsageError:
    return UsageError(f"{path} exists already", hint="choose another name, or add --force to replace it")


def _is_special(path: Path) -> bool:
    with suppress(OSError):
        return not stat.S_ISREG(path.stat().st_mode)
    return False


def unwritable(path: Path, error: OSError) -> OutputError:
    """Translate what the system says about a file to be written."""
    return OutputError(f"cannot write {path}: {(error.strerror or str(error)).lower()}")
