"""The table `views`: what the views have folded, kept up to date by a cursor, and folded anew when it must be (T5.5).

A page of arrivals is folded in memory and written in one transaction together with the cursor: each event counts once,
and a process that dies loses a page of work. A redaction takes bodies away that were folded before, and a fork moves
events: both are told by their number, and the views begin anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from hcom_replica.core.crdt import agents, shared
from hcom_replica.core.origin import OriginState
from hcom_replica.errors import StoreCorrupt
from hcom_replica.ids import OriginId
from hcom_replica.store.arrivals import arrivals
from hcom_replica.store.kv import Kv, ReadTxn, Table, WriteTxn
from hcom_replica.store.meta import read_number, read_states
from hcom_replica.store.schema import Arrival, Meta
from hcom_replica.wire.event import decode_event

VERSION: Final = 2
"""Of what is kept: views of another version are folded anew."""

PAGE: Final = 20_000
_MARK: Final = b"\x00"

Progress = Callable[[int, int], None]


class _Mark(msgspec.Struct, array_like=True, frozen=True):
    """How far the views have come, and in which world: version, derived origins, redactions."""

    version: int
    forks: int
    redactions: int
    arrival: int


_decode_mark = msgspec.msgpack.Decoder(_Mark).decode


class StoredRows:
    """The rows of a transaction (`core.crdt.rows.Rows`), changes kept in memory until they are written.

    Args:
        txn: to read what is not changed.
        fresh: as if the table were empty.
    """

    def __init__(self, txn: ReadTxn, *, fresh: bool = False) -> None:
        self._txn = txn
        self._fresh = fresh
        self.changed: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """See Rows."""
        if key in self.changed:
            return self.changed[key]
        return None if self._fresh else self._txn.get(Table.VIEWS, key)

    def put(self, key: bytes, value: bytes) -> None:
        """See Rows."""
        self.changed[key] = value

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See Rows; of what is stored."""
        for key, value in self._txn.scan(Table.VIEWS, prefix):
            if not key.startswith(prefix):
                return
            yield key, value


@contextmanager
def open_views(kv: Kv, progress: Progress | None = None) -> Iterator[StoredRows]:
    """Bring the views up to date, and give their rows, of one state, for as long as the block lasts; see `catch_up`.

    Raises:
        StoreCorrupt: a row cannot be read; the next to open them folds all anew.
    """
    try:
        catch_up(kv, progress)
        with kv.read() as txn:
            yield StoredRows(txn)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        with kv.write() as writing:
            writing.delete(Table.VIEWS, _MARK)
        raise StoreCorrupt(f"a view cannot be read: {error}", hint="try again: they are folded anew") from error


def catch_up(kv: Kv, progress: Progress | None = None, page: int = PAGE) -> None:
    """Fold what has arrived since the last time.

    Args:
        kv: the log.
        progress: told how many arrivals of how many are folded.
        page: arrivals to a transaction.

    Raises:
        StoreError: a page could not be written; those before it stand.
    """
    while True:
        with kv.read() as txn:
            mark, total = _mark(txn), read_number(txn, Meta.ARRIVAL)
            due = _due(txn)
            fresh = mark is None or (mark.version, mark.forks, mark.redactions) != due
            reached = 0 if fresh or mark is None else mark.arrival
            if reached >= total and not fresh:
                return
            rows = StoredRows(txn, fresh=fresh)
            found = arrivals(txn, reached, page)
            _fold(rows, {state.id: state for state in read_states(txn)}, found)
        after = _Mark(*due, found[-1].number if found else reached)
        with kv.write() as writing:
            if _mark(writing) != mark or _due(writing) != due:
                continue  # another process was there first, or the world has changed: look again
            _write(writing, rows, after, fresh=fresh)
        if progress is not None:
            progress(after.arrival, total)


def _fold(rows: StoredRows, states: dict[OriginId, OriginState], found: list[Arrival]) -> None:
    for row in found:
        event = decode_event(row.event.record)
        state = states.get(row.event.origin)
        if state is not None:
            agents.fold(rows, state, row.event.seq, event)
        shared.fold(rows, event)


def _write(txn: WriteTxn, rows: StoredRows, mark: _Mark, *, fresh: bool) -> None:
    if fresh:
        for key in [key for key, _ in txn.scan(Table.VIEWS)]:
            txn.delete(Table.VIEWS, key)
    txn.put_many(Table.VIEWS, sorted(rows.changed.items()))
    txn.put(Table.VIEWS, _MARK, msgspec.msgpack.encode(mark))


def _mark(txn: ReadTxn) -> _Mark | None:
    value = txn.get(Table.VIEWS, _MARK)
    if value is None:
        return None
    try:
        return _decode_mark(value)
    except msgspec.DecodeError:
        return None  # then all is folded anew


def _due(txn: ReadTxn) -> tuple[int, int, int]:
    forks = sum(1 for state in read_states(txn) if state.forks)
    return VERSION, forks, txn.count(Table.REDACTIONS)
