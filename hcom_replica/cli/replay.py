"""`replay`: the unified stream, in canonical order."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

from hcom_replica.cli.filters import (
    Agents,
    ClaimedSince,
    ClaimedUntil,
    Devices,
    Grep,
    Kinds,
    Since,
    System,
    Until,
    Where,
    warn_unknown,
)
from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import note
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError

if TYPE_CHECKING:
    from hcom_replica.api.event import Event
    from hcom_replica.api.filters import Query
    from hcom_replica.api.replaying import Pace
    from hcom_replica.api.replica import Replica

FORMATS = ("text", "jsonl", "csv", "cloudevents")


def replay(
    session: Session,
    kind: Kinds = (),  # type: ignore[assignment]
    agent: Agents = (),  # type: ignore[assignment]
    device: Devices = (),  # type: ignore[assignment]
    since: Since = None,
    until: Until = None,
    claimed_since: ClaimedSince = None,
    claimed_until: ClaimedUntil = None,
    grep: Grep = None,
    where: Where = None,
    system: System = False,
    speed: Annotated[str, Opt("--speed", metavar="SPEED", help="1x, the real pace; 10x; max")] = "max",
    gap: Annotated[str, Opt("--gap", metavar="SPAN", help="wait no longer than this between two events")] = "5s",
    form: Annotated[str, Opt("--format", metavar="FORMAT", help="text, jsonl, csv or cloudevents")] = "text",
    output: Annotated[str | None, Opt("-o", "--output", metavar="FILE", help="write a file")] = None,
    force: Annotated[bool, Opt("--force", help="replace the file if it is there")] = False,
) -> int | None:
    """Print the whole history in the one order that all devices share."""
    from hcom_replica.api.filters import Query
    from hcom_replica.api.output import check_free, written
    from hcom_replica.api.replaying import Pace, read_gap_ms, read_speed
    from hcom_replica.api.replica import Replica

    if form not in FORMATS:
        raise UsageError(f"--format {form}: no such format", hint=f"the formats are {', '.join(FORMATS)}")
    pace = Pace(read_speed(speed), read_gap_ms(gap), _say_shortened)
    query = Query(kind, agent, device, since, until, claimed_since, claimed_until, grep, where, system)
    if output is not None:
        check_free(Path(output), force=force)
    with Replica.in_folder(session.folder) as replica, ExitStack() as stack:
        warn_unknown(device, replica.names)
        lines = _lines(replica, query, pace, form, coloured=output is None)
        into: Any = sys.stdout.buffer if output is None else stack.enter_context(written(Path(output), force=force))
        _write(into, lines, each=pace.speed is not None)
    return 0


def _lines(replica: Replica, query: Query, pace: Pace, form: str, *, coloured: bool) -> Iterator[bytes]:
    from hcom_replica.api.formats import FORMATS as KNOWN

    events: Iterable[Event] = replica.replay(pace=pace, query=query)
    if form in KNOWN:
        return KNOWN[form](events, replica.group)
    from hcom_replica.api.replaying import late_arrivals
    from hcom_replica.cli.story import Story

    story = Story(replica.names, replica.device, late_arrivals(replica.log), coloured=coloured)
    return story.lines(events)


def _write(into: BinaryIO, lines: Iterable[bytes], *, each: bool) -> None:
    for text in lines:
        into.write(text)
        if each:
            into.flush()


def _say_shortened(gap_ms: int, wait_ms: int) -> None:
    from hcom_replica.api.replaying import told_span

    note(f"nothing for {told_span(gap_ms)}, shortened to {told_span(wait_ms)}")
