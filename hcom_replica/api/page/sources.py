"""What a page shows of this device's own view: when others could not be heard, and what came late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from hcom_replica.api.appending import wall_ms
from hcom_replica.api.event import Event
from hcom_replica.api.filters import Query
from hcom_replica.api.names import Names
from hcom_replica.api.page.build import Absence, Page, Report, build_page
from hcom_replica.api.progress import Progress, silent
from hcom_replica.api.replaying import counted, late_arrivals
from hcom_replica.api.replica import Replica
from hcom_replica.api.times import iso_ms
from hcom_replica.core.hlc import millis
from hcom_replica.ids import OriginId
from hcom_replica.store.log import Log

ABSENT_MS: Final = 60_000
"""What takes longer than this from its writing to its arrival was held up; by the clocks of both devices."""


class Seen(NamedTuple):
    """What only this device saw.

    Attributes:
        late: 16-byte key in the canonical order -> how long after it was written it arrived, ms.
        absences: by device and then by time.
    """

    late: dict[bytes, int]
    absences: list[Absence]


def look(replica: Replica) -> Seen:
    """How events came here."""
    return Seen(late_arrivals(replica.log), find_absences(replica.log, replica.names))


def history_page(
    replica: Replica,
    query: Query,
    *,
    report: Report | None = None,
    seen: Seen | None = None,
    progress: Progress = silent,
) -> bytes:
    """The page of what this device holds, with what only it saw: absences, and what came late.

    Args:
        replica: open.
        query: which events.
        report: stands beside them.
        seen: what `look` has found, when that is known.
        progress: told from time to time, in events.

    Raises:
        UsageError: a filter cannot be read, or too many events pass.
    """
    about = (
        f"{{events}} of {{agents}} on {{devices}}, group {replica.group[:8]}, "
        f"as {replica.device} had them at {iso_ms(wall_ms())}"
    )
    late, absences = seen or look(replica)
    events = counted(replica.find(query), progress, replica.log.event_count())
    title = "History" if report is None else "Audit"
    return build_page(events, Page(title, about, absences, late, report))


def stable_page(replica: Replica, query: Query, *, progress: Progress = silent) -> bytes:
    """The page of what is final: the same bytes on every device.

    Args:
        replica: open.
        query: which events.
        progress: told from time to time, in events.

    Raises:
        UsageError: a filter cannot be read, or too many events pass.
    """
    about = f"{{events}} of {{agents}} on {{devices}}, group {replica.group[:8]}, all final"
    late: dict[bytes, int | None] = {}

    def final() -> Iterator[Event]:
        for event in replica.replay(stable=True, query=query):
            if event.late:
                late[bytes.fromhex(event.order)] = None
            yield event

    return build_page(counted(final(), progress, replica.log.event_count()), Page("History", about, late=late))


def find_absences(log: Log, names: Names) -> list[Absence]:
    """The times in which what other devices wrote did not come here, by device and then by time.

    From the writing of an event that came late by ABSENT_MS or more to its arrival its device was out of reach; nothing
    is said of times before this device began to receive, and of a device that wrote nothing meanwhile.
    """
    found: dict[bytes, list[tuple[int, int]]] = {}
    began: int | None = None
    for row in log.received():
        began = row.received_ms if began is None else began
        written_ms = millis(int.from_bytes(row.key[:8], "big"))
        device = names.device_of(OriginId(row.key[8:]))
        if (
            device is None
            or device == names.own
            or row.received_ms - written_ms < ABSENT_MS
            or row.received_ms <= began
        ):
            continue
        _add(found.setdefault(device, []), max(written_ms, began), row.received_ms)
    shown = names.all()
    return [Absence(shown[device], *times) for device, all_times in found.items() for times in sorted(all_times)]


def _add(times: list[tuple[int, int]], start: int, end: int) -> None:
    """Add a time, joined with the last one where they touch: they come in the order of their ends."""
    if times and start <= times[-1][1]:
        start, end = min(start, times[-1][0]), max(end, times[-1][1])
        times.pop()
    times.append((start, end))
