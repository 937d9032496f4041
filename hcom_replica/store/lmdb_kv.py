"""The port on LMDB: what processes use.

Must never use an environment after a fork: the child would share the parent's locks.
"""

from __future__ import annotations

import os

from hcom_replica.errors import StoreError
from hcom_replica.limits import MAP_BYTES
from hcom_replica.store.lmdb_environment import Environment, Options, borrow, give_back
from hcom_replica.store.lmdb_txn import LmdbTxn


class LmdbKv:
    """The tables in `folder`. Opening it again in one process shares the environment; close each one.

    Args:
        folder: the environment's folder; made with mode 0700 when absent. Its parent must exist.
        sync: make every commit durable before it returns.
        readonly: for a process that only reads a log that exists; nothing is made, and nothing can be written.
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
        options = Options(sync, readonly, map_bytes)
        self._shared: Environment | None = borrow(os.path.realpath(folder), options)

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
            give_back(shared)

    @property
    def _env(self) -> Environment:
        if self._shared is None:
            raise StoreError("the log is closed")
        if self._shared.pid != os.getpid():
            raise StoreError("the log was opened before a fork", hint="open it again in the child process")
        return self._shared
