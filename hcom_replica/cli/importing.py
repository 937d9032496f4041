"""`import`: appending a file of JSON lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from hcom_replica.cli.options import Arg, Opt
from hcom_replica.cli.print import json_line, line
from hcom_replica.cli.progress import Progress
from hcom_replica.cli.session import Session
from hcom_replica.cli.write import tell_resumed


def import_(
    session: Session,
    file: Annotated[str, Arg("FILE|-", help="JSON lines: kind, agent, data, and optionally time; - reads stdin")],
    again: Annotated[
        bool, Opt("--again", help="append the lines anew, although this file was imported before")
    ] = False,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Append the lines of a file as events. Run again after a kill, it goes on where it stopped."""
    from hcom_replica.api.importing import import_lines, open_file, spooled
    from hcom_replica.api.opening import open_parts

    with (
        spooled(sys.stdin.buffer) if file == "-" else open_file(Path(file)) as source,
        open_parts(session.folder) as parts,
        Progress() as progress,
    ):
        done = import_lines(parts, source, again=again, progress=progress)
        tell_resumed(parts.log)
    if json:
        json_line(
            {
                "imported_events": done.events,
                "already_events": done.already_events,
                "first": None if done.first is None else str(done.first),
                "last": None if done.last is None else str(done.last),
            }
        )
    else:
        before = f", {done.already_events:,} were in already" if done.already_events else ""
        line(f"imported {done.events:,} events{before}")
    return 0
