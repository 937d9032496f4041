"""The report of an audit, as a page: the findings, every origin, and what this device saw, beside the history."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from hcom_replica.api.auditing import AuditReport, audit_folder
from hcom_replica.api.filters import Query
from hcom_replica.api.forks import forks
from hcom_replica.api.page.build import Page, Report, Table, build_page
from hcom_replica.api.page.sources import Seen, history_page, look
from hcom_replica.api.progress import Progress, silent
from hcom_replica.api.replaying import told_span
from hcom_replica.api.replica import Replica
from hcom_replica.folder.paths import Folder
from hcom_replica.ids import OriginId
from hcom_replica.store.audit_origin import Finding


class AuditPage(NamedTuple):
    """A report.

    Attributes:
        html: the page.
        report: what it says.
    """

    html: bytes
    report: AuditReport


def audit_page(folder: Folder, query: Query, *, progress: Progress = silent) -> AuditPage:
    """Audit the log of a folder, and make the page that says what was found.

    Args:
        folder: of a replica; not open in this process.
        query: which events the page shows; everything is audited.
        progress: told how far it has come.

    Raises:
        ConfigError: there is no replica in the folder.
        UsageError: a filter cannot be read, or too many events pass.
    """
    audit = audit_folder(folder, progress=progress)
    tables = [_findings(audit), _origins(audit)]
    if any(finding.what == "structure" for finding in audit.findings):  # reading may take this process with it
        page = Page("Audit", "the log cannot be read", report=_report(audit, tables))
        return AuditPage(build_page([], page), audit)
    with Replica.in_folder(folder) as replica:
        seen = look(replica)
        tables += [_arrivals(replica, seen), _forks(replica)]
        return AuditPage(
            history_page(replica, query, report=_report(audit, tables), seen=seen, progress=progress), audit
        )


def _report(audit: AuditReport, tables: list[Table]) -> Report:
    said = f"{audit.events:,} events and {audit.commits:,} signatures of {len(audit.origins):,} origins were checked. "
    found = len(audit.findings)
    said += "Nothing was found." if audit.sound else f"{found:,} finding{'s' if found > 1 else ''}."
    return Report(said, audit.sound, [table for table in tables if table.rows])


def _findings(audit: AuditReport) -> Table:
    rows = [(one.what, one.device or None, _place(one), one.detail) for one in audit.findings]
    return Table("Findings", ("what", "device", "where", ""), rows)


def _place(finding: Finding) -> str | None:
    if not finding.origin:
        return None
    upto = f"..{finding.last}" if finding.last > finding.first else ""
    return f"{finding.origin}:{finding.first}{upto}" if finding.first else finding.origin


def _origins(audit: AuditReport) -> Table:
    rows = [
        (
            row.device or None,
            row.origin,
            f"{row.events:,}",
            f"{row.commits:,}",
            f"{row.late_arrivals:,}",
            told_span(row.drift_ms) if row.drift_ms else None,
            f"{row.missing_events:,}",
        )
        for row in audit.origins
    ]
    return Table("Origins", ("device", "origin", "events", "signatures", "late", "clock ahead by", "missing"), rows)


def _arrivals(replica: Replica, seen: Seen) -> Table:
    """How events came here."""
    late, longest = Counter[str](), Counter[str]()
    for key, late_ms in seen.late.items():
        origin = OriginId(key[8:])
        device = replica.names.shown(origin) if replica.names.device_of(origin) is not None else origin.hex()
        late[device] += 1
        longest[device] = max(longest[device], late_ms)
    away, times = Counter[str](), Counter[str]()
    for absence in seen.absences:
        away[absence.device] += absence.to_ms - absence.from_ms
        times[absence.device] += 1
    rows = [
        (
            device,
            f"{late[device]:,}",
            told_span(longest[device]) if late[device] else None,
            f"{times[device]:,}",
            told_span(away[device]) if times[device] else None,
        )
        for device in sorted({*late, *times})
    ]
    headers = ("device", "late events", "latest by", "times out of reach", "altogether")
    return Table(f"As {replica.device} received it", headers, rows)


def _forks(replica: Replica) -> Table:
    rows = [
        (fork.device, fork.kept.origin, fork.derived.origin, f"{fork.base:,}", "yes" if fork.proven else "no")
        for fork in forks(replica)
    ]
    return Table("Forks", ("device", "kept", "branch", "behind", "proven by two signatures"), rows)
