"""The port on LMDB: what processes use. The only module that imports lmdb.

Owns the environment's options, the one environment per folder and process, and the translation of lmdb's exceptions.
Must never let one escape, use an environment after a fork, or hold a read transaction while the map changes.

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

import errno
import os
import resource
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import lmdb

from hcom_replica.errors import StoreCorrupt, StoreError, StoreFull
from hcom_replica.limits import MAP_BYTES, MIB
from hcom_replica.store.filesystem import refuse_network_filesystem
from hcom_replica.store.kv import Item, Table
from hcom_replica.store.writer_lock import WriterLock

READERS_MAX: Final = 512
_MAP_BYTES_MIN: Final = 64 * MIB
_READERS_GONE_S: Final = 5.0
_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_ROOM_BYTES_MIN: Final = 16 * MIB
_DENIED: Final = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))


class LmdbKv:
    """The tables in `folder`. Opening it again in one process shares the environment; close each one.

    Args:
        folder: the environment's folder; made with mode 0700 when absent. Its parent must exist.
        sync: make every commit durable before it returns.
        readonly: for a process that only reads a log that exists: opening does not wait for a writer, as it does
            otherwise.
        map_bytes: size of the map; halved until the address space has room for it.

    Raises:
        StoreError: not usable: a network filesystem, no permission, another format of file.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        sync: bool = True,
        readonly: bool = False,
        map_bytes: int = MAP_BYTES,
    ) -> None:
        options = _Options(sync, readonly, map_bytes)
        self._shared: _Environment | None = _environment(os.path.realpath(folder), options)

    @property
    def durable(self) -> bool:
        """Whether a commit is on disk when `write` returns."""
        return self._env.options.sync

    def read(self) -> LmdbTxn:
        """Open a read transaction. The thread that opened it must end it."""
        return LmdbTxn(self._env, write=False)

    def write(self) -> LmdbTxn:
        """Wait for the writers' lock (a signal handler may end the wait by raising) and open a write transaction."""
        return LmdbTxn(self._env, write=True)

    def last_txn(self) -> int:
        """Return the number of the newest commit that a reader who begins now sees, whichever process made it.

        Not the environment's own number: that is ahead of what readers see while a commit is still reaching the disk,
        so whoever looks for a change would take it for seen without having seen it.
        """
        with self.read() as txn:
            return txn.number

    def sync_now(self) -> None:
        """Force all commits to disk."""
        self._env.call(lambda env: env.sync(force=True))

    def check_readers(self) -> int:
        """Clear the slots of readers that were killed: each one keeps freed pages from being used again."""
        return self._env.call(lambda env: env.reader_check())

    def close(self) -> None:
        """Give the environment back; the last one to do so in the process closes it."""
        shared, self._shared = self._shared, None
        if shared is not None:
            _give_back(shared)

    @property
    def _env(self) -> _Environment:
        if self._shared is None:
            raise StoreError("the log is closed")
        if self._shared.pid != os.getpid():
            raise StoreError("the log was opened before a fork", hint="open it again in the child process")
        return self._shared


class _Options(NamedTuple):
    sync: bool
    readonly: bool
    map_bytes: int


class _Environment:
    """One lmdb environment, shared by all LmdbKv of its folder in this process."""

    def __init__(self, folder: str, options: _Options) -> None:
        self.folder = folder
        self.options = options
        self.pid = os.getpid()
        self.users = 0
        self.grow = False
        self.lock: WriterLock | None = None
        self._idle = threading.Condition()
        self._readers = 0
        refuse_network_filesystem(str(Path(folder).parent))
        if not options.readonly:
            self.lock = _make_folder(folder)
        try:
            self.env = _open(folder, options)
        except lmdb.Error as error:
            self._unlock_for_good()
            raise translated(error, folder) from error
        try:
            self.map_bytes = self.env.info()["map_size"]
            self.tables = self._open_tables()
            self.env.reader_check()
        except lmdb.Error as error:
            self.close()
            raise translated(error, folder) from error
        except BaseException:
            self.close()
            raise

    def call(self, action: Callable[[lmdb.Environment], object]) -> int:
        """Run something on the environment, with its errors translated; returns its number, or 0."""
        try:
            result = action(self.env)
        except lmdb.Error as error:
            raise translated(error, self.folder) from error
        return result if isinstance(result, int) else 0

    def begin_read(self) -> lmdb.Transaction[bytes]:
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
        with self._idle:
            self._readers -= 1
            if self._readers == 0:
                self._idle.notify_all()

    def begin_write(self) -> lmdb.Transaction[bytes]:
        if self.lock is None:
            raise StoreError("this log was opened for reading only")
        self.lock.acquire()
        try:
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
        if self.lock is not None:
            self.lock.release()

    def close(self) -> None:
        self.env.close()
        self._unlock_for_good()

    def _unlock_for_good(self) -> None:
        if self.lock is not None:
            self.lock.close()

    def _open_tables(self) -> dict[Table, lmdb._Database]:
        if self.lock is None:
            return {table: self.env.open_db(table.encode(), create=False) for table in Table}
        self.lock.acquire()
        try:
            with self.env.begin(write=True) as txn:
                return {table: self.env.open_db(table.encode(), txn=txn) for table in Table}
        finally:
            self.lock.release()

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
            if not self._idle.wait_for(lambda: self._readers <= readers, _READERS_GONE_S):
                raise StoreFull("the map must grow, but a read transaction is open in this process")
            self.env.set_mapsize(size)
            self.map_bytes = self.env.info()["map_size"]


class LmdbTxn:
    """A transaction. Cursors for bulk writes are kept per table for its length."""

    def __init__(self, shared: _Environment, *, write: bool) -> None:
        self._shared = shared
        self._write = write
        self._txn: lmdb.Transaction[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._txn = self._shared.begin_write() if self._write else self._shared.begin_read()
        except lmdb.Error as error:
            raise translated(error, self._shared.folder) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        txn, self._txn = self._live, None
        try:
            if self._write and kind is None:
                txn.commit()
            else:
                txn.abort()
        except lmdb.Error as failed:
            raise self._translated(failed) from failed
        finally:
            if self._write:
                self._shared.end_write()
            else:
                self._shared.end_read()

    @property
    def number(self) -> int:
        """The number of the commit that a read transaction sees."""
        return self._live.id()

    def get(self, table: Table, key: bytes) -> bytes | None:
        """See ReadTxn."""
        try:
            return self._live.get(key, db=self._shared.tables[table])
        except lmdb.Error as error:
            raise self._translated(error) from error

    def get_many(self, table: Table, keys: Sequence[bytes]) -> list[bytes]:
        """See ReadTxn."""
        txn, db = self._live, self._shared.tables[table]
        try:
            values = [txn.get(key, db=db) for key in keys]
        except lmdb.Error as error:
            raise self._translated(error) from error
        found = [value for value in values if value is not None]
        if len(found) != len(values):
            raise StoreCorrupt(f"table {table}: key {keys[values.index(None)].hex()} is missing")
        return found

    def scan(
        self, table: Table, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Item]:
        """See ReadTxn."""
        try:
            cursor = self._live.cursor(self._shared.tables[table])
            yield from _descend(cursor, start, stop) if reverse else _ascend(cursor, start, stop)
        except lmdb.Error as error:
            raise self._translated(error) from error

    def last(self, table: Table) -> Item | None:
        """See ReadTxn."""
        try:
            cursor = self._live.cursor(self._shared.tables[table])
            return cursor.item() if cursor.last() else None
        except lmdb.Error as error:
            raise self._translated(error) from error

    def count(self, table: Table) -> int:
        """See ReadTxn."""
        try:
            return self._live.stat(self._shared.tables[table])["entries"]
        except lmdb.Error as error:
            raise self._translated(error) from error

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """See WriteTxn."""
        try:
            self._live.put(key, value, db=self._shared.tables[table])
        except lmdb.Error as error:
            raise self._translated(error) from error

    def put_many(self, table: Table, items: Sequence[Item], *, append: bool = False) -> None:
        """See WriteTxn."""
        if not items:
            return
        try:
            cursor = self._live.cursor(self._shared.tables[table])
            _, added = cursor.putmulti(items, append=append)
        except lmdb.Error as error:
            raise self._translated(error) from error
        if append and added != len(items):
            raise StoreError(f"table {table}: rows do not ascend")

    def delete(self, table: Table, key: bytes) -> bool:
        """See WriteTxn."""
        try:
            return self._live.delete(key, db=self._shared.tables[table])
        except lmdb.Error as error:
            raise self._translated(error) from error

    @property
    def _live(self) -> lmdb.Transaction[bytes]:
        if self._txn is None:
            raise StoreError("the transaction is closed")
        return self._txn

    def _translated(self, error: lmdb.Error) -> StoreError:
        if isinstance(error, lmdb.MapFullError):
            self._shared.grow = True
        return translated(error, self._shared.folder)


def _ascend(cursor: lmdb.Cursor[bytes], start: bytes, stop: bytes | None) -> Iterator[Item]:
    if not cursor.set_range(start):
        return
    if stop is None:
        yield from cursor.iternext()
        return
    for item in cursor.iternext():
        if item[0] >= stop:
            return
        yield item


def _descend(cursor: lmdb.Cursor[bytes], start: bytes, stop: bytes | None) -> Iterator[Item]:
    found = cursor.last() if stop is None or not cursor.set_range(stop) else cursor.prev()
    if not found:
        return
    for item in cursor.iterprev():
        if item[0] < start:
            return
        yield item


# --- environments of this process ------------------------------------------------------------------------

_environments: dict[tuple[int, str], _Environment] = {}
_registry = threading.Lock()


def _environment(folder: str, options: _Options) -> _Environment:
    key = (os.getpid(), folder)
    with _registry:
        shared = _environments.get(key)
        if shared is None:
            shared = _environments[key] = _Environment(folder, options)
        elif not options.readonly and shared.options[:2] != options[:2]:
            raise StoreError(f"{folder} is already open in this process with other options")
        shared.users += 1
        return shared


def _give_back(shared: _Environment) -> None:
    with _registry:
        shared.users -= 1
        if shared.users == 0 and shared.pid == os.getpid():
            del _environments[shared.pid, shared.folder]
            shared.close()


def _make_folder(folder: str) -> WriterLock:
    try:
        Path(folder).mkdir(mode=0o700, exist_ok=True)
        return WriterLock(folder)
    except OSError as error:
        raise _os_error(error, folder) from error


def _open(folder: str, options: _Options) -> lmdb.Environment:
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
                mode=0o700,
                max_readers=READERS_MAX,
                max_dbs=len(Table),
                lib_version=0,
            )
        except lmdb.MemoryError:
            size //= 2
            if size < _MAP_BYTES_MIN:
                raise


# --- errors ----------------------------------------------------------------------------------------------


def translated(error: lmdb.Error, folder: str) -> StoreError:
    """Turn an exception of lmdb into ours."""
    if isinstance(error, lmdb.MapFullError):
        return StoreFull("the map of the log is full", hint="try again: it grows before the next write")
    if error.code in _FULL or (error.code == errno.EIO and _looks_full(folder)):
        return StoreFull(f"the disk under {folder} is full", hint="make room; nothing acknowledged was lost")
    if error.code == errno.ENOENT or isinstance(error, lmdb.NotFoundError):
        return StoreError(
            f"there is no log in {folder}", hint="make one with: hcom-replica relay new, or relay connect"
        )
    if error.code in _DENIED:
        return StoreError(f"cannot write in {folder}: {error.reason}", hint="check its owner and its mode (0700)")
    for kind, make, message, hint in _TRANSLATIONS:
        if isinstance(error, kind):
            return make(f"{message}: {folder}", hint=hint)
    return StoreError(f"the log in {folder} failed: {error}", hint="check the disk, its quota and the system's log")


_TRANSLATIONS: Final[tuple[tuple[type[lmdb.Error], type[StoreError], str, str], ...]] = (
    (lmdb.CorruptedError, StoreCorrupt, "the file of the log is damaged", "copy the folder before anything else"),
    (lmdb.PageNotFoundError, StoreCorrupt, "the file of the log is damaged", "copy the folder before anything else"),
    (lmdb.InvalidError, StoreError, "not a log of this program", ""),
    (lmdb.VersionMismatchError, StoreError, "not a log of this program", ""),
    (lmdb.ReadersFullError, StoreError, "too many processes read this log at once", "end some of them"),
    (lmdb.PanicError, StoreError, "an earlier write to the disk failed", "check the disk, then start again"),
)


def _looks_full(folder: str) -> bool:
    """Guess what an I/O error was: LMDB says EIO, too, when the system took only a part of a write for want of room."""
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return room.f_bavail * room.f_frsize < _ROOM_BYTES_MIN or limit != resource.RLIM_INFINITY


def _os_error(error: OSError, folder: str) -> StoreError:
    if error.errno in _FULL:
        return StoreFull(f"the disk under {folder} is full", hint="make room")
    return StoreError(f"cannot use {folder}: {error.strerror}", hint="check its owner and its mode (0700)")
