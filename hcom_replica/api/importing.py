"""Importing JSON lines: in bulk, checked before anything is written, resumed after a kill.

Owns the form of a line, and the promise that each line of a file ends up in the log once: how far a file (by the hash
of its content) has come is stored in the very transaction that appends its events. A file with a bad line is refused
whole, before its first event is appended, so that it can be mended and imported without doubling anything.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from hcom_replica.api.appending import append_drafts, draft
from hcom_replica.api.body import compact
from hcom_replica.api.opening import Parts
from hcom_replica.api.progress import Progress, silent
from hcom_replica.api.times import read_iso
from hcom_replica.errors import LimitError, StoreFull, UsageError
from hcom_replica.ids import EventId
from hcom_replica.limits import KIB, MIB
from hcom_replica.store.cursors import ImportMark
from hcom_replica.wire.event import Draft, check_draft

BATCH_EVENTS: Final = 4_096
BATCH_BYTES: Final = 8 * MIB
LINE_BYTES_MAX: Final = 16 * MIB
"""A body of the largest size, spelled with escapes, fits; a file without newlines does not eat the memory."""

_HINT: Final = 'a line looks like {"kind": "status", "agent": "luna", "data": {"status": "done"}}; "time" is optional'
_AGAIN_MAX: Final = 1_000_000


class Imported(NamedTuple):
    """What an import did.

    Attributes:
        events: appended by this run.
        already_events: lines of the file that an earlier run had appended.
        first: id of the first appended now, or None.
        last: id of the last.
    """

    events: int
    already_events: int
    first: EventId | None
    last: EventId | None


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a file to import."""

    kind: str
    agent: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    time: str | None = None


_decode_line = msgspec.json.Decoder(Line).decode


@contextmanager
def spooled(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Copy what cannot be read twice (a pipe) to a temporary file, so that no transaction ever waits for it.

    Raises:
        StoreFull: there is no room for the copy; nothing was imported.
    """
    with tempfile.TemporaryFile() as spool:
        try:
            shutil.copyfileobj(stream, spool, MIB)
            spool.seek(0)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise StoreFull(
                f"stdin cannot be copied to {tempfile.gettempdir()}: {reason}; nothing was imported",
                hint="make room there, name another folder in TMPDIR, or import a file",
            ) from None
        yield spool


def import_lines(parts: Parts, file: BinaryIO, *, again: bool = False, progress: Progress = silent) -> Imported:
    """Append the events of a file of JSON lines.

    Args:
        parts: an open folder.
        file: seekable, at its start.
        again: append the lines anew although the file was imported before.
        progress: told from time to time, in bytes.

    Raises:
        UsageError: a line is not usable, named by its number; nothing was appended.
        StoreError: whole batches before it are in; the same call goes on behind them.
    """
    content, lines, size = check_lines(file, progress)
    mark = _mark_again(parts, content, lines) if again else content
    done = parts.log.lines_imported(mark)
    first: EventId | None = None
    last: EventId | None = None
    events = already = 0
    file.seek(0)
    numbered = _drafts(file)
    for number, item in islice(numbered, done):
        already += item is not None
        del number
    for batch in _batches(numbered):
        ids = append_drafts(parts, batch.drafts, ImportMark(mark, done, batch.upto))
        done = batch.upto
        first = first or (ids[0] if ids else None)
        last = ids[-1] if ids else last
        events += len(ids)
        progress("importing", file.tell(), size)
    return Imported(events, already, first, last)


def check_lines(file: BinaryIO, tell: Progress = silent) -> tuple[bytes, int, int]:
    """Read every line once; return the hash of the content, the number of lines, and the bytes.

    Raises:
        UsageError: a line is not usable, named by its number.
    """
    size = file.seek(0, 2)
    file.seek(0)
    digest = blake2b(digest_size=32)
    number = 0
    for number, text in enumerate(_lines(file), 1):
        digest.update(text)
        made = _draft(number, text)
        if made is not None:
            _check_limits(number, made)
        if number % BATCH_EVENTS == 0:
            tell("checking", file.tell(), size)
    return digest.digest(), number, size


def _mark_again(parts: Parts, content: bytes, lines: int) -> bytes:
    """The key under which the newest repetition of a file keeps its place; one that is whole makes way for the next."""
    for number in range(1, _AGAIN_MAX):
        mark = blake2b(content + number.to_bytes(8, "big"), digest_size=32, person=b"hcr1 again").digest()
        if parts.log.lines_imported(mark) < lines or not lines:
            return mark
    raise UsageError("this file has been imported a million times")


class _Batch(NamedTuple):
    """Events of one transaction, and the line up to which they are, counted from 1."""

    drafts: list[Draft]
    upto: int


def _batches(numbered: Iterator[tuple[int, Draft | None]]) -> Iterator[_Batch]:
    drafts: list[Draft] = []
    upto = size = 0
    for upto, item in numbered:
        if item is not None:
            drafts.append(item)
            size += len(item.body)
        if len(drafts) >= BATCH_EVENTS or size >= BATCH_BYTES:
            yield _Batch(drafts, upto)
            drafts, size = [], 0
    if drafts:
        yield _Batch(drafts, upto)


def _drafts(file: BinaryIO) -> Iterator[tuple[int, Draft | None]]:
    """(number of lines so far, event) of each line; None for an empty one."""
    for number, text in enumerate(_lines(file), 1):
        yield number, _draft(number, text)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    number = 0
    while text := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(text) > LINE_BYTES_MAX:
            raise UsageError(
                f"line {number} is longer than {LINE_BYTES_MAX // KIB:,} KiB; nothing was imported", hint=_HINT
            )
        yield text


def _draft(number: int, text: bytes) -> Draft | None:
    if not text.strip():
        return None
    try:
        line = _decode_line(text)
        return draft(line.kind, compact(bytes(line.data)), line.agent, _time_us(line.time))
    except UnicodeDecodeError:
        raise _bad(number, "it is not UTF-8") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _bad(number, _reason(error)) from None
    except UsageError as error:
        raise _bad(number, error.message) from None


def _time_us(text: str | None) -> int | None:
    return None if text is None else read_iso(text)


def _check_limits(number: int, made: Draft) -> None:
    try:
        check_draft(made)
    except LimitError as error:
        raise _bad(number, error.message) from None


def _reason(error: Exception) -> str:
    text = str(error).removeprefix("JSON is malformed: ")
    if isinstance(error, msgspec.ValidationError):
        return text[:1].lower() + text[1:].replace("Object ", "")
    return f"not JSON: {text[:1].lower()}{text[1:]}"


def _bad(number: int, why: str) -> UsageError:
    return UsageError(f"line {number}: {why}; nothing was imported", hint=_HINT)


def open_file(path: Path) -> BinaryIO:
    """Open a file to import.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
