"""The port in memory: the oracle of tests, and the disk of simulated devices.

Owns no file. Must behave as `lmdb_kv` does, crashes included: `fault` is called around each commit and may raise,
which stands for a process that dies there, or a disk that is full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from types import TracebackType
from typing import Self

from sortedcontainers import SortedDict

from hcom_replica.errors import StoreCorrupt, StoreError
from hcom_replica.store.kv import Item, Table


class Moment(Enum):
    """Where a fault can strike."""

    BEFORE_COMMIT = "before-commit"
    """Raising here rolls the transaction back."""
    AFTER_COMMIT = "after-commit"
    """Raising here leaves the transaction committed and its caller unaware of it."""


Fault = Callable[[Moment], None]


class _Disk:
    """What a MemoryKv and its transactions share."""

    def __init__(self, tables: dict[Table, SortedDict], *, durable: bool) -> None:
        self.tables = tables
        self.pool: dict[bytes, bytes] | None = None
        self.without: frozenset[Table] = frozenset()
        self.durable = durable
        self.borrowed: set[Table] = set()
        self.fault: Fault | None = None
        self.commits = 0
        self.readers = 0
        self.writing = False

    def strike(self, moment: Moment) -> None:
        """Let the fault act, if there is one; what it raises before the commit undoes it, after that it stands."""
        if self.fault is not None:
            self.fault(moment)

    def own(self, table: Table) -> SortedDict:
        """Return a table for changing; copied first when a clone holds it too."""
        if table in self.borrowed:
            self.borrowed.discard(table)
            self.tables[table] = self.tables[table].copy()
        return self.tables[table]


class MemoryKv:
    """Tables in memory, for one thread.

    Args:
        durable: whether commits claim to be on disk.
        pool: bytes that many disks of one process hold, kept once; None keeps them apart.
        without: tables that keep nothing: what nobody will read.
    """

    def __init__(
        self, *, durable: bool = True, pool: dict[bytes, bytes] | None = None, without: Iterable[Table] = ()
    ) -> None:
        self._disk = _Disk({table: SortedDict() for table in Table}, durable=durable)
        self._disk.pool = pool
        self._disk.without = frozenset(without)

    @property
    def fault(self) -> Fault | None:
        """Called at each `Moment` of each write transaction; raises to strike. None: nothing goes wrong."""
        return self._disk.fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._disk.fault = fault

    @property
    def durable(self) -> bool:
        """Whether commits claim to be on disk."""
        return self._disk.durable

    def clone(self) -> MemoryKv:
        """Return an independent copy, as a backup or a cloned disk is; tables are copied when changed."""
        twin = MemoryKv(durable=self.durable, pool=self._disk.pool, without=self._disk.without)
        twin._disk.tables.update(self._disk.tables)
        twin._disk.commits = self._disk.commits
        twin._disk.borrowed = set(Table)
        self._disk.borrowed = set(Table)
        return twin

    def read(self) -> MemoryTxn:
        """Open a read transaction."""
        return MemoryTxn(self._disk, write=False)

    def write(self) -> MemoryTxn:
        """Open a write transaction. No other may be open: in one thread it would wait for ever."""
        return MemoryTxn(self._disk, write=True)

    def last_txn(self) -> int:
        """Return the number of commits so far."""
        return self._disk.commits

    def sync_now(self) -> None:
        """Do nothing: memory has no disk."""

    def check_readers(self) -> int:
        """Return 0: no reader dies here."""
        return 0

    def close(self) -> None:
        """Do nothing: a simulated device opens the same object again after its crash."""


class MemoryTxn:
    """A transaction; remembers what it replaced, to undo it."""

    def __init__(self, disk: _Disk, *, write: bool) -> None:
        self._disk = disk
        self._write = write
        self._open = False
        self._undo: list[tuple[Table, bytes, bytes | None]] = []
        self._then: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        disk = self._disk
        if disk.writing or (self._write and disk.readers):
            raise StoreError("a transaction of this thread is still open")
        disk.writing = self._write
        disk.readers += not self._write
        self._open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        if not self._write:
            self._disk.readers -= 1
            return
        try:
            if kind is None:
                self._commit()
            else:
                self._roll_back()
        finally:
            self._disk.writing = False

    def get(self, table: Table, key: bytes) -> bytes | None:
        """See ReadTxn."""
        value: bytes | None = self._read(table).get(key)
        return value

    def get_many(self, table: Table, keys: Sequence[bytes]) -> list[bytes]:
        """See ReadTxn."""
        rows = self._read(table)
        try:
            return [rows[key] for key in keys]
        except KeyError as error:
            raise StoreCorrupt(f"table {table}: key {error.args[0].hex()} is missing") from None

    def scan(
        self, table: Table, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Item]:
        """See ReadTxn."""
        rows = self._read(table)
        for key in rows.irange(start, stop, inclusive=(True, False), reverse=reverse):
            yield key, rows[key]

    def last(self, table: Table) -> Item | None:
        """See ReadTxn."""
        rows = self._read(table)
        if not rows:
            return None
        key, value = rows.peekitem(-1)
        return key, value

    def count(self, table: Table) -> int:
        """See ReadTxn."""
        return len(self._read(table))

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """See WriteTxn."""
        self.put_many(table, [(key, value)])

    def put_many(self, table: Table, items: Sequence[Item], *, append: bool = False) -> None:
        """See WriteTxn."""
        if append:
            self._check_append(table, items)
        rows, pool = self._change(table), self._disk.pool
        if table in self._disk.without:
            return
        if pool is not None:
            items = [(pool.setdefault(key, key), pool.setdefault(value, value)) for key, value in items]
        for key, value in items:
            self._undo.append((table, key, rows.get(key)))
            rows[key] = value

    def delete(self, table: Table, key: bytes) -> bool:
        """See WriteTxn."""
        rows = self._change(table)
        value = rows.pop(key, None)
        if value is None:
            return False
        self._undo.append((table, key, value))
        return True

    def after_commit(self, action: Callable[[], None]) -> None:
        """See WriteTxn."""
        self._then.append(action)

    def _check_append(self, table: Table, items: Sequence[Item]) -> None:
        greatest = self.last(table)
        before = greatest[0] if greatest else None
        for key, _ in items:
            if before is not None and key <= before:
                raise StoreError(f"table {table}: rows do not ascend")
            before = key

    def _read(self, table: Table) -> SortedDict:
        if not self._open:
            raise StoreError("the transaction is closed")
        return self._disk.tables[table]

    def _change(self, table: Table) -> SortedDict:
        if not (self._open and self._write):
            raise StoreError("not in a write transaction")
        return self._disk.own(table)

    def _commit(self) -> None:
        try:
            self._disk.strike(Moment.BEFORE_COMMIT)
        except BaseException:
            self._roll_back()
            raise
        if self._undo:
            self._disk.commits += 1
        self._disk.strike(Moment.AFTER_COMMIT)
        for action in self._then:
            action()

    def _roll_back(self) -> None:
        for table, key, value in reversed(self._undo):
            rows = self._disk.own(table)
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
