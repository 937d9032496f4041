"""`audit report`: the findings of an audit, and the history, as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hcom_replica.cli.filters import (
    Agents,
    ClaimedSince,
    ClaimedUntil,
    Devices,
    Grep,
    Kinds,
    Since,
    Until,
    Where,
)
from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import escape, json_line, line
from hcom_replica.cli.progress import Progress
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError


def report(
    session: Session,
    output: Annotated[str | None, Opt("-o", "--output", metavar="FILE", help="the page to be written")] = None,
    kind: Kinds = (),  # type: ignore[assignment]
    agent: Agents = (),  # type: ignore[assignment]
    device: Devices = (),  # type: ignore[assignment]
    since: Since = None,
    until: Until = None,
    claimed_since: ClaimedSince = None,
    claimed_until: ClaimedUntil = None,
    grep: Grep = None,
    where: Where = None,
    force: Annotated[bool, Opt("--force", help="replace the file if it is there")] = False,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Audit everything that is held, and write a page with the findings beside the history."""
    from msgspec import to_builtins

    from hcom_replica.api.auditreport import audit_page
    from hcom_replica.api.filters import Query
    from hcom_replica.api.output import check_free, written

    if output is None:
        raise UsageError("the page needs a name", hint="hcom-replica audit report -o audit.html")
    query = Query(kind, agent, device, since, until, claimed_since, claimed_until, grep, where, system=True)
    check_free(Path(output), force=force)
    with Progress() as progress:
        page = audit_page(session.folder, query, progress=progress)
    with written(Path(output), force=force) as file:
        file.write(page.html)
    if json:
        json_line({"file": output, **to_builtins(page.report)})
    else:
        found = len(page.report.findings)
        line(f"wrote {escape(output)}: {'nothing found' if page.report.sound else f'{found:,} findings'}")
    return 0 if page.report.sound else 1
