"""Which name an origin states for its device: in its hello, and in later `_name` events (protocol-v1 3.6, 3.7)."""

from __future__ import annotations

from hcom_replica.core.hello import Hello, Rename, read_system
from hcom_replica.core.origin import OriginState
from hcom_replica.store.commits import base_point, point_at
from hcom_replica.store.kv import ReadTxn, Table
from hcom_replica.store.meta import read_states
from hcom_replica.store.schema import seq_key
from hcom_replica.wire.event import decode_event


def stated_name(seq: int, record: bytes) -> str | None:
    """Return the name that an event states, or None when it states none."""
    event = decode_event(record)
    stated = read_system(event.kind, event.body)
    return stated.name if isinstance(stated, Hello if seq == 1 else Rename) else None


def name_at(txn: ReadTxn, held: OriginState, seq: int) -> str:
    """Return the name that the history which an origin goes on stated last at or below `seq`.

    What lies before a derived origin's base is held by the origin it left, or by another branch of it. The origin's
    newest name is returned where none is held there.
    """
    at: OriginState | None = held
    while at is not None:
        name = _stated_in(txn, at, seq)
        if name is not None:
            return name
        seq = at.base
        at = _before(txn, at)
    return held.name


def _stated_in(txn: ReadTxn, held: OriginState, seq: int) -> str | None:
    origin = held.id
    for key, _ in txn.scan(Table.SYSTEM, origin, seq_key(origin, seq + 1), reverse=True):
        (time,) = txn.get_many(Table.INDEX, [key])
        (value,) = txn.get_many(Table.LOG, [time + origin])
        name = stated_name(int.from_bytes(key[8:], "big"), value[8:])
        if name is not None:
            return name
    return None


def _before(txn: ReadTxn, derived: OriginState) -> OriginState | None:
    """The origin that holds what lies before a derived one's base; None where there is none."""
    if not derived.forks or not derived.base:
        return None
    tip = base_point(txn, derived).tip
    for state in read_states(txn):
        same = (state.key, state.incarnation) == (derived.key, derived.incarnation)
        if same and state.base < derived.base <= state.seq and point_at(txn, state, derived.base).tip == tip:
            return state
    return None
