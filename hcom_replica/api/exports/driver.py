"""Feeding a target: what arrived here since the last time, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from hcom_replica.api.event import Arrival, Event
from hcom_replica.api.exports.place import AGAIN, Place, Target
from hcom_replica.api.progress import Progress, silent
from hcom_replica.api.reading import named, readable
from hcom_replica.api.replica import Replica
from hcom_replica.errors import UsageError
from hcom_replica.ids import EventId, OriginId
from hcom_replica.limits import MIB
from hcom_replica.store.schema import Arrival as StoredArrival
from hcom_replica.wire.event import is_system
from hcom_replica.wire.signing import short

FORMATS: Final = ("sqlite", "jsonl", "parquet")
PAGE_EVENTS: Final = 32_768
PAGE_BYTES: Final = 64 * MIB
_READ_EVENTS: Final = 1_000


class RowsExported(msgspec.Struct, frozen=True):
    """What an export did.

    Attributes:
        events: added by this run.
        total_events: that were exported into the target so far.
        arrival: number of the last event that was looked at.
        redacted_since: events that were redacted since the run before, on a target that cannot take bodies away.
    """

    events: int
    total_events: int
    arrival: int
    redacted_since: int


def export_rows(
    replica: Replica,
    path: Path,
    form: str,
    *,
    system: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> RowsExported:
    """Export what arrived here since the last export into the same target.

    Args:
        replica: open.
        path: of the file, or for Parquet of the folder.
        form: one of FORMATS.
        system: also system events; the same each time.
        force: begin anew, whatever is there.
        progress: told from time to time, in events.

    Raises:
        UsageError: the target is something else, of another log, or written by somebody else right now; nothing was
            changed.
        OutputError: it cannot be written; whole pages stand, and the same call goes on behind them.
    """
    target = _target(path, form, force=force)
    try:
        return _export(replica, path, target, system=system, progress=progress)
    finally:
        target.close()


def _target(path: Path, form: str, *, force: bool) -> Target:
    if form == "sqlite":
        from hcom_replica.api.exports.sqlite import SqliteTarget  # noqa: PLC0415 - only what is asked for

        return SqliteTarget(path, force=force)
    if form == "parquet":
        from hcom_replica.api.exports.parquet import ParquetTarget  # noqa: PLC0415 - the same

        return ParquetTarget(path, force=force)
    if form == "jsonl":
        from hcom_replica.api.exports.lines import LinesTarget  # noqa: PLC0415 - the same

        return LinesTarget(path, force=force)
    raise UsageError(f"--format {form}: no such format", hint=f"the formats are bundle, {', '.join(FORMATS)}")


def _export(replica: Replica, path: Path, target: Target, *, system: bool, progress: Progress) -> RowsExported:
    redactions = replica.log.redaction_count()
    last = replica.log.last_arrival()
    fresh = Place(replica.group, replica.names.own.hex(), system, redactions=redactions)
    place = target.place(fresh)
    _check_same(replica, path, place, fresh)
    before, known = place.events, place.redactions
    left = redactions - known if redactions > known and not target.redact(_redacted(replica)) else 0
    place = msgspec.structs.replace(place, redactions=redactions, pending=[])
    for rows in _pages(replica, place.arrival, last):
        events = _events(replica, rows, system=system)
        place = msgspec.structs.replace(
            place, arrival=rows[-1].number, hlc=rows[-1].event.hlc, events=place.events + len(events)
        )
        target.take(events, place)
        progress("exporting", place.arrival, last)
    return RowsExported(place.events - before, place.events, place.arrival, left)


def _check_same(replica: Replica, path: Path, place: Place, fresh: Place) -> None:
    """Arrival numbers mean something in one log only."""
    if (place.group, place.device) != (fresh.group, fresh.device):
        raise UsageError(f"{path} was exported from another device's log", hint=AGAIN)
    if place.system != fresh.system:
        state = "with" if place.system else "without"
        raise UsageError(f"{path} was begun {state} system events", hint=f"go on {state} --system; {AGAIN}")
    if place.arrival:
        rows = replica.log.arrivals(place.arrival - 1, 1)
        if not rows or rows[0].number != place.arrival or rows[0].event.hlc != place.hlc:
            raise UsageError(f"{path} was exported from a log that this one is not: it was restored since", hint=AGAIN)


def _pages(replica: Replica, after: int, last: int) -> Iterator[list[StoredArrival]]:
    page: list[StoredArrival] = []
    size = 0
    while after < last:
        rows = replica.log.arrivals(after, min(_READ_EVENTS, last - after, PAGE_EVENTS - len(page)))
        if not rows:
            break
        page += rows
        size += sum(len(row.event.record) for row in rows)
        after = rows[-1].number
        if len(page) >= PAGE_EVENTS or size >= PAGE_BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page


def _events(replica: Replica, rows: list[StoredArrival], *, system: bool) -> list[Event]:
    found: list[Event | None] = []
    for row in rows:
        event = readable(row.event, replica.note_damaged)
        if event is not None and (system or not is_system(event.kind)):
            arrival = Arrival(row.number, row.received_ms, row.late)
            found.append(named(row.event, event, replica.names, replica.note_damaged, arrival))
    return [event for event in found if event is not None]


def _redacted(replica: Replica) -> list[str]:
    """Ids of all events held that are redacted, under the names that forks have given them."""
    group = replica.parts.token.keys.group
    branches: dict[OriginId, list[OriginId]] = {}
    for state in replica.log.origins():
        branches.setdefault(short(state.root(group)), []).append(state.id)
    found = []
    for root, seq in replica.log.redacted_places():
        for origin in branches.get(root, []):
            event = replica.event(EventId(origin, seq))
            if event is not None and event.redacted:
                found.append(str(event.id))
    return found
