from __future__ import annotations

import pytest

from hcom_replica.errors import StoreCorrupt, StoreError, StoreFull
from hcom_replica.store.kv import Table
from hcom_replica.store.memory_kv import MemoryKv, Moment


def rows(kv: MemoryKv, table: Table = Table.LOG) -> list[tuple[bytes, bytes]]:
    with kv.read() as txn:
        return list(txn.scan(table))


def filled(*keys: bytes) -> MemoryKv:
    kv = MemoryKv()
    with kv.write() as txn:
        txn.put_many(Table.LOG, [(key, b"v" + key) for key in keys])
    return kv


def test_write_committed_becomes_visible() -> None:
    kv = filled(b"b", b"a")
    assert rows(kv) == [(b"a", b"va"), (b"b", b"vb")]


def test_write_raising_block_leaves_nothing() -> None:
    kv = filled(b"a", b"b")

    def change_and_fail() -> None:
        with kv.write() as txn:
            txn.put(Table.LOG, b"a", b"other")
            txn.delete(Table.LOG, b"b")
            txn.put_many(Table.LOG, [(b"c", b"1"), (b"c", b"2")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_and_fail()
    assert rows(kv) == [(b"a", b"va"), (b"b", b"vb")]


@pytest.mark.parametrize(
    ("start", "stop", "reverse", "expected"),
    [
        (b"", None, False, [b"a", b"c", b"e"]),
        (b"b", None, False, [b"c", b"e"]),
        (b"", b"e", False, [b"a", b"c"]),
        (b"a", b"e", True, [b"c", b"a"]),
        (b"", None, True, [b"e", b"c", b"a"]),
        (b"b", b"c", False, []),
    ],
)
def test_scan_range_takes_start_and_leaves_stop(
    start: bytes, stop: bytes | None, reverse: bool, expected: list[bytes]
) -> None:
    with filled(b"a", b"c", b"e").read() as txn:
        assert [key for key, _ in txn.scan(Table.LOG, start, stop, reverse=reverse)] == expected


def test_get_many_absent_key_is_corrupt() -> None:
    with filled(b"a").read() as txn:
        assert txn.get_many(Table.LOG, [b"a"]) == [b"va"]
        with pytest.raises(StoreCorrupt):
            txn.get_many(Table.LOG, [b"a", b"b"])


def test_put_many_append_out_of_order_refuses() -> None:
    kv = filled(b"b")
    with pytest.raises(StoreError), kv.write() as txn:
        txn.put_many(Table.LOG, [(b"a", b"")], append=True)
    assert rows(kv) == [(b"b", b"vb")]


def test_last_empty_and_filled() -> None:
    kv = filled(b"a", b"b")
    with kv.read() as txn:
        assert txn.last(Table.LOG) == (b"b", b"vb")
        assert txn.last(Table.INDEX) is None
        assert txn.count(Table.LOG) == 2


def test_clone_changed_leaves_the_original() -> None:
    kv = filled(b"a")
    twin = kv.clone()
    with kv.write() as txn:
        txn.put(Table.LOG, b"b", b"")
    with twin.write() as txn:
        txn.delete(Table.LOG, b"a")
    assert [key for key, _ in rows(kv)] == [b"a", b"b"]
    assert rows(twin) == []


def test_fault_before_commit_rolls_back() -> None:
    kv = filled(b"a")

    def full(moment: Moment) -> None:
        if moment is Moment.BEFORE_COMMIT:
            raise StoreFull("full")

    kv.fault = full
    with pytest.raises(StoreFull), kv.write() as txn:
        txn.put(Table.LOG, b"b", b"")
    kv.fault = None
    assert [key for key, _ in rows(kv)] == [b"a"]


def test_fault_after_commit_keeps_what_was_written() -> None:
    kv = filled(b"a")

    def die(moment: Moment) -> None:
        if moment is Moment.AFTER_COMMIT:
            raise KeyboardInterrupt

    kv.fault = die
    with pytest.raises(KeyboardInterrupt), kv.write() as txn:
        txn.put(Table.LOG, b"b", b"")
    kv.fault = None
    assert [key for key, _ in rows(kv)] == [b"a", b"b"]


def test_last_txn_grows_with_changes_only() -> None:
    kv = filled(b"a")
    before = kv.last_txn()
    with kv.write():
        pass
    assert kv.last_txn() == before
    with kv.write() as txn:
        txn.put(Table.LOG, b"b", b"")
    assert kv.last_txn() == before + 1


def test_transaction_used_after_its_end_refuses() -> None:
    kv = filled(b"a")
    with kv.read() as txn:
        pass
    with pytest.raises(StoreError):
        txn.get(Table.LOG, b"a")


def test_write_inside_an_open_transaction_refuses() -> None:
    kv = filled(b"a")
    with kv.read(), pytest.raises(StoreError), kv.write():
        pass


def test_disks_with_one_pool_hold_the_same_bytes_once_and_change_apart() -> None:
    pool: dict[bytes, bytes] = {}
    disks = [MemoryKv(pool=pool) for _ in range(2)]
    for kv in [*disks, disks[0].clone()]:
        with kv.write() as txn:
            txn.put(Table.LOG, bytes(bytearray(b"key")), bytes(bytearray(b"value")))
    (first, second) = (rows(kv)[0] for kv in disks)
    assert first[0] is second[0]
    assert first[1] is second[1]
    with disks[0].write() as txn:
        txn.delete(Table.LOG, b"key")
    assert rows(disks[0]) == []
    assert rows(disks[1]) == [(b"key", b"value")]


def test_table_that_keeps_nothing_stays_empty_in_clones_too() -> None:
    kv = MemoryKv(without=[Table.PEERS])
    for disk in (kv, kv.clone()):
        with disk.write() as txn:
            txn.put(Table.PEERS, b"a", b"1")
            txn.put(Table.LOG, b"a", b"1")
        assert rows(disk, Table.PEERS) == []
        assert rows(disk) == [(b"a", b"1")]
