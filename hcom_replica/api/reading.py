"""Reading the log through a filter: in canonical order, in order of arrival, as it was, and as it grows.

Owns how far back a reader has to look for the newest N. Never holds a transaction while its caller works.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, takewhile
from typing import Final

from hcom_replica.api.changes import Changes
from hcom_replica.api.event import Arrival, Event
from hcom_replica.api.filters import Filter
from hcom_replica.api.jsonlines import sound_lines
from hcom_replica.api.names import Names
from hcom_replica.api.times import read_when_us
from hcom_replica.errors import ProtocolError, StoreCorrupt, UsageError
from hcom_replica.ids import EventId, parse_event_id
from hcom_replica.store.log import Log
from hcom_replica.store.schema import Arrival as StoredArrival
from hcom_replica.store.schema import StoredEvent
from hcom_replica.wire import event as wire
from hcom_replica.wire.event import decode_event, is_system

_PAGE: Final = 1_000


Damaged = Callable[[EventId], None]
"""Told of an event that is stored and cannot be read any more; the others are read all the same."""


def readable(row: StoredEvent, damaged: Damaged) -> wire.Event | None:
    """Decode a stored event; None for one that is damaged, which is told."""
    try:
        return decode_event(row.record)
    except ProtocolError:
        damaged(row.id)
        return None


def _joined(events: Iterable[Event]) -> Iterator[bytes]:
    rest = iter(events)
    while page := list(islice(rest, _PAGE)):
        yield b"".join([event.json() + b"\n" for event in page])


def named(
    row: StoredEvent, event: wire.Event, names: Names, damaged: Damaged, arrival: Arrival | None = None
) -> Event | None:
    """An event with its device's name; None for one of an origin that there is not, which is told: a damaged key."""
    try:
        return Event(row.id, event, names.shown(row.origin), arrival)
    except StoreCorrupt:
        damaged(row.id)
        return None


class Reader:
    """Reads one log.

    Args:
        log: open.
        names: of its devices.
        damaged: told of events that cannot be read; they are left out.
    """

    def __init__(self, log: Log, names: Names, damaged: Damaged) -> None:
        self._log = log
        self._names = names
        self._damaged = damaged

    def canonical(self, accept: Filter, newest: int | None = None) -> Iterator[Event]:
        """Yield accepted events in canonical order; only the newest so many of them when a number is given."""
        if newest is None:
            return filter(accept.passes, self._scan(accept, backwards=False))
        found = list(islice(filter(accept.passes, self._scan(accept, backwards=True)), newest))
        return reversed(found)

    def json_lines(self, accept: Filter) -> Iterator[bytes]:
        """Give what `canonical` yields as lines of JSON, many at once; each ends with a newline."""
        if not accept.plain:
            yield from _joined(self.canonical(accept))
            return
        rows = self._log.events(start=accept.start, stop=accept.stop)
        while page := list(islice(rows, _PAGE)):
            lines = self._sound_lines(page, accept)
            if lines is not None:
                yield lines
            else:
                yield from _joined(filter(accept.passes, self._events(page)))

    def _sound_lines(self, page: list[StoredEvent], accept: Filter) -> bytes | None:
        try:
            return sound_lines(page, self._names.shown, system=accept.system)
        except StoreCorrupt:  # then they are looked at one by one
            return None

    def as_of(self, moment: str, now_ms: int, accept: Filter, newest: int | None = None) -> Iterator[Event]:
        """Yield the accepted events that had arrived here by a moment, in canonical order.

        Args:
            moment: ISO time or span before now, by this device's clock; or an event's id: what came before that did.
            now_ms: wall clock.
            accept: which events.
            newest: only so many, the last; None for all.

        Raises:
            UsageError: the moment cannot be read, or the event is not held.
        """
        places = self._received(moment, now_ms)
        rows = self._log.events_at(places if newest is None else places[::-1])
        found = filter(accept.accepts, self._events(rows))
        return found if newest is None else reversed(list(islice(found, newest)))

    def _received(self, moment: str, now_ms: int) -> list[bytes]:
        """The places of what had arrived by a moment, sorted."""
        if ":" in moment and "T" not in moment and "-" not in moment:
            last = self._log.event(parse_event_id(moment))
            if last is None:
                raise UsageError(f"no event {moment} is held here", hint="hcom-replica events --json shows ids")
            return sorted(row.key for row in takewhile(lambda row: row.key != last.key, self._log.received()))
        by_ms = read_when_us(moment, now_ms) // 1_000
        return sorted(row.key for row in self._log.received() if row.received_ms <= by_ms)

    def one(self, name: EventId) -> Event | None:
        """Return one event; None when it is not held, or damaged."""
        row = self._log.event(name)
        event = None if row is None else readable(row, self._damaged)
        return None if row is None or event is None else self._event(row, event)

    def _scan(self, accept: Filter, *, backwards: bool) -> Iterator[Event]:
        return self._events(self._log.events(start=accept.start, stop=accept.stop, reverse=backwards))

    def _events(self, rows: Iterable[StoredEvent]) -> Iterator[Event]:
        damaged, shown = self._damaged, self._names.shown
        for row in rows:
            event = readable(row, damaged)
            if event is not None:
                name = row.id
                try:
                    device = shown(name.origin)
                except StoreCorrupt:
                    damaged(name)
                    continue
                yield Event(name, event, device)

    def arrived(self, accept: Filter, newest: int | None = None) -> Iterator[Event]:
        """Yield accepted events in order of arrival; only the newest so many of them when a number is given."""
        if newest is None:
            return self.after(0, accept, self._log.last_arrival())
        found: deque[Event] = deque()
        high = self._log.last_arrival()
        while high > 0 and len(found) < newest:
            low = max(0, high - _PAGE)
            for event in reversed(list(self.after(low, accept, high))):
                if len(found) < newest:
                    found.appendleft(event)
            high = low
        return iter(found)

    def after(self, arrival: int, accept: Filter, upto: int) -> Iterator[Event]:
        """Yield accepted events with an arrival number above `arrival` and at most `upto`."""
        while arrival < upto:
            rows = self._log.arrivals(arrival, min(_PAGE, upto - arrival))
            if not rows:
                return
            yield from (event for _, event in self._page(rows) if accept.accepts(event))
            arrival = rows[-1].number

    def _page(self, rows: list[StoredArrival]) -> list[tuple[int, Event]]:
        """Arrival numbers and events; names are read again first where an event may have changed one."""
        decoded = [(row, readable(row.event, self._damaged)) for row in rows]
        if any(event is not None and is_system(event.kind) for _, event in decoded):
            self._names.refresh()
        made = (
            (row.number, self._event(row.event, event, Arrival(row.number, row.received_ms, row.late)))
            for row, event in decoded
            if event is not None
        )
        return [(number, event) for number, event in made if event is not None]

    def _event(self, row: StoredEvent, event: wire.Event, arrival: Arrival | None = None) -> Event | None:
        return named(row, event, self._names, self._damaged, arrival)

    def follow(
        self, arrival: int, accept: Filter, consumed: Callable[[int], None], changes: Changes
    ) -> Iterator[Event | None]:
        """Yield accepted events in order of arrival for ever, and None at each look that found nothing new.

        Args:
            arrival: the last number that was consumed before.
            accept: which events.
            consumed: told, after a page of events and at the end, up to which number the caller has consumed.
            changes: of this log.
        """
        reached = kept = arrival
        try:
            while True:
                rows = self._log.arrivals(reached, _PAGE)
                for number, event in self._page(rows):
                    if accept.accepts(event):
                        yield event
                    reached = number
                reached = rows[-1].number if rows else reached
                if kept < reached:
                    consumed(reached)
                    kept = reached
                    changes.seen()
                    continue
                yield None
                while self._log.last_arrival() <= reached:
                    changes.wait()
                    yield None
        finally:
            if kept < reached:
                consumed(reached)
