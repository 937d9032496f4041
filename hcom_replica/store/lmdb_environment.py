"""The one LMDB environment of a folder and process: how it is opened, shared, grown and closed.

Owns the environment's options, its map and the count of its users and readers. Must never hold a read transaction while
the map changes, nor open a folder twice in one process: LMDB's locks would not hold.

Whoever only reads waits for nobody: while another process writes, be it stopped in the middle of that, a log is opened
for reading, and once more when something is to be written to it.

Options and why:
- map of 1 TiB from the start: sparse, it costs addresses only, so that growing (which every process would have to
  follow) is the exception of systems with limited addresses.
- writemap off: the file stays as large as its content, and a full disk is an error code instead of a SIGBUS.
- metasync on: acknowledged means that this very commit is found after a power cut.
- sync off (a choice of the user) is MDB_NOSYNC: a power cut may lose the last commits, a crash of the program nothing.
- 512 readers: each open read transaction of each process takes one of LMDB's slots; its default of 126 is little for
  many followers.
- lib_version 0: py-lmdb 3 bundles two engines that cannot read each other's files.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import lmdb

from hcom_replica.errors import StoreError, StoreFull
from hcom_replica.limits import MAP_BYTES, MIB
from hcom_replica.store.filesystem import refuse_network_filesystem
from hcom_replica.store.kv import Table
from hcom_replica.store.lmdb_errors import os_error, translated
from hcom_replica.store.writer_lock import WriterLock

READERS_MAX: Final = 512
_MAP_BYTES_MIN: Final = 64 * MIB
_READERS_GONE_S: Final = 5.0


class Options(NamedTuple):
    """How to open an environment; see `LmdbKv` for what each means."""

    sync: bool
    readonly: bool
    map_bytes: int


class Environment:
    """One lmdb environment, shared by all LmdbKv of its folder in this process; `borrow` makes it.

    Args:
        folder: where it lies, without symbolic links; made with mode 0700 when absent.
        options: see there.

    Attributes:
        folder, options: see Args.
        pid: the process that opened it, the only one that may use it.
        users: how many have borrowed it and not given it back.
        grow: a write found the map full: it is doubled before the next one.
        tables: lmdb's handles.

    Raises:
        StoreError: not usable; nothing is left open.
    """

    def __init__(self, folder: str, options: Options) -> None:
        self.folder = folder
        self.options = options
        self.pid = os.getpid()
        self.users = 0
        self.grow = False
        self.lock: WriterLock | None = None
        self._idle = threading.Condition()
        self._readers = 0
        self._beside = False
        refuse_network_filesystem(str(Path(folder).parent))
        if not options.readonly:
            self.lock = _make_folder(folder)
        try:
            self._open()
        except lmdb.Error as error:
            self._unlock_for_good()
            raise translated(error, folder) from error
        except BaseException:
            self._unlock_for_good()
            raise

    def _open(self) -> None:
        if self.lock is None:
            self._open_for_reading()
        elif self.lock.try_acquire():
            self._open_with_lock()
        elif not self._open_beside():
            self.lock.acquire()
            self._open_with_lock()

    def _open_beside(self) -> bool:
        """Open for reading while another writes; False, with nothing open, where a table is still to be made."""
        with suppress(lmdb.Error):
            self._open_for_reading()
            self._beside = len(self.tables) == len(Table)
            if not self._beside:
                self.env.close()
        return self._beside

    def _open_for_reading(self) -> None:
        self._use(_open(self.folder, self.options._replace(readonly=True)), self._existing_tables)

    def _open_with_lock(self) -> None:
        """Open for writing, and give back the writers' lock, which is held."""
        try:
            self._use(_open(self.folder, self.options), self._all_tables)
        finally:
            self.end_write()

    def _use(self, env: lmdb.Environment, tables: Callable[[], Iterator[tuple[Table, lmdb._Database]]]) -> None:
        self.env = env
        try:
            self.map_bytes = env.info()["map_size"]
            self.tables = dict(tables())
            env.reader_check()
        except BaseException:
            env.close()
            raise

    def call(self, action: Callable[[lmdb.Environment], object]) -> int:
        """Run something on the environment, with its errors translated; returns its number, or 0."""
        with self._idle:
            self._readers += 1
        try:
            result = action(self.env)
        except lmdb.Error as error:
            raise translated(error, self.folder) from error
        finally:
            self.end_read()
        return result if isinstance(result, int) else 0

    def begin_read(self) -> lmdb.Transaction[bytes]:
        """Begin a read transaction, following a map that another process has made larger; `end_read` follows its end.

        Raises:
            lmdb.Error: it did not begin; there is nothing to end.
            StoreFull: the map must follow, but another read transaction is open for too long; nor here.
        """
        with self._idle:
            self._readers += 1
        try:
            try:
                return self.env.begin()
            except lmdb.MapResizedError:
                self._resize(0, readers=1)
                return self.env.begin()
        except BaseException:
            self.end_read()
            raise

    def end_read(self) -> None:
        """A read transaction has ended: the map may change when it was the last."""
        with self._idle:
            self._readers -= 1
            if self._readers == 0:
                self._idle.notify_all()

    def begin_write(self) -> lmdb.Transaction[bytes]:
        """Wait for the writers' lock and begin a write transaction; `end_write` follows its end.

        Raises:
            lmdb.Error: it did not begin; the lock was given back.
            StoreError: opened for reading only, or the map cannot grow; the lock is not held.
        """
        if self.lock is None:
            raise StoreError("this log was opened for reading only")
        self.lock.acquire()
        try:
            if self._beside:
                self._open_again()
            if self.map_bytes < MAP_BYTES:
                self._make_room()
            try:
                return self.env.begin(write=True)
            except lmdb.MapResizedError:
                self._resize(0, readers=0)
                return self.env.begin(write=True)
        except BaseException:
            self.lock.release()
            raise

    def end_write(self) -> None:
        """Give the writers' lock back, after the transaction's end."""
        if self.lock is not None:
            self.lock.release()

    def close(self) -> None:
        """Close the environment and its lock; no transaction may be open."""
        self.env.close()
        self._unlock_for_good()

    def _unlock_for_good(self) -> None:
        if self.lock is not None:
            self.lock.close()

    def _open_again(self) -> None:
        """What was opened beside a writer is to be written to: the lock is held now."""
        with self._idle:
            self._wait_for_readers(0)
            self.env.close()
            self._use(_open(self.folder, self.options), self._all_tables)
            self._beside = False

    def _all_tables(self) -> Iterator[tuple[Table, lmdb._Database]]:
        """Those that a log is to have, made where they are not there; the writers' lock is held."""
        with self.env.begin(write=True) as txn:
            for table in Table:
                yield table, self.env.open_db(table.encode(), txn=txn)

    def _existing_tables(self) -> Iterator[tuple[Table, lmdb._Database]]:
        """Those of a log that is only read: one that an earlier version wrote may lack the newest tables."""
        for table in Table:
            with suppress(lmdb.NotFoundError):
                yield table, self.env.open_db(table.encode(), create=False)

    def _make_room(self) -> None:
        """Double a map that is half full, or was found full: where addresses did not allow the full size."""
        info = self.env.info()
        used = (info["last_pgno"] + 1) * self.env.stat()["psize"]
        if self.grow or used * 2 > info["map_size"]:
            self._resize(info["map_size"] * 2, readers=0)
            self.grow = False

    def _resize(self, size: int, *, readers: int) -> None:
        """Set the map's size (0: what another process made it) once no other read transaction of this process lives."""
        with self._idle:
            self._wait_for_readers(readers)
            self.env.set_mapsize(size)
            self.map_bytes = self.env.info()["map_size"]

    def _wait_for_readers(self, readers: int) -> None:
        if not self._idle.wait_for(lambda: self._readers <= readers, _READERS_GONE_S):
            raise StoreFull("the map must change, but a read transaction is open in this process")


def _make_folder(folder: str) -> WriterLock:
    try:
        Path(folder).mkdir(mode=0o700, exist_ok=True)
        return WriterLock(folder)
    except OSError as error:
        raise os_error(error, folder) from error


def _open(folder: str, options: Options) -> lmdb.Environment:
    """Open with the largest map, from `map_bytes` down by halves, that the address space has room for."""
    size = options.map_bytes
    while True:
        try:
            return lmdb.open(
                folder,
                map_size=size,
                sync=options.sync,
                readonly=options.readonly,
                create=False,
                mode=0o600,  # of the files; the folder was made above
                max_readers=READERS_MAX,
                max_dbs=len(Table),
                lib_version=0,
            )
        except lmdb.MemoryError:
            size //= 2
            if size < _MAP_BYTES_MIN:
                raise


_environments: dict[tuple[int, str], Environment] = {}
_registry = threading.Lock()


def borrow(folder: str, options: Options) -> Environment:
    """The environment of a folder in this process, opened when nobody uses it yet; `give_back` it.

    Raises:
        StoreError: it cannot be opened, or is open with other options; nothing was borrowed.
    """
    key = (os.getpid(), folder)
    with _registry:
        shared = _environments.get(key)
        if shared is None:
            shared = _environments[key] = Environment(folder, options)
        elif not options.readonly and shared.options[:2] != options[:2]:
            raise StoreError(f"{folder} is already open in this process with other options")
        shared.users += 1
        return shared


def give_back(shared: Environment) -> None:
    """End one use; the last one closes the environment. In a forked child nothing happens."""
    with _registry:
        shared.users -= 1
        if shared.users == 0 and shared.pid == os.getpid():
            del _environments[shared.pid, shared.folder]
            shared.close()
