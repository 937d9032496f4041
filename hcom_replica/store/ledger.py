"""Writing events: the rows of log, index and arrivals, and the counts, of one transaction.

Owns arrival numbers and the late flag (storage-v1 T2.2). Rows are gathered and written in bulk, sorted, because that
is several times as fast as one by one. The same code serves appends and ingests.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable
from operator import add
from typing import Final

from hcom_replica.ids import OriginId
from hcom_replica.store.kv import Item, Table, WriteTxn
from hcom_replica.store.meta import read_number, write_number
from hcom_replica.store.schema import Meta, Stretch, pack_stretch, seq_key

_pack: Final = struct.Struct(">Q").pack


class Ledger:
    """Gathers the events of a write transaction.

    Args:
        txn: the transaction.
        now_ms: its wall clock, kept as the time of receipt.
    """

    def __init__(self, txn: WriteTxn, now_ms: int) -> None:
        self._txn = txn
        self._now_ms = now_ms
        self._newest = b""
        self._before = self._arrival = read_number(txn, Meta.ARRIVAL)
        self._plain = 0
        self._log = _Rows(Table.LOG)
        self._index = _Rows(Table.INDEX)
        self._stretches: list[Stretch] = []
        self.look_again()

    @property
    def added(self) -> int:
        """Events added so far in this transaction."""
        return self._arrival - self._before

    def add(self, origin: OriginId, first: int, records: list[bytes], hlcs: list[int], system: list[int]) -> None:
        """Add consecutive events of one origin.

        Args:
            origin: short id.
            first: seq of the first.
            records: encoded events, one or more.
            hlcs: one for each, growing.
            system: seqs of the system events among them.
        """
        count = len(records)
        times = list(map(_pack, hlcs))
        keys = [time + origin for time in times]
        seqs = list(map(_pack, range(first, first + count)))
        self._log.extend(zip(keys, map(add, seqs, records), strict=True), keys[0])
        index = [origin + seq for seq in seqs]
        self._index.extend(zip(index, times, strict=True), index[0])
        late = bisect_left(keys, self._newest)
        self._arrive(origin, first, late, late=True)
        self._arrive(origin, first + late, count - late, late=False)
        self._newest = max(self._newest, keys[-1])
        self._plain += count - len(system)
        if system:
            self._txn.put_many(Table.SYSTEM, [(seq_key(origin, seq), b"") for seq in system])

    def _arrive(self, origin: OriginId, first: int, count: int, *, late: bool) -> None:
        """Number consecutive events, in one stretch with those before them where they go on from there."""
        if not count:
            return
        begin = self._arrival + 1
        self._arrival += count
        if self._stretches:
            last = self._stretches[-1]
            if (origin, first, late) == (last.origin, last.first + last.length, last.late):
                self._stretches[-1] = last._replace(length=last.length + count)
                return
        self._stretches.append(Stretch(begin, origin, first, count, late, self._now_ms))

    def flush(self) -> None:
        """Write what was gathered, so that the transaction's reads see it."""
        self._log.write(self._txn)
        self._index.write(self._txn)
        self._txn.put_many(Table.ARRIVALS, list(map(pack_stretch, self._stretches)), append=True)
        self._stretches = []

    def look_again(self) -> None:
        """Find the newest event held, after rows were moved or at the start."""
        newest = self._txn.last(Table.LOG)
        self._newest = newest[0] if newest is not None else b""

    def close(self) -> None:
        """Write everything, the counters too."""
        self.flush()
        if self._arrival == self._before:
            return
        write_number(self._txn, Meta.ARRIVAL, self._arrival)
        write_number(self._txn, Meta.EVENTS, read_number(self._txn, Meta.EVENTS) + self._plain)


class _Rows:
    """Rows of one table, gathered in ascending stretches and written in the order of their keys."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._items: list[Item] = []
        self._ascending = True

    def extend(self, items: Iterable[Item], first: bytes) -> None:
        """Add rows whose keys ascend, from `first` on."""
        if self._items and first < self._items[-1][0]:
            self._ascending = False
        self._items.extend(items)

    def write(self, txn: WriteTxn) -> None:
        """Write what was gathered, at the end of the table where it belongs there."""
        if not self._items:
            return
        if not self._ascending:
            self._items.sort()
        last = txn.last(self._table)
        txn.put_many(self._table, self._items, append=last is None or last[0] < self._items[0][0])
        self._items, self._ascending = [], True
