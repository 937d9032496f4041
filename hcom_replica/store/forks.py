"""Moving a branch to its derived origin (storage-v1 section 6, protocol-v1 4.6).

Which branch keeps the id, and what the other is called, depends on nothing but the branches themselves: a derived
origin always hangs on the origin that is not derived, by the c of its first event (which commits to all before it).
So devices that learn of branches in different orders end with the same names.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from hcom_replica.core.origin import OriginState, fresh_origin
from hcom_replica.store.commits import commits_from, hlc_at, point_at, write_anchor
from hcom_replica.store.kv import ReadTxn, Table, WriteTxn
from hcom_replica.store.meta import write_state
from hcom_replica.store.names import name_at
from hcom_replica.store.schema import Stretch, origin_end, pack_commit, pack_stretch, seq_key, unpack_stretch
from hcom_replica.wire.batch import Descriptor, ForkPoint


def derived_origin(txn: ReadTxn, group: bytes, held: OriginState, base: int, link: bytes) -> OriginState:
    """Make the state, with nothing held, of the branch that leaves `held` behind `base` with c[base + 1] = `link`."""
    start = point_at(txn, held, base)
    descriptor = Descriptor(held.key, held.incarnation, (ForkPoint(base, link),))
    fresh = fresh_origin(group, descriptor, tip=start.tip, cum=start.cum)
    return msgspec.structs.replace(fresh, hlc=hlc_at(txn, held, base), name=name_at(txn, held, base))


def cut(txn: ReadTxn, held: OriginState, seq: int) -> OriginState:
    """Return what the state of an origin is once everything behind `seq` has left it."""
    start = point_at(txn, held, seq)
    system = sum(1 for _ in txn.scan(Table.SYSTEM, seq_key(held.id, held.base + 1), seq_key(held.id, seq + 1)))
    return msgspec.structs.replace(
        held,
        seq=seq,
        hlc=hlc_at(txn, held, seq),
        tip=start.tip,
        cum=start.cum,
        system=system,
        name=name_at(txn, held, seq),
    )


def move_branch(txn: WriteTxn, held: OriginState, branch: OriginState) -> OriginState:
    """Move the rows of `held` behind the branch's base to the branch; arrival numbers stay.

    Args:
        txn: the transaction that also stores the run which takes the place.
        held: the origin as it is.
        branch: the derived origin, with nothing held.

    Returns:
        The branch's state, stored.
    """
    write_anchor(txn, branch)
    rows = commits_from(txn, held, branch.base + 1)
    system = [key for key, _ in txn.scan(Table.SYSTEM, seq_key(held.id, branch.base + 1), origin_end(held.id))]
    _move_events(txn, held, branch)
    for key in system:
        txn.delete(Table.SYSTEM, key)
    txn.put_many(Table.SYSTEM, [(branch.id + key[8:], b"") for key in system])
    for row in rows:
        txn.delete(Table.COMMITS, seq_key(held.id, row.seq))
    txn.put_many(Table.COMMITS, [(seq_key(branch.id, row.seq), pack_commit(row)) for row in rows])
    moved = msgspec.structs.replace(
        branch,
        seq=held.seq,
        hlc=held.hlc,
        tip=held.tip,
        cum=held.cum,
        system=len(system),
        name=held.name,
        drift_ms=held.drift_ms,
    )
    write_state(txn, moved)
    return moved


def _move_events(txn: WriteTxn, held: OriginState, branch: OriginState) -> None:
    old, new = held.id, branch.id
    index = list(txn.scan(Table.INDEX, seq_key(old, branch.base + 1), origin_end(old)))
    values = txn.get_many(Table.LOG, [time + old for _, time in index])
    for key, time in index:
        txn.delete(Table.INDEX, key)
        txn.delete(Table.LOG, time + old)
    txn.put_many(Table.INDEX, [(new + key[8:], time) for key, time in index])
    txn.put_many(Table.LOG, [(time + new, value) for (_, time), value in zip(index, values, strict=True)])
    # Nothing leads from an event to its arrival: forks are too rare to pay for such an index with every event.
    stretches = [unpack_stretch(*row) for row in txn.scan(Table.ARRIVALS)]
    renamed = [part for one in stretches if one.origin == old for part in _renamed(one, branch)]
    txn.put_many(Table.ARRIVALS, list(map(pack_stretch, renamed)))


def _renamed(stretch: Stretch, branch: OriginState) -> Iterator[Stretch]:
    """A stretch of the forked origin: what lies behind the branch's base is the branch's."""
    stays = min(stretch.length, max(0, branch.base + 1 - stretch.first))
    if stays:
        yield stretch._replace(length=stays)
    if stays < stretch.length:
        yield stretch._replace(
            number=stretch.number + stays, origin=branch.id, first=stretch.first + stays, length=stretch.length - stays
        )
