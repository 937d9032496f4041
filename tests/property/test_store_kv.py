"""LMDB against memory: the same transactions leave the same tables, through failures and reopening."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hcom_replica.store.kv import Table, WriteTxn
from hcom_replica.store.lmdb_kv import LmdbKv
from hcom_replica.store.memory_kv import MemoryKv

TABLES = st.sampled_from([Table.LOG, Table.INDEX])
KEYS = st.binary(min_size=1, max_size=3)
VALUES = st.binary(max_size=5) | st.just(b"v" * 9000)
CHANGES = st.lists(st.tuples(TABLES, KEYS, st.none() | VALUES), max_size=8)
BULK = st.dictionaries(KEYS, VALUES, max_size=20)


class LmdbIsMemory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="kv-"))
        self.lmdb = LmdbKv(self.folder / "log", sync=False)
        self.memory = MemoryKv()

    def teardown(self) -> None:
        self.lmdb.close()
        shutil.rmtree(self.folder)

    @rule(changes=CHANGES, bulk=BULK, table=TABLES, crash=st.booleans())
    def change(
        self, changes: list[tuple[Table, bytes, bytes | None]], bulk: dict[bytes, bytes], table: Table, crash: bool
    ) -> None:
        for kv in (self.lmdb, self.memory):
            with suppress(ZeroDivisionError), kv.write() as txn:
                _apply(txn, changes, bulk, table)
                assert 1 / (not crash)

    @rule(bulk=BULK, table=TABLES)
    def add_at_the_end(self, bulk: dict[bytes, bytes], table: Table) -> None:
        for kv in (self.lmdb, self.memory):
            with kv.write() as txn:
                last = txn.last(table)
                prefix = b"" if last is None else last[0][:40] + b"\xff"
                txn.put_many(table, sorted((prefix + key, value) for key, value in bulk.items()), append=True)

    @rule()
    def reopen(self) -> None:
        self.lmdb.close()
        self.lmdb = LmdbKv(self.folder / "log", sync=False)

    @rule(table=TABLES, start=KEYS | st.just(b""), stop=st.none() | KEYS, reverse=st.booleans())
    def scan(self, table: Table, start: bytes, stop: bytes | None, reverse: bool) -> None:
        with self.lmdb.read() as one, self.memory.read() as other:
            ours = list(one.scan(table, start, stop, reverse=reverse))
            assert ours == list(other.scan(table, start, stop, reverse=reverse))
            assert one.get_many(table, [key for key, _ in ours]) == [value for _, value in ours]

    @invariant()
    def tables_are_equal(self) -> None:
        with self.lmdb.read() as one, self.memory.read() as other:
            for table in Table:
                assert list(one.scan(table)) == list(other.scan(table))
                assert one.count(table) == other.count(table)
                assert one.last(table) == other.last(table)


def _apply(
    txn: WriteTxn, changes: list[tuple[Table, bytes, bytes | None]], bulk: dict[bytes, bytes], table: Table
) -> None:
    for where, key, value in changes:
        if value is None:
            held = txn.get(where, key) is not None
            assert txn.delete(where, key) == held
        else:
            txn.put(where, key, value)
    txn.put_many(table, list(bulk.items()))


TestLmdbIsMemory = LmdbIsMemory.TestCase
TestLmdbIsMemory.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
