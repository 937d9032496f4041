"""The table `peers`: the newest slot messages of others, so that status answers with no network."""

from __future__ import annotations

from collections.abc import Iterable

from hcom_replica.store.kv import ReadTxn, Table, WriteTxn
from hcom_replica.store.schema import PeerNote, pack_peer, unpack_peer


def note(txn: WriteTxn, notes: Iterable[PeerNote]) -> None:
    """Keep messages; each replaces the one of the same kind, author and page."""
    for item in notes:
        txn.put(Table.PEERS, *pack_peer(item))


def noted(txn: ReadTxn, kind: int | None = None) -> list[PeerNote]:
    """Return everything kept, or what is kept of one kind, by kind, author and page."""
    start, stop = (b"", None) if kind is None else (bytes([kind]), bytes([kind + 1]))
    return [unpack_peer(key, value) for key, value in txn.scan(Table.PEERS, start, stop)]
