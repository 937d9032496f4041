"""Which name an origin states for its device: in its hello, and in later `_name` events (protocol-v1 3.6, 3.7)."""

from __future__ import annotations

from hcom_replica.core.hello import Hello, Rename, read_system
from hcom_replica.core.origin import OriginState
from hcom_replica.store.kv import ReadTxn, Table
from hcom_replica.store.schema import seq_key
from hcom_replica.wire.event import decode_event


def stated_name(seq: int, record: bytes) -> str | None:
    """Return the name that an event states, or None when it states none."""
    event = decode_event(record)
    stated = read_system(event.kind, event.body)
    return stated.name if isinstance(stated, Hello if seq == 1 else Rename) else None


def name_at(txn: ReadTxn, held: OriginState, seq: int) -> str:
    """Return the name that an origin stated last at or below `seq`; its newest name where none is held there."""
    origin = held.id
    for key, _ in txn.scan(Table.SYSTEM, origin, seq_key(origin, seq + 1), reverse=True):
        (time,) = txn.get_many(Table.INDEX, [key])
        (value,) = txn.get_many(Table.LOG, [time + origin])
        name = stated_name(int.from_bytes(key[8:], "big"), value[8:])
        if name is not None:
            return name
    return held.name
