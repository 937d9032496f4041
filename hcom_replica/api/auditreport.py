"""The report of an audit, as a page: what every origin holds, whether it verifies, and what this device saw."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from hcom_replica.api.filters import Query
from hcom_replica.api.forks import forks
from hcom_replica.api.importing import Progress
from hcom_replica.api.page.build import Report, Table
from hcom_replica.api.page.sources import find_absences, history_page
from hcom_replica.api.replaying import late_arrivals, told_span
from hcom_replica.api.replica import Replica
from hcom_replica.api.times import iso_ms
from hcom_replica.core.origin import OriginState
from hcom_replica.core.packer import as_batch, cut_run
from hcom_replica.core.verify import verify_batch
from hcom_replica.errors import ProtocolError, StoreError
from hcom_replica.ids import OriginId
from hcom_replica.store.log import Log
from hcom_replica.wire.batch import decode_batch
from hcom_replica.wire.codec import U64_MAX

_RUN_BYTES: Final = 256 * 1024


class AuditPage(NamedTuple):
    """A report.

    Attributes:
        html: the page.
        findings: one sentence each; none means that everything verifies and nothing is out of order.
    """

    html: bytes
    findings: list[str]


def audit_page(replica: Replica, query: Query, *, progress: Progress = lambda *_: None) -> AuditPage:
    """Check everything that is held, and make the page that says so.

    Args:
        replica: open.
        query: which events the page shows; the check is of all.
        progress: told from time to time, in events.

    Raises:
        UsageError: a filter cannot be read, or too many events pass; nothing was checked.
        StoreError: the log cannot be read at all.
    """
    states = replica.log.origins()
    total, done = sum(state.seq - state.base for state in states), 0
    damage: dict[OriginId, str] = {}
    for state in states:
        found = _damage(replica.log, replica.parts.token.keys.group, state)
        if found:
            damage[state.id] = found
        done += state.seq - state.base
        progress("checking", done, total)
    findings = _findings(replica, states, damage)
    verdict = f"{total:,} events of {len(states):,} origins were checked: every hash and every signature. "
    verdict += "All is as it was written." if not findings else " ".join(findings)
    tables = [table for table in (_origins(replica, states, damage), _arrivals(replica), _forks(replica)) if table.rows]
    return AuditPage(history_page(replica, query, report=Report(verdict, not findings, tables)), findings)


def _damage(log: Log, group: bytes, state: OriginState) -> str:
    """Where an origin stops verifying, and why; "" for an origin that is as its device has signed it."""
    seq, tip = state.base, b""
    try:
        while seq < state.seq:
            run = log.read_run(state.id, seq + 1, _RUN_BYTES)
            if run is None:
                return f"nothing behind {seq}"
            run = cut_run(run, seq + 1, U64_MAX)
            verified = verify_batch(group, decode_batch(as_batch(state, run)), state)
            if tip and verified.prev != tip:
                return f"the chain is broken behind {seq}"
            seq, tip = verified.last, verified.tips[-1]
    except (ProtocolError, StoreError) as error:
        return f"behind {seq}: {error}"
    return "" if tip == state.tip else f"does not end where it should, at {state.seq}"


def _findings(replica: Replica, states: list[OriginState], damage: dict[OriginId, str]) -> list[str]:
    found = [f"Origin {origin.hex()} does not verify: {why}." for origin, why in damage.items()]
    branches = sum(1 for state in states if state.forks)
    if branches:
        found.append(f"{branches} branches: two histories were signed under one number.")
    drifting = sorted({replica.names.shown(state.id) for state in states if state.drift_ms})
    if drifting:
        found.append(f"Clocks that were ahead by more than a minute: {', '.join(drifting)}.")
    return found


def _origins(replica: Replica, states: list[OriginState], damage: dict[OriginId, str]) -> Table:
    rows = [
        (
            replica.names.shown(state.id),
            state.id.hex(),
            f"{state.seq - state.base:,}",
            iso_ms(state.hlc >> 16),
            told_span(state.drift_ms) if state.drift_ms else None,
            damage.get(state.id, "yes"),
        )
        for state in states
    ]
    headers = ("device", "origin", "events", "newest", "clock ahead by", "verifies")
    return Table("Origins", headers, sorted(rows))


def _arrivals(replica: Replica) -> Table:
    """How events came here."""
    late, longest = Counter[str](), Counter[str]()
    for key, late_ms in late_arrivals(replica.log).items():
        device = replica.names.shown(OriginId(key[8:]))
        late[device] += 1
        longest[device] = max(longest[device], late_ms)
    away, times = Counter[str](), Counter[str]()
    for absence in find_absences(replica.log, replica.names):
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
