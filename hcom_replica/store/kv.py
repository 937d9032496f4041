"""The store's port: transactions over ordered tables of bytes.

Owns the interface that `lmdb_kv` (processes) and `memory_kv` (tests and the simulator) implement, and the names of the
tables (storage-v1 section 2). Knows nothing of events.

Rules for whoever implements or uses it:
- One write transaction at a time, over all processes; the next one waits. Its changes become visible and durable
  together when the block ends, or not at all when the block raises.
- A read transaction sees one commit throughout, and lives for one page of results (T5.6).
- A table is not changed while a scan of it in the same transaction is still being consumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Protocol

Item = tuple[bytes, bytes]
"""(key, value)."""


class Table(StrEnum):
    """The tables of storage-v1 section 2."""

    LOG = "log"
    INDEX = "index"
    ARRIVALS = "arrivals"
    COMMITS = "commits"
    ORIGINS = "origins"
    SYSTEM = "system"
    PEERS = "peers"
    PROMISES = "promises"
    VIEWS = "views"
    CURSORS = "cursors"
    IMPORTS = "imports"
    REDACTIONS = "redactions"
    BRIDGE = "bridge"
    META = "meta"


class ReadTxn(Protocol):
    """One state of all tables. Any method raises StoreError when the storage fails."""

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""

    def get_many(self, table: Table, keys: Sequence[bytes]) -> list[bytes]:
        """Return the values of `keys`, in their order.

        Raises:
            StoreCorrupt: a key is absent; the caller knew from another table that it must be there.
        """

    def scan(
        self, table: Table, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Item]:
        """Yield the items with start <= key < stop (None: to the end), ascending, or descending when `reverse`."""

    def last(self, table: Table) -> Item | None:
        """Return the item with the greatest key, or None when the table is empty."""

    def count(self, table: Table) -> int:
        """Return the number of items in the table; cheap."""


class WriteTxn(ReadTxn, Protocol):
    """A read transaction that can change tables, and sees its own changes."""

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """Set `key` to `value`."""

    def put_many(self, table: Table, items: Sequence[Item], *, append: bool = False) -> None:
        """Set many keys.

        Args:
            table: where.
            items: pairs; an exact 2-tuple each.
            append: the caller's word that the keys ascend and all lie behind the table's greatest, which makes it
                faster and fills pages.

        Raises:
            StoreError: `append` was promised and is not so; the transaction must be abandoned.
        """

    def delete(self, table: Table, key: bytes) -> bool:
        """Remove `key`; tell whether it was there."""

    def after_commit(self, action: Callable[[], None]) -> None:
        """Have something done once the changes are durable, and before the next writer of any process begins.

        A process that dies in between leaves it undone; a transaction that is rolled back, too. It must not raise.
        """


class Kv(Protocol):
    """An ordered store of named tables."""

    def read(self) -> AbstractContextManager[ReadTxn]:
        """Open a read transaction."""

    def write(self) -> AbstractContextManager[WriteTxn]:
        """Wait for the writers' lock and open a write transaction: commits at the end of the block.

        Raises:
            StoreFull: no room; rolled back.
            StoreError: anything else; rolled back, earlier commits stand.
        """

    @property
    def durable(self) -> bool:
        """Whether a commit is on disk when `write` returns."""

    def last_txn(self) -> int:
        """Return a number that grows with each commit of any process; cheap enough to look at each second."""

    def sync_now(self) -> None:
        """Force what has been committed to disk; needed only when not `durable`."""

    def check_readers(self) -> int:
        """Clear what readers that died have left (T5.7); return how many there were."""

    def close(self) -> None:
        """Give everything back. Idempotent."""
