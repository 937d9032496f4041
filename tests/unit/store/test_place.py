"""Where a log lies, on the filesystem of whoever runs the tests (storage-v1 T7.1)."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from pathlib import Path

import pytest

from hcom_replica.core.continuity import Place, same_place
from hcom_replica.store.lmdb_kv import LmdbKv
from hcom_replica.store.place import DATA_FILE, place_of


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The folder of a log."""
    LmdbKv(tmp_path / "log").close()
    return tmp_path / "log"


def test_place_stays_when_the_log_is_written_touched_or_moved(log: Path) -> None:
    before = place_of(log)
    assert before.inode
    kv = LmdbKv(log)
    kv.sync_now()
    kv.close()
    os.utime(log / DATA_FILE, (1, 1))
    (log / DATA_FILE).chmod(0o640)
    moved = log.parent / "moved"
    log.rename(moved)
    assert same_place(before, place_of(moved))


@pytest.mark.parametrize("keep", [True, False], ids=["beside the original", "in place of the original"])
def test_place_of_a_copy_is_another(log: Path, keep: bool) -> None:
    """A copy with all times kept; ext4 gives the inode of a deleted file to the next one."""
    before = place_of(log)
    copy = log.parent / "copy"
    shutil.copytree(log, copy, copy_function=shutil.copy2)
    if not keep:
        shutil.rmtree(log)
        shutil.copytree(copy, log, copy_function=shutil.copy2)
        if not before.born_ns and place_of(log).inode == before.inode:
            pytest.skip("this filesystem knows no births, and has given the same inode again")
    assert not same_place(before, place_of(copy if keep else log))


def test_place_of_nothing_is_unknown(tmp_path: Path) -> None:
    assert place_of(tmp_path) == Place(0, 0)


def test_place_without_statx_has_no_birth(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert place_of(log) == Place((log / DATA_FILE).stat().st_ino, 0)


def test_place_on_macos_goes_by_the_inode_alone(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert place_of(log).born_ns == 0
