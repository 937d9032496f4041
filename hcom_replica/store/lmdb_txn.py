"""A transaction on LMDB, as the port has it (see `kv`).

Must never let an exception of lmdb escape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

import lmdb

from hcom_replica.errors import StoreCorrupt, StoreError
from hcom_replica.store.kv import Item, Table
from hcom_replica.store.lmdb_environment import Environment
from hcom_replica.store.lmdb_errors import translated


class LmdbTxn:
    """A transaction: entered once, and ended by the thread that entered it. Its errors are those of the port."""

    def __init__(self, shared: Environment, *, write: bool) -> None:
        self._shared = shared
        self._write = write
        self._txn: lmdb.Transaction[bytes] | None = None
        self._then: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        try:
            self._txn = self._shared.begin_write() if self._write else self._shared.begin_read()
        except lmdb.Error as error:
            raise translated(error, self._shared.folder) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        txn, self._txn = self._live, None
        try:
            if self._write and kind is None:
                txn.commit()
                for action in self._then:
                    action()
            else:
                txn.abort()
        except lmdb.Error as failed:
            raise self._translated(failed) from failed
        finally:
            if self._write:
                self._shared.end_write()
            else:
                self._shared.end_read()

    @property
    def number(self) -> int:
        """The number of the commit that a read transaction sees."""
        return self._live.id()

    def get(self, table: Table, key: bytes) -> bytes | None:
        """See ReadTxn."""
        try:
            return self._live.get(key, db=self._shared.tables[table])
        except lmdb.Error as error:
            raise self._translated(error) from error

    def get_many(self, table: Table, keys: Sequence[bytes]) -> list[bytes]:
        """See ReadTxn."""
        txn, db = self._live, self._shared.tables[table]
        try:
            values = [txn.get(key, db=db) for key in keys]
        except lmdb.Error as error:
            raise self._translated(error) from error
        found = [value for value in values if value is not None]
        if len(found) != len(values):
            raise StoreCorrupt(f"table {table}: key {keys[values.index(None)].hex()} is missing")
        return found

    def scan(
        self, table: Table, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Item]:
        """See ReadTxn."""
        try:
            cursor = self._live.cursor(self._shared.tables[table])
            yield from _descend(cursor, start, stop) if reverse else _ascend(cursor, start, stop)
        except lmdb.Error as error:
            raise self._translated(error) from error

    def last(self, table: Table) -> Item | None:
        """See ReadTxn."""
        try:
            cursor = self._live.cursor(self._shared.tables[table])
            return cursor.item() if cursor.last() else None
        except lmdb.Error as error:
            raise self._translated(error) from error

    def count(self, table: Table) -> int:
        """See ReadTxn."""
        try:
            return self._live.stat(self._shared.tables[table])["entries"]
        except lmdb.Error as error:
            raise self._translated(error) from error

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """See WriteTxn."""
        try:
            self._live.put(key, value, db=self._shared.tables[table])
        except lmdb.Error as error:
            raise self._translated(error) from error

    def put_many(self, table: Table, items: Sequence[Item], *, append: bool = False) -> None:
        """See WriteTxn."""
        if not items:
            return
        try:
            cursor = self._live.cursor(self._shared.tables[table])
            _, added = cursor.putmulti(items, append=append)
        except lmdb.Error as error:
            raise self._translated(error) from error
        if append and added != len(items):
            raise StoreError(f"table {table}: rows do not ascend")

    def delete(self, table: Table, key: bytes) -> bool:
        """See WriteTxn."""
        try:
            return self._live.delete(key, db=self._shared.tables[table])
        except lmdb.Error as error:
            raise self._translated(error) from error

    def after_commit(self, action: Callable[[], None]) -> None:
        """See WriteTxn."""
        self._then.append(action)

    @property
    def _live(self) -> lmdb.Transaction[bytes]:
        if self._txn is None:
            raise StoreError("the transaction is closed")
        return self._txn

    def _translated(self, error: lmdb.Error) -> StoreError:
        if isinstance(error, lmdb.MapFullError):
            self._shared.grow = True
        return translated(error, self._shared.folder)


def _ascend(cursor: lmdb.Cursor[bytes], start: bytes, stop: bytes | None) -> Iterator[Item]:
    if not cursor.set_range(start):
        return
    if stop is None:
        yield from cursor.iternext()
        return
    for item in cursor.iternext():
        if item[0] >= stop:
            return
        yield item


def _descend(cursor: lmdb.Cursor[bytes], start: bytes, stop: bytes | None) -> Iterator[Item]:
    found = cursor.last() if stop is None or not cursor.set_range(stop) else cursor.prev()
    if not found:
        return
    for item in cursor.iterprev():
        if item[0] < start:
            return
        yield item
