"""Reading runs of whole commits, to be sent to others (protocol-v1 4.7)."""

from __future__ import annotations

from hcom_replica.core.origin import CommitRow, OriginState
from hcom_replica.core.reader import StoredRun
from hcom_replica.errors import StoreCorrupt
from hcom_replica.ids import OriginId
from hcom_replica.store.commits import Point, base_point, commit_below, read_records
from hcom_replica.store.kv import ReadTxn, Table
from hcom_replica.store.meta import read_state
from hcom_replica.store.schema import origin_end, seq_key, unpack_commit


def read_run(txn: ReadTxn, origin: OriginId, first: int, raw_bytes_max: int) -> StoredRun | None:
    """Read whole commits from the kept commit at or below first - 1 on.

    Returns:
        At least one commit, then as many more as keep within `raw_bytes_max` encoded bytes; None when nothing at or
        above `first` is held.

    Raises:
        StoreCorrupt: rows are missing.
    """
    state = read_state(txn, origin)
    if state is None or first > state.seq:
        return None
    below = commit_below(txn, state, first - 1)
    start = base_point(txn, state) if below is None else Point(below.seq, below.tip, below.cum)
    commits = _commits_within(txn, state, start, raw_bytes_max)
    records = read_records(txn, state, start.seq + 1, commits[-1].seq)
    return StoredRun(start.seq + 1, start.tip, start.cum, records, commits)


def read_behind(txn: ReadTxn, held: OriginState, raw_bytes_max: int) -> StoredRun | None:
    """Read whole commits behind an earlier state of an origin, at which no commit need be kept any more.

    Returns:
        As `read_run`.

    Raises:
        StoreCorrupt: rows are missing.
    """
    state = read_state(txn, held.id)
    if state is None or held.seq >= state.seq:
        return None
    commits = _commits_within(txn, state, Point(held.seq, held.tip, held.cum), raw_bytes_max)
    records = read_records(txn, state, held.seq + 1, commits[-1].seq)
    return StoredRun(held.seq + 1, held.tip, held.cum, records, commits)


def _commits_within(txn: ReadTxn, state: OriginState, start: Point, raw_bytes_max: int) -> list[CommitRow]:
    taken: list[CommitRow] = []
    for key, value in txn.scan(Table.COMMITS, seq_key(state.id, start.seq + 1), origin_end(state.id)):
        row = unpack_commit(key, value)
        if taken and row.cum - start.cum > raw_bytes_max:
            break
        taken.append(row)
    if not taken:
        raise StoreCorrupt(f"origin {state.id.hex()}: no commit above {start.seq}")
    return taken
