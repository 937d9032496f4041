"""Promises: up to where each origin has said to be complete, as far as its events are held (P13.5), and the own one.

The table `promises` keeps of each other origin the greatest promise that was ever of use: a newer head stands in
`peers` before the events that it speaks of are here, and what was promised before must not be forgotten meanwhile. The
own promise stands in `meta`, beside the HLC high water that makes it true.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hcom_replica.core.hlc import pack
from hcom_replica.core.origin import CommitRow, OriginState
from hcom_replica.core.reader import OwnTip
from hcom_replica.errors import ProtocolError, StoreCorrupt
from hcom_replica.ids import OriginId
from hcom_replica.store.commits import commit_below
from hcom_replica.store.kv import ReadTxn, Table, WriteTxn
from hcom_replica.store.meta import own_origin, read_number, read_state, write_number
from hcom_replica.store.peers import noted
from hcom_replica.store.schema import Meta, PeerNote, number, pack_peer, u64, unpack_peer
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import decode_head

_AUTHOR_BYTES = 32 + 12


def keep(txn: WriteTxn, notes: Iterable[PeerNote]) -> None:
    """Keep the promises of the heads that are about to be replaced by `notes`."""
    for note in notes:
        if note[0] == Kind.HEAD:
            key, _ = pack_peer(note)
            before = txn.get(Table.PEERS, key)
            for origin, promise in _usable(txn, [unpack_peer(key, before)] if before is not None else []):
                if promise > number(txn.get(Table.PROMISES, origin) or b""):
                    txn.put(Table.PROMISES, origin, u64(promise))


def promises(txn: ReadTxn) -> dict[OriginId, int]:
    """Origin -> nothing of it behind what is held has an hlc at or below that; the own one included."""
    found = {OriginId(key): number(value) for key, value in txn.scan(Table.PROMISES)}
    for origin, promise in _usable(txn, noted(txn, Kind.HEAD)):
        found[origin] = max(promise, found.get(origin, 0))
    if (own := own_origin(txn)) is not None:
        found[own.id] = read_number(txn, Meta.PROMISE)
    return found


def promise(txn: WriteTxn, now_ms: int) -> OwnTip | None:
    """Promise that no later event of the own origin is at or before now; None when there is no own origin.

    Raises:
        StoreCorrupt: the own origin does not end at a commit.
    """
    own = own_origin(txn)
    if own is None:
        return None
    high_water = max(read_number(txn, Meta.HIGH_WATER), pack(now_ms))
    write_number(txn, Meta.HIGH_WATER, high_water)
    write_number(txn, Meta.PROMISE, high_water)
    return OwnTip(own, _newest_commit(txn, own), high_water)


def _newest_commit(txn: ReadTxn, own: OriginState) -> CommitRow:
    row = commit_below(txn, own, own.seq)
    if row is None or row.seq != own.seq:
        raise StoreCorrupt(f"origin {own.id.hex()} does not end at a commit")
    return row


def _usable(txn: ReadTxn, notes: Iterable[PeerNote]) -> Iterator[tuple[OriginId, int]]:
    """The promises of those heads of which all that they speak of is held."""
    for _, origin, _, _, message in notes:
        try:
            head = decode_head(message[_AUTHOR_BYTES:])
        except ProtocolError:  # kept by another version
            continue
        state = read_state(txn, origin)
        if state is not None and state.seq >= head.seq:
            yield origin, head.promise
