"""The disks of simulated devices: in memory, which is fast, or a real LMDB environment, which is what devices have.

A real disk is not synced: a simulated crash is a transaction that is abandoned, not a machine that loses power. Both
behave alike, so a seed gives the same run on either.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from hcom_replica.store.kv import Kv, ReadTxn, WriteTxn
from hcom_replica.store.lmdb_kv import LmdbKv
from hcom_replica.store.memory_kv import Fault, Moment


class Disk(Kv, Protocol):
    """A store that can be told to fail, and copied.

    Attributes:
        fault: called at each `Moment` of each write transaction; raises to strike.
    """

    fault: Fault | None

    def clone(self) -> Disk:
        """Return an independent copy, as a backup or a cloned disk is."""


class RealDisks:
    """Makes real disks in a folder. A context manager: at its end they are given back.

    Args:
        folder: of the caller; deleted by it when the world has ended.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[RealDisk] = []

    def __call__(self, like: Path | None = None) -> RealDisk:
        """Make a disk: an empty one, or a copy of the folder of another."""
        disk = RealDisk(self, self._folder / f"disk-{len(self._made)}", like)
        self._made.append(disk)
        return disk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for disk in self._made:
            disk.discard()


class RealDisk:
    """An LMDB environment, for one thread.

    Args:
        disks: makes its clones.
        path: its folder; must not exist.
        like: copied from this folder; None for an empty one.
    """

    def __init__(self, disks: RealDisks, path: Path, like: Path | None) -> None:
        self.fault: Fault | None = None
        self._disks = disks
        self._path = path
        if like is not None:
            self._path.mkdir(mode=0o700)
            shutil.copy(like / "data.mdb", self._path)
        self._kv = LmdbKv(self._path, sync=False)

    @property
    def durable(self) -> bool:
        """True: what a crash of the process leaves is all there is to lose in a simulation."""
        return True

    def clone(self) -> RealDisk:
        """Copy the environment; nothing may be writing."""
        return self._disks(self._path)

    def read(self) -> AbstractContextManager[ReadTxn]:
        """Open a read transaction."""
        return self._kv.read()

    @contextmanager
    def write(self) -> Iterator[WriteTxn]:
        """Open a write transaction; the fault is called around its commit."""
        with self._kv.write() as txn:
            yield txn
            self._strike(Moment.BEFORE_COMMIT)
        self._strike(Moment.AFTER_COMMIT)

    def _strike(self, moment: Moment) -> None:
        if self.fault is not None:
            self.fault(moment)

    def last_txn(self) -> int:
        """Return the number of the newest commit."""
        return self._kv.last_txn()

    def sync_now(self) -> None:
        """Do nothing."""

    def check_readers(self) -> int:
        """Return 0: no reader dies here."""
        return 0

    def close(self) -> None:
        """Do nothing: a simulated device opens the same disk again after its crash."""

    def discard(self) -> None:
        """Give the environment back; the disk is used no more."""
        self._kv.close()
