"""The tables `cursors` and `imports`: how far each consumer, and each import, has come."""

from __future__ import annotations

from typing import NamedTuple

from hcom_replica.errors import UsageError
from hcom_replica.store.kv import ReadTxn, Table, WriteTxn
from hcom_replica.store.schema import number, u64

_NAME_BYTES_MAX = 128


class ImportMark(NamedTuple):
    """Which lines of a file an append holds, so that an import goes on where it stopped.

    Attributes:
        content: 32-byte hash of the file.
        line_from: lines done before, counted from 0.
        line_to: lines done after.
    """

    content: bytes
    line_from: int
    line_to: int


def cursor(txn: ReadTxn, name: str) -> int:
    """Return the last arrival that a consumer has consumed; 0 before its first."""
    value = txn.get(Table.CURSORS, _key(name))
    return 0 if value is None else number(value)


def set_cursor(txn: WriteTxn, name: str, arrival: int) -> None:
    """Move a consumer's cursor."""
    txn.put(Table.CURSORS, _key(name), u64(arrival))


def cursors(txn: ReadTxn) -> dict[str, int]:
    """Return all cursors, by name."""
    return {key.decode(): number(value) for key, value in txn.scan(Table.CURSORS)}


def lines_done(txn: ReadTxn, content: bytes) -> int:
    """Return how many lines of a file were imported; 0 when it is unknown."""
    value = txn.get(Table.IMPORTS, content)
    return 0 if value is None else number(value)


def move_import(txn: WriteTxn, mark: ImportMark) -> None:
    """Note that the lines of `mark` are in this very transaction.

    Raises:
        UsageError: the file is not at `line_from`: another process imports it too.
    """
    done = lines_done(txn, mark.content)
    if done != mark.line_from:
        raise UsageError(
            f"this file has been imported up to line {done}, not {mark.line_from}",
            hint="another import of it may be running; start again and it goes on where that one is",
        )
    txn.put(Table.IMPORTS, mark.content, u64(mark.line_to))


def _key(name: str) -> bytes:
    key = name.encode()
    if not 0 < len(key) <= _NAME_BYTES_MAX:
        raise UsageError(f"a cursor's name has 1 to {_NAME_BYTES_MAX} bytes: {name!r}")
    return key
