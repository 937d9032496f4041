"""Reading in order of arrival: stretches of consecutive events, and the places of these by the index.

Owns how a row of `arrivals` becomes events (storage-v1 T2.2). Rows speak of origins and seqs, because consecutive
events of one origin arrive together: what is stored in bulk takes one row and not one for each event.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from hcom_replica.errors import StoreCorrupt
from hcom_replica.ids import OriginId
from hcom_replica.store.kv import Kv, ReadTxn, Table
from hcom_replica.store.pages import PAGE_EVENTS
from hcom_replica.store.schema import Arrival, Received, StoredEvent, Stretch, seq_key, u64, unpack_stretch


def arrivals(txn: ReadTxn, after: int, limit: int) -> list[Arrival]:
    """Return up to `limit` events in order of arrival, those with a number above `after`.

    Raises:
        StoreCorrupt: a row cannot be read, or speaks of events that are not held.
    """
    rows = received(txn, after, limit)
    values = txn.get_many(Table.LOG, [row.key for row in rows])
    return [
        Arrival(number, late, received_ms, StoredEvent(key, value))
        for (number, key, late, received_ms), value in zip(rows, values, strict=True)
    ]


def received(txn: ReadTxn, after: int, limit: int) -> list[Received]:
    """Return how up to `limit` events came here, those with a number above `after`; raises as `arrivals`."""
    found: list[Received] = []
    for one in _stretches(txn, after):
        skipped = max(0, after + 1 - one.number)
        count = min(one.length - skipped, limit - len(found))
        if count > 0:
            number, origin, late, ms = one.number + skipped, one.origin, one.late, one.received_ms
            times = times_of(txn, origin, one.first + skipped, count)
            found.extend(Received(at, time + origin, late, ms) for at, time in enumerate(times, number))
        if len(found) == limit:
            break
    return found


def received_all(kv: Kv, page: int = PAGE_EVENTS) -> Iterator[Received]:
    """Yield how all events came here, in order of arrival; a transaction for each `page` of them."""
    after = 0
    while True:
        with kv.read() as txn:
            rows = received(txn, after, page)
        yield from rows
        if len(rows) < page:
            return
        after = rows[-1].number


def times_of(txn: ReadTxn, origin: OriginId, first: int, count: int) -> list[bytes]:
    """Return the hlcs, 8 bytes each, of consecutive events of an origin.

    Raises:
        StoreCorrupt: one of them is not held.
    """
    if count == 1:
        time = txn.get(Table.INDEX, seq_key(origin, first))
        times = [] if time is None else [time]
    else:
        rows = txn.scan(Table.INDEX, seq_key(origin, first), seq_key(origin, first + count))
        times = [time for _, time in islice(rows, count)]
    if len(times) != count:
        raise StoreCorrupt(f"an arrival names {origin.hex()}:{first} to {first + count - 1}, not all of them are held")
    return times


def _stretches(txn: ReadTxn, after: int) -> Iterator[Stretch]:
    """Yield those with events behind a number, and perhaps one before it."""
    before = next(txn.scan(Table.ARRIVALS, stop=u64(after + 2), reverse=True), None)
    for row in txn.scan(Table.ARRIVALS, b"" if before is None else before[0]):
        yield unpack_stretch(*row)
