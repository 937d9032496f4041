"""The table `promises`: up to where each origin has promised to be complete, as far as its events are held (P13.5).

Keeps of each origin the greatest promise that was ever of use: a newer head stands in `peers` before the events that it
speaks of are here, and what was promised before must not be forgotten meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.store.kv import ReadTxn, Table, WriteTxn
from hcom_replica.store.meta import read_state
from hcom_replica.store.peers import noted
from hcom_replica.store.schema import PeerNote, number, pack_peer, u64, unpack_peer
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
    """Origin -> nothing of it behind what is held has an hlc at or below that."""
    found = {OriginId(key): number(value) for key, value in txn.scan(Table.PROMISES)}
    for origin, promise in _usable(txn, noted(txn, Kind.HEAD)):
        found[origin] = max(promise, found.get(origin, 0))
    return found


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
