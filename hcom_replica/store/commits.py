"""The table `commits`: which are kept, finding them, and c at any held seq (storage-v1 T2.4).

Keeps what T2.4 promises: between two neighbours that are kept (the base counts as one) there are at most 256 events and
48 KiB, or one event. So a run between two of them can be served, and verified, whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise
from typing import NamedTuple

from hcom_replica.core.chain import walk
from hcom_replica.core.origin import CommitRow, OriginState
from hcom_replica.limits import COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX
from hcom_replica.store.kv import ReadTxn, Table, WriteTxn
from hcom_replica.store.schema import ANCHOR, number, origin_end, pack_commit, seq_key, unpack_commit
from hcom_replica.wire.event import encoded_bytes


class Point(NamedTuple):
    """A place in an origin's chain: c and cumulative bytes at seq."""

    seq: int
    tip: bytes
    cum: int


def servable(start: Point, end: CommitRow) -> bool:
    """Tell whether the events between two places may be under one commit (P4.3)."""
    return _within_bounds(start, end) or end.seq - start.seq == 1


def add_commits(txn: WriteTxn, held: OriginState, rows: Sequence[CommitRow]) -> None:
    """Store commits behind the newest one kept, leaving out those that the bounds do not ask for.

    Args:
        txn: the transaction.
        held: the origin's state; none of its kept commits is at or above rows[0].
        rows: ascending, verified, one or more.
    """
    above_base, end = seq_key(held.id, held.base + 1), origin_end(held.id)
    newest = [unpack_commit(*item) for item in islice(txn.scan(Table.COMMITS, above_base, end, reverse=True), 2)]
    start = _point(newest[1]) if len(newest) > 1 else base_point(txn, held)
    if newest and _within_bounds(start, rows[0]):
        txn.delete(Table.COMMITS, seq_key(held.id, newest[0].seq))
    elif newest:
        start = _point(newest[0])
    txn.put_many(Table.COMMITS, [(seq_key(held.id, row.seq), pack_commit(row)) for row in thinned(start, rows)])


def thinned(start: Point, rows: Sequence[CommitRow]) -> list[CommitRow]:
    """Return those of `rows` to keep behind `start`: as few as the bounds allow, and the last."""
    kept: list[CommitRow] = []
    for row, following in pairwise(rows):
        if not _within_bounds(start, following):
            kept.append(row)
            start = _point(row)
    return [*kept, rows[-1]]


def _within_bounds(start: Point, end: CommitRow) -> bool:
    return end.seq - start.seq <= COMMIT_EVENTS_MAX and end.cum - start.cum <= COMMIT_BYTES_MAX


def _point(row: CommitRow) -> Point:
    return Point(row.seq, row.tip, row.cum)


def commit_below(txn: ReadTxn, state: OriginState, seq: int) -> CommitRow | None:
    """Return the kept commit with the highest seq that is at most `seq`; None when there is none above the base."""
    start, stop = seq_key(state.id, state.base + 1), seq_key(state.id, seq + 1)
    for key, value in txn.scan(Table.COMMITS, start, stop, reverse=True):
        return unpack_commit(key, value)
    return None


def commits_from(txn: ReadTxn, state: OriginState, seq: int) -> list[CommitRow]:
    """Return the kept commits at or above `seq`, ascending."""
    return [
        unpack_commit(key, value)
        for key, value in txn.scan(Table.COMMITS, seq_key(state.id, seq), origin_end(state.id))
    ]


def base_point(txn: ReadTxn, state: OriginState) -> Point:
    """Return the place from which an origin's chain starts: its hash, or where it was forked off."""
    if not state.forks:
        return Point(0, state.hash, 0)
    key = seq_key(state.id, state.base)
    (value,) = txn.get_many(Table.COMMITS, [key])
    anchor = unpack_commit(key, value)
    return _point(anchor)


def write_anchor(txn: WriteTxn, state: OriginState) -> None:
    """Keep the place at a derived origin's base; `state` is its state with nothing held."""
    row = CommitRow(state.base, state.hlc, state.cum, state.tip, ANCHOR)
    txn.put(Table.COMMITS, seq_key(state.id, state.base), pack_commit(row))


def point_at(txn: ReadTxn, state: OriginState, seq: int) -> Point:
    """Return the place at a held seq (the base included), recomputed from the kept commit at or below it.

    Raises:
        StoreCorrupt: rows are missing.
    """
    if seq == state.seq:
        return Point(seq, state.tip, state.cum)
    row = commit_below(txn, state, seq)
    start = base_point(txn, state) if row is None else _point(row)
    if start.seq == seq:
        return start
    records = read_records(txn, state, start.seq + 1, seq)
    return Point(seq, walk(start.tip, records), start.cum + encoded_bytes(records))


def read_records(txn: ReadTxn, state: OriginState, first: int, last: int) -> list[bytes]:
    """Return the records of the held seqs from `first` to `last`.

    Raises:
        StoreCorrupt: rows are missing.
    """
    origin = state.id
    seqs = [origin + seq.to_bytes(8, "big") for seq in range(first, last + 1)]
    times = txn.get_many(Table.INDEX, seqs)
    return [value[8:] for value in txn.get_many(Table.LOG, [time + origin for time in times])]


def hlc_at(txn: ReadTxn, state: OriginState, seq: int) -> int:
    """Return the hlc of a held event; 0 below seq 1.

    Raises:
        StoreCorrupt: its row is missing.
    """
    if seq <= state.base:
        anchor = txn.get(Table.COMMITS, seq_key(state.id, seq)) if state.forks else None
        return number(anchor[:8]) if anchor is not None else 0
    (time,) = txn.get_many(Table.INDEX, [seq_key(state.id, seq)])
    return number(time)
