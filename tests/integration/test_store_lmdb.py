"""What is LMDB's own: files, options, refusals, full disks, small maps."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import lmdb
import pytest

from hcom_replica.errors import StoreCorrupt, StoreError, StoreFormat, StoreFull
from hcom_replica.limits import MIB
from hcom_replica.store import filesystem
from hcom_replica.store.kv import Table
from hcom_replica.store.lmdb_kv import LmdbKv
from hcom_replica.store.log import Log
from hcom_replica.store.schema import Meta
from hcom_replica.store.writer_lock import WriterLock
from tests.unit.store.devices import GROUP, Device, check_log, send

ROOT = Path(__file__).resolve().parents[2]


def test_folder_and_files_are_private(tmp_path: Path) -> None:
    """T1.1"""
    LmdbKv(tmp_path / "log").close()
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o700
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in (tmp_path / "log").iterdir()}
    assert modes == {"data.mdb": 0o600, "lock.mdb": 0o600, "writer.lock": 0o600}


def test_map_is_sparse(tmp_path: Path) -> None:
    kv = LmdbKv(tmp_path / "log")
    assert kv.durable
    assert (tmp_path / "log" / "data.mdb").stat().st_size < MIB
    kv.close()


def test_open_twice_in_a_process_shares_one_environment(tmp_path: Path) -> None:
    """T1.3"""
    one, two = LmdbKv(tmp_path / "log"), LmdbKv(tmp_path / "." / "log")
    with one.write() as txn:
        txn.put(Table.META, b"x", b"y")
    one.close()
    one.close()
    with two.read() as reading:
        assert reading.get(Table.META, b"x") == b"y"
    with pytest.raises(StoreError, match="other options"):
        LmdbKv(tmp_path / "log", sync=False)
    two.close()
    with pytest.raises(StoreError, match="closed"):
        two.read()
    third = LmdbKv(tmp_path / "log", sync=False)
    assert not third.durable
    third.sync_now()
    third.close()


def test_same_history_on_disk_and_in_memory_gives_the_same_tables(tmp_path: Path) -> None:
    """T2.1: what is shown of one storage holds of the other"""
    memory, disk = Device("BOXE"), Device("BOXE", LmdbKv(tmp_path / "log"))
    for device in (memory, disk):
        peer = Device("NOVA")
        peer.emit("x", "y")
        device.emit(*(str(n) for n in range(300)))
        twin = Device("BOXE")
        twin.emit("other")
        send(peer, device)
        device.emit("z")
    with memory.kv.read() as one, disk.kv.read() as two:
        for table in Table:
            assert list(one.scan(table)) == list(two.scan(table))
    check_log(disk)
    disk.kv.close()


def test_event_of_the_largest_size_is_stored(tmp_path: Path) -> None:
    device = Device("BOXE", LmdbKv(tmp_path / "log"))
    device.emit("x" * (4 * MIB - 1024))
    assert len(device.bodies()[0]) == 4 * MIB - 1024
    check_log(device)
    device.kv.close()


def test_folder_of_a_newer_format_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    """T4.1"""
    kv = LmdbKv(tmp_path / "log")
    Log(kv, GROUP)
    with kv.write() as txn:
        txn.put(Table.META, Meta.FORMAT, (2).to_bytes(4, "big"))
    before = kv.last_txn()
    with pytest.raises(StoreFormat, match="newer"):
        Log(kv, GROUP)
    with kv.write() as txn:
        txn.put(Table.META, Meta.FORMAT, (1).to_bytes(4, "big"))
    with pytest.raises(StoreFormat, match="belongs"):
        Log(kv, bytes(16))
    assert kv.last_txn() == before + 1
    kv.close()


def test_folder_with_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "data.mdb").write_bytes(b"not a log" * 1000)
    with pytest.raises(StoreError, match="not a log"):
        LmdbKv(tmp_path / "log")


def test_folder_whose_parent_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        LmdbKv(tmp_path / "absent" / "log")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="owner"):
        LmdbKv(tmp_path / "log")


def test_readonly_without_a_log_is_refused_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no log"):
        LmdbKv(tmp_path / "log", readonly=True)
    (tmp_path / "log").mkdir()
    with pytest.raises(StoreError, match="no log"):
        LmdbKv(tmp_path / "log", readonly=True)
    assert list((tmp_path / "log").glob("data*")) == []


def test_readonly_reads_what_is_there(tmp_path: Path) -> None:
    device = Device("BOXE", LmdbKv(tmp_path / "log"))
    device.emit("a")
    device.kv.close()
    kv = LmdbKv(tmp_path / "log", readonly=True)
    assert Log(kv, GROUP).event_count() == 1
    with pytest.raises(StoreError, match="other options"):
        LmdbKv(tmp_path / "log")
    kv.close()


def test_folder_on_a_network_filesystem_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T1.2"""
    monkeypatch.setattr(filesystem, "network_filesystem", lambda path: "nfs4")
    with pytest.raises(StoreError, match="nfs4"):
        LmdbKv(tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_append_to_a_missing_row_is_corrupt(tmp_path: Path) -> None:
    kv = LmdbKv(tmp_path / "log")
    with kv.read() as txn, pytest.raises(StoreCorrupt):
        txn.get_many(Table.LOG, [b"absent"])
    kv.close()


def test_small_map_grows_and_a_transaction_larger_than_it_is_refused_whole(tmp_path: Path) -> None:
    kv = LmdbKv(tmp_path / "log", map_bytes=MIB)
    block = b"x" * (MIB // 8)
    with pytest.raises(StoreFull), kv.write() as txn:
        txn.put_many(Table.LOG, [(bytes([n]), block) for n in range(16)])
    with kv.read() as reading:
        assert reading.count(Table.LOG) == 0
    for n in range(64):
        with kv.write() as txn:
            txn.put(Table.LOG, bytes([n]), block)
    with kv.read() as reading:
        assert reading.count(Table.LOG) == 64
    kv.close()


def test_map_grown_by_another_process_is_followed(tmp_path: Path) -> None:
    kv = LmdbKv(tmp_path / "log", map_bytes=MIB)
    program = (
        "import sys; from hcom_replica.store.lmdb_kv import LmdbKv; from hcom_replica.store.kv import Table\n"
        "kv = LmdbKv(sys.argv[1])\n"
        "with kv.write() as txn: txn.put(Table.LOG, b'k', b'x' * (8 << 20))\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "log"], check=True, cwd=ROOT, timeout=60)
    with kv.read() as txn:
        assert txn.count(Table.LOG) == 1
    with kv.write() as txn:
        txn.put(Table.LOG, b"l", b"")
    kv.close()


def test_full_disk_loses_nothing_and_works_again_once_there_is_room(tmp_path: Path) -> None:
    """S1, T5.1"""
    device = Device("BOXE", LmdbKv(tmp_path / "log"))
    device.emit("a")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / "log" / "data.mdb").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 8192, hard))
    try:
        with pytest.raises(StoreFull):
            device.emit("x" * (2 * MIB))
        with pytest.raises(StoreFull):
            device.emit("x" * (2 * MIB))
        assert device.bodies() == ["a"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (name,) = device.emit("b")
    assert name.seq == 3
    assert device.bodies() == ["a", "b"]
    check_log(device)
    device.kv.close()
    with lmdb.open(str(tmp_path / "log"), max_dbs=16, lib_version=0) as env:
        assert env.stat()["entries"] == len(Table)


def test_writer_lock_orders_threads(tmp_path: Path) -> None:
    kv = LmdbKv(tmp_path / "log", sync=False)

    def count() -> None:
        for _ in range(50):
            with kv.write() as txn:
                value = int(txn.get(Table.META, b"n") or b"0")
                txn.put(Table.META, b"n", b"%d" % (value + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with kv.read() as txn:
        assert txn.get(Table.META, b"n") == b"200"
    kv.close()


def test_writer_lock_where_locks_are_not_robust_tells_of_a_killed_writer(tmp_path: Path) -> None:
    program = (
        "import os, sys; from hcom_replica.store.writer_lock import WriterLock\n"
        "lock = WriterLock(sys.argv[1], robust=False); lock.acquire(); os._exit(0)\n"
    )
    lock = WriterLock(str(tmp_path), robust=False)
    lock.acquire()
    lock.release()
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True, cwd=ROOT, timeout=60)
    with pytest.raises(StoreError, match="killed"):
        lock.acquire()
    with pytest.raises(StoreError, match="killed"):
        lock.acquire()
    lock.close()
    alone = WriterLock(str(tmp_path), robust=False)
    alone.acquire()
    alone.release()
    alone.close()
