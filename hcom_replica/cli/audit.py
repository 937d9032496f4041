"""`audit`: checking every hash and signature, and comparing with another device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from hcom_replica.cli.options import Arg, Opt
from hcom_replica.cli.print import escape, facts, json_line, line, paint, table
from hcom_replica.cli.progress import Progress
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hcom_replica.api.auditing import AuditReport
    from hcom_replica.api.comparing import DiffReport, OriginDiff
    from hcom_replica.store.audit_origin import Finding


def verify(
    session: Session,
    device: Annotated[str | None, Opt("--device", metavar="NAME", help="only what concerns it")] = None,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Check every hash, signature and row of the log. Exit status 1 when anything was found."""
    from hcom_replica.api.auditing import audit_folder

    with Progress() as progress:
        report = audit_folder(session.folder, device=device, progress=progress)
    if json:
        json_line(report)
    else:
        _show(report)
    return 0 if report.sound else 1


def _show(report: AuditReport) -> None:
    table(
        ("device", "origin", "events", "commits", "late", "drift", "missing"),
        [
            (
                row.device or None,
                row.origin,
                row.events,
                row.commits,
                row.late_arrivals,
                f"{row.drift_ms / 1_000:.0f} s" if row.drift_ms else None,
                row.missing_events,
            )
            for row in report.origins
        ],
    )
    for finding in report.findings:
        line(f"{paint(finding.what, 'red')}  {escape(_place(finding))}{escape(finding.detail)}")
    count = len(report.findings)
    said = "nothing found" if not count else f"{count:,} finding{'s' if count > 1 else ''}"
    line(f"{report.events:,} events and {report.commits:,} signatures checked: {said}")


def _place(finding: Finding) -> str:
    if not finding.origin:
        return ""
    whose = f"{finding.device} " if finding.device else ""
    seqs = "" if not finding.first else f":{finding.first}"
    if finding.last > finding.first:
        seqs += f"..{finding.last}"
    return f"{whose}{finding.origin}{seqs}: "


def diff(
    session: Session,
    name: Annotated[str, Arg("NAME", help="the device to compare with")],
    timeout: Annotated[float, Opt("--timeout", metavar="S", help="seconds to wait for its answer")] = 10.0,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Prove that another device holds the same history, or name the first difference. Exit status 1: it does not."""
    from hcom_replica.api.comparing import compare
    from hcom_replica.api.opening import open_parts

    if timeout < 0:
        raise UsageError("--timeout takes 0 or more seconds")
    with open_parts(session.folder) as parts:
        report = compare(parts, name, timeout_s=timeout)
    if json:
        json_line(report)
        return 0 if report.equal else 1
    _show_diff(report)
    return 0 if report.equal else 1


def _show_diff(report: DiffReport) -> None:
    facts(
        [
            ("device", report.device),
            ("answered", "just now" if report.asked else f"no; it was last heard {report.said_at or 'never'}"),
            ("equal", report.equal),
        ]
    )
    table(
        ("origin of", "origin", "here", "there", "", "differs at"),
        [(row.device or None, row.origin, row.here, row.there, row.relation, row.differs_at) for row in report.origins],
    )
    for row in report.origins:
        for text in _told(report.device, row):
            line(escape(text))


def _told(other: str, row: OriginDiff) -> Iterator[str]:
    """What the figures of an origin mean."""
    there = row.there or 0
    if row.relation == "here more":
        yield f"{other} lacks {_range(row.origin, there + 1, row.here)}"
    elif row.relation == "there more":
        yield f"this device lacks {_range(row.origin, row.here + 1, there)}"
    if row.differs_at is not None:
        found = "" if row.questions is None else f", found in {row.questions} questions"
        yield f"first difference: {row.branch_of or row.origin}:{row.differs_at}{found}"
    elif row.relation == "differs":
        yield f"{row.origin} differs, and {other} has not shown where"
    if row.branch_of is not None:
        yield f"{row.origin} is the other history of {row.branch_of} from there on"


def _range(origin: str, first: int, last: int) -> str:
    return f"{origin}:{first}" + (f"..{last}" if last > first else "")
