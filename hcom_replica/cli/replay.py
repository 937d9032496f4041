"""`replay`: the unified stream, in canonical order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final, NamedTuple

from hcom_replica.cli.filters import (
    Agents,
    ClaimedSince,
    ClaimedUntil,
    Devices,
    Grep,
    Kinds,
    Since,
    Stable,
    System,
    Until,
    Where,
    warn_damaged,
    warn_nothing_final,
    warn_unknown,
)
from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import note
from hcom_replica.cli.progress import Progress
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError

if TYPE_CHECKING:
    from hcom_replica.api.event import Event
    from hcom_replica.api.filters import Query
    from hcom_replica.api.replica import Replica

_TOGETHER: Final = 256
"""Lines that are written at once where nobody waits for each: it takes a fifth of the time."""

FORMATS = ("text", "jsonl", "csv", "cloudevents", "html")


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
    stable: Stable = False,
    speed: Annotated[str, Opt("--speed", metavar="SPEED", help="1x, the real pace; 10x; max")] = "max",
    gap: Annotated[str, Opt("--gap", metavar="SPAN", help="wait no longer than this between two events")] = "5s",
    form: Annotated[str, Opt("--format", metavar="FORMAT", help="text, jsonl, csv, cloudevents or html")] = "text",
    output: Annotated[str | None, Opt("-o", "--output", metavar="FILE", help="write a file")] = None,
    force: Annotated[bool, Opt("--force", help="replace the file if it is there")] = False,
    json: Annotated[bool, Opt("--json", help="the same as --format jsonl")] = False,
) -> int | None:
    """Print the whole history in the one order that all devices share."""
    from hcom_replica.api.filters import Query
    from hcom_replica.api.output import check_free, written
    from hcom_replica.api.progress import silent
    from hcom_replica.api.replaying import Pace, counted, read_gap_ms, read_speed
    from hcom_replica.api.replica import Replica

    form = "jsonl" if json and form == "text" else form
    if json and form != "jsonl":
        raise UsageError(f"--json and --format {form}", hint="choose one of them")
    if form not in FORMATS:
        raise UsageError(f"--format {form}: no such format", hint=f"the formats are {', '.join(FORMATS)}")
    pace = Pace(read_speed(speed), read_gap_ms(gap), _say_shortened)
    query = Query(kind, agent, device, since, until, claimed_since, claimed_until, grep, where, system)
    if output is not None:
        check_free(Path(output), force=force)
    with Replica.in_folder(session.folder) as replica, ExitStack() as stack:
        warn_unknown(device, replica.names)
        if stable:
            warn_nothing_final(replica)
        into: Any = sys.stdout.buffer if output is None else stack.enter_context(written(Path(output), force=force))
        # what is written to the terminal shows itself how far it has come
        tell = stack.enter_context(Progress()) if output is not None else silent
        if form == "html":
            lines: Iterable[bytes] = [_page(replica, query, tell, stable=stable)]
        elif form == "jsonl" and not stable and pace.speed is None:
            lines = _told(replica.json_lines(query), tell, replica.log.event_count())
        else:
            found = counted(replica.replay(pace=pace, stable=stable, query=query), tell, replica.log.event_count())
            late = _late_here(replica) if form == "text" and not stable else {}
            lines = _lines(replica, found, form, Style(None if stable else replica.device, late, output is None))
        _write(into, lines, each=pace.speed is not None)
        warn_damaged(replica)
    return 0


class Style(NamedTuple):
    """How a story is told.

    Attributes:
        own: this device's name, whose agents are told without it; None tells every agent in full.
        late: key in the canonical order -> how an event is marked that came late.
        coloured: where the terminal takes it.
    """

    own: str | None
    late: Mapping[bytes, str]
    coloured: bool


def _lines(replica: Replica, events: Iterator[Event], form: str, style: Style) -> Iterator[bytes]:
    from hcom_replica.api.formats import FORMATS as KNOWN

    if form in KNOWN:
        return KNOWN[form](events, replica.group)
    from hcom_replica.cli.story import Story

    return Story(replica.names, style.own, style.late, coloured=style.coloured).lines(events)


def _page(replica: Replica, query: Query, tell: Callable[[str, int, int], None], *, stable: bool) -> bytes:
    from hcom_replica.api.page.sources import history_page, stable_page

    return stable_page(replica, query, progress=tell) if stable else history_page(replica, query, progress=tell)


def _told(pieces: Iterable[bytes], tell: Callable[[str, int, int], None], total: int) -> Iterator[bytes]:
    """Yield lines, many at once, and tell how many of how many have passed."""
    done = 0
    for piece in pieces:
        yield piece
        done += piece.count(b"\n")
        tell("writing", done, total)


def _late_here(replica: Replica) -> dict[bytes, str]:
    from hcom_replica.api.replaying import late_arrivals, told_span

    return {key: f"late by {told_span(late_ms)}" for key, late_ms in late_arrivals(replica.log).items()}


def _write(into: BinaryIO, lines: Iterable[bytes], *, each: bool) -> None:
    if each:
        for text in lines:
            into.write(text)
            into.flush()
        return
    rest = iter(lines)
    while chunk := b"".join(islice(rest, _TOGETHER)):
        into.write(chunk)


def _say_shortened(gap_ms: int, wait_ms: int) -> None:
    from hcom_replica.api.replaying import told_span

    note(f"nothing for {told_span(gap_ms)}, shortened to {told_span(wait_ms)}")
