"""Reading events for people and consumers: in canonical order, and one by one.

A read transaction lives for one page (T5.6): what is yielded across pages may come from different commits, each event
once all the same, because keys do not change (but for forks, T6.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, starmap

from hcom_replica.ids import EventId, OriginId
from hcom_replica.store.kv import Kv, ReadTxn, Table
from hcom_replica.store.schema import StoredEvent, seq_key

PAGE_EVENTS = 1000


def events(
    kv: Kv, *, start: bytes = b"", stop: bytes | None = None, reverse: bool = False, page: int = PAGE_EVENTS
) -> Iterator[StoredEvent]:
    """Yield events with start <= key < stop in canonical order, or backwards; a transaction for each `page` events."""
    while True:
        with kv.read() as txn:
            items = list(islice(txn.scan(Table.LOG, start, stop, reverse=reverse), page))
        yield from starmap(StoredEvent, items)
        if len(items) < page:
            return
        start, stop = (start, items[-1][0]) if reverse else (items[-1][0] + b"\x00", stop)


def events_at(kv: Kv, places: Sequence[bytes], page: int = PAGE_EVENTS) -> Iterator[StoredEvent]:
    """Yield the events at some places, in that order; those that a fork has moved since are left out."""
    for first in range(0, len(places), page):
        with kv.read() as txn:
            values = [(key, txn.get(Table.LOG, key)) for key in places[first : first + page]]
        yield from (StoredEvent(key, value) for key, value in values if value is not None)


def event(txn: ReadTxn, name: EventId) -> StoredEvent | None:
    """Return one event, or None when it is not held."""
    time = txn.get(Table.INDEX, seq_key(name.origin, name.seq))
    if time is None:
        return None
    key = time + name.origin
    (value,) = txn.get_many(Table.LOG, [key])
    return StoredEvent(key, value)


def system_events(txn: ReadTxn) -> list[StoredEvent]:
    """Return all system events held, in canonical order."""
    names = [key for key, _ in txn.scan(Table.SYSTEM)]
    times = txn.get_many(Table.INDEX, names)
    keys = sorted(time + OriginId(name[:8]) for time, name in zip(times, names, strict=True))
    return [StoredEvent(key, value) for key, value in zip(keys, txn.get_many(Table.LOG, keys), strict=True)]
