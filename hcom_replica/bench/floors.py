"""Floors: the same bytes with as little as can be between them and the disk or the broker.

The benchmarks stand outside of the package, so they may use lmdb and paho directly. Everything here is the plainest use
of a library that still does the job, with the options that the package uses.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lmdb

from hcom_replica.limits import MAP_BYTES
from hcom_replica.store.kv import Item
from hcom_replica.store.log import Log

BATCH_EVENTS: Final = 1_000

Clock = Callable[[], float]
"""Seconds since some moment: of the wall, or of processors."""


class RawLmdb:
    """Tables, committed durably, and nothing else.

    Args:
        folder: made if missing.
        tables: how many; `put` and `scan` use the first.

    Attributes:
        data_file: where they are.
    """

    def __init__(self, folder: Path, tables: int = 1) -> None:
        folder.mkdir(parents=True)
        self.data_file = folder / "data.mdb"
        self._env = lmdb.open(str(folder), map_size=MAP_BYTES, max_dbs=tables, lib_version=0)
        self._dbs = [self._env.open_db(b"%d" % number) for number in range(tables)]
        self._db = self._dbs[0]

    def put_batch(self, *rows_of_tables: Sequence[Item]) -> None:
        """One durable commit of many rows that belong behind all others: some for each table."""
        with self._env.begin(write=True) as txn:
            for db, items in zip(self._dbs, rows_of_tables, strict=True):
                txn.cursor(db).putmulti(items, append=True)

    def put(self, key: bytes, value: bytes) -> None:
        """One durable commit of one row."""
        with self._env.begin(write=True) as txn:
            txn.put(key, value, db=self._db)

    def scan(self) -> int:
        """Read every row once, in one transaction; return how many there are."""
        with self._env.begin() as txn:
            return sum(1 for _ in txn.cursor(self._db))

    def pour(self, into: Callable[[bytes], object]) -> None:
        """Give every row's value, in one transaction."""
        with self._env.begin() as txn:
            for value in txn.cursor(self._db).iternext(keys=False, values=True):
                into(value)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


@contextmanager
def raw_lmdb(folder: Path, tables: int = 1) -> Iterator[RawLmdb]:
    """Open a RawLmdb for a while."""
    raw = RawLmdb(folder, tables)
    try:
        yield raw
    finally:
        raw.close()


def rows(log: Log) -> list[Item]:
    """What a log has stored of its events in its main table: hlc || origin -> seq || encoded event."""
    return [(event.key, event.seq.to_bytes(8, "big") + event.record) for event in log.events()]


def all_rows(log: Log) -> list[list[Item]]:
    """The rows that a log keeps for each of its events, in its two tables of them, each in order: main, and by seq.

    All events must be of one origin, in order.
    """
    main = rows(log)
    return [main, [(key[8:] + value[:8], key[:8]) for key, value in main]]


def in_batches(items: Sequence[Item], size: int = BATCH_EVENTS) -> list[Sequence[Item]]:
    """Cut rows into the commits that an append in batches makes."""
    return [items[at : at + size] for at in range(0, len(items), size)]


def processor() -> float:
    """Seconds that processors have worked for this process, and for those of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def seconds(action: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    """How long an action takes by a clock."""
    begin = clock()
    action()
    return clock() - begin
