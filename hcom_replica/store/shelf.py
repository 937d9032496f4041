"""The table `bridge`: what the bridge keeps beside the log, in the transactions of its events (storage-v1 T2.7)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from hcom_replica.store.kv import Item, Kv, Table, WriteTxn
from hcom_replica.store.pages import PAGE_EVENTS

Shelved = tuple[bytes, bytes | None]
"""(key, value; None removes the key)."""


class Shelf:
    """Keys and values of the bridge.

    Args:
        kv: the tables.
    """

    def __init__(self, kv: Kv) -> None:
        self._kv = kv

    def put(self, items: Iterable[Shelved]) -> None:
        """Set or remove keys, durably, in one transaction.

        Raises:
            StoreError: nothing was changed.
        """
        with self._kv.write() as txn:
            shelve(txn, items)

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key; None when there is none."""
        with self._kv.read() as txn:
            return txn.get(Table.BRIDGE, key)

    def page(self, start: bytes, stop: bytes, limit: int = PAGE_EVENTS, *, reverse: bool = False) -> list[Item]:
        """Return up to `limit` items with start <= key < stop, by key."""
        with self._kv.read() as txn:
            return list(islice(txn.scan(Table.BRIDGE, start, stop, reverse=reverse), limit))


def shelve(txn: WriteTxn, items: Iterable[Shelved]) -> None:
    """Set or remove keys in a transaction that also does something else."""
    for key, value in items:
        if value is None:
            txn.delete(Table.BRIDGE, key)
        else:
            txn.put(Table.BRIDGE, key, value)
