"""`audit`: whether the whole history held here is what its writers signed, and what in it is out of the ordinary.

Owns the two halves of an audit. The log itself is walked by a child process, because a damaged page can take the
process with it that reads it; only if that one comes back is the log read here, for what its events say.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import msgspec

from hcom_replica.api.names import Names
from hcom_replica.api.opening import Parts, open_parts
from hcom_replica.api.progress import Progress, silent
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.peers import Peers
from hcom_replica.core.proof import fork_proofs
from hcom_replica.core.settings import Settings
from hcom_replica.errors import ConfigError, StoreCorrupt, UsageError
from hcom_replica.folder.keys import group_token
from hcom_replica.folder.paths import Folder
from hcom_replica.ids import OriginId, order_key
from hcom_replica.store.audit import OriginAudit
from hcom_replica.store.audit_origin import Finding
from hcom_replica.store.auditor import MODULE


class OriginReport(msgspec.Struct, frozen=True):
    """What was walked of one origin, and what is known to be missing of it.

    Attributes:
        device: name as shown; empty where the log could not be read.
        origin: 16 hex digits.
        seq: of its newest event here.
        events: whose hashes were checked, system events included.
        commits: whose signatures were checked.
        system_events: among the events.
        late_arrivals: events that arrived after something that sorts behind them.
        drift_ms: the most that its events were ahead of this device's clock, beyond the bound.
        missing_events: seqs that signed heads speak of and that are not here.
    """

    device: str
    origin: str
    seq: int
    events: int
    commits: int
    system_events: int
    late_arrivals: int
    drift_ms: int
    missing_events: int


class AuditReport(msgspec.Struct, frozen=True):
    """The answer of `audit verify`.

    Attributes:
        sound: nothing was found.
        events: whose hashes were checked.
        commits: whose signatures were checked.
        origins: by device.
        findings: in the order in which they were found.
    """

    sound: bool
    events: int
    commits: int
    origins: list[OriginReport]
    findings: list[Finding]


class _Walked(msgspec.Struct):
    """What the child has said.

    Attributes:
        origins: that it has walked.
        findings: of it, and of its death.
        broken: the log cannot be read.
    """

    origins: list[OriginAudit] = []
    findings: list[Finding] = []
    broken: bool = False


def audit_folder(folder: Folder, *, device: str | None = None, progress: Progress = silent) -> AuditReport:
    """Audit the log of a folder.

    Args:
        folder: of a replica.
        device: only what concerns this device; everything is walked all the same.
        progress: told how far it has come.

    Raises:
        ConfigError: there is no replica in the folder.
        UsageError: no device is called so.
    """
    token = group_token(folder) if folder.exists() else None
    if token is None:
        raise ConfigError(f"there is no replica in {folder.root}")
    if not (folder.log / "data.mdb").exists():
        open_parts(folder, create=False).close()
    walked = _walk(folder, token.keys.group, progress)
    if walked.broken:
        return _report(walked, {}, walked.findings, None)
    try:
        with open_parts(folder, create=False) as parts:
            story = _Story(parts)
            found = [*walked.findings, *story.findings()]
            return _report(walked, story.missing(), found, Names(parts.log, parts.device.public), device)
    except StoreCorrupt as error:
        found = [*walked.findings, Finding("structure", error.message)]
        return _report(walked, {}, found, None)


def _report(
    walked: _Walked, missing: dict[str, int], findings: list[Finding], names: Names | None, device: str | None = None
) -> AuditReport:
    if device is not None and names is not None and not names.known(device):
        raise UsageError(f"no device {device} is known here", hint="hcom-replica devices lists them")

    def shown(origin: str) -> str:
        held = names is not None and origin in {row.origin for row in walked.origins}
        return names.shown(OriginId(bytes.fromhex(origin))) if held and names is not None else ""

    def concerns(origin: str) -> bool:
        return (
            device is None
            or not shown(origin)
            or (names is not None and names.is_called(OriginId(bytes.fromhex(origin)), device))
        )

    rows = [
        OriginReport(
            shown(one.origin),
            one.origin,
            one.seq,
            one.events,
            one.commits,
            one.system_events,
            one.late_arrivals,
            one.drift_ms,
            missing.get(one.origin, 0),
        )
        for one in walked.origins
        if concerns(one.origin)
    ]
    named = [
        msgspec.structs.replace(one, device=one.device or shown(one.origin))
        for one in findings
        if not one.origin or concerns(one.origin)
    ]
    rows.sort(key=lambda row: (row.device, row.origin))
    return AuditReport(not named, sum(row.events for row in rows), sum(row.commits for row in rows), rows, named)


# --- the child -------------------------------------------------------------------------------------------


def _walk(folder: Folder, group: bytes, progress: Progress) -> _Walked:
    """Let a child walk the log."""
    walked, where, done, total = _Walked(), "its beginning", False, 0
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(folder.log), group.hex()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        with child:
            for word, value, place in _said(child.stdout):
                if word == "step":
                    where = place
                    progress("checked", value, total)
                elif word == "total":
                    total = value
                elif word == "finding":
                    walked.findings.append(msgspec.convert(value, Finding))
                elif word == "origin":
                    walked.origins.append(msgspec.convert(value, OriginAudit))
                done = done or word == "done"
    structure = any(finding.what == "structure" for finding in walked.findings)
    walked.broken = structure or not done
    if not done:
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"status {child.returncode}"
        walked.findings.append(Finding("structure", f"the reader died ({how}) behind {where}: the file is damaged"))
    return walked


def _said(lines: IO[bytes] | None) -> Iterator[tuple[str, Any, str]]:
    """What the child says: a word, and what goes with it."""
    for line in lines or ():
        word, *rest = msgspec.json.decode(line)
        yield word, rest[0] if rest else None, rest[1] if len(rest) > 1 else ""


# --- what the events say ---------------------------------------------------------------------------------


class _Story:
    """What in a sound log is out of the ordinary.

    Args:
        parts: of an open folder.
    """

    def __init__(self, parts: Parts) -> None:
        log = self._log = parts.log
        self._token = parts.token
        self._knowledge = Knowledge(log, Peers(parts.token.keys.group, log.peers()), Settings().lease_ms, parts.viewer)

    def missing(self) -> dict[str, int]:
        """Origin -> how many seqs that are known to exist are not here."""
        return {origin.hex(): seqs for origin, seqs in self._knowledge.behind().items()}

    def findings(self) -> Iterator[Finding]:
        """All of them."""
        for fork in fork_proofs(self._log, self._token.keys.group):
            proof = "both signed by its device" if fork.proven else "not both signed by its device"
            origin = fork.derived.state.id.hex()
            yield Finding(
                "fork", f"two histories leave each other there, {proof}", origin, fork.base + 1, fork.base + 1
            )
        membership = self._knowledge.membership
        strangers = membership.unadmitted() if membership is not None and any(self._token.founder) else ()
        for state in self._knowledge.states.values():
            origin, key = state.id.hex(), state.key
            if state.drift_ms:
                yield Finding("drift", f"events were {state.drift_ms / 1_000:.0f} s ahead of this clock", origin)
            if self._knowledge.is_revoked(key):
                yield Finding("revoked writer", "its device is revoked", origin, state.base + 1, state.seq)
            elif key in strangers:
                yield Finding("unknown key", "no member has admitted its device", origin, state.base + 1, state.seq)
        for lacked, seqs in self._knowledge.behind().items():
            have = self._knowledge.have(lacked)
            yield Finding("missing", "events that exist are not here", lacked.hex(), have + 1, have + seqs)
        yield from self._late()

    def _late(self) -> Iterator[Finding]:
        """What a device brought that others had ceased to wait for, or that nobody had let in (P13.6)."""
        states, roster = self._knowledge.states, self._knowledge.roster
        for origin, lines in roster.late.items():
            state = states.get(origin)
            upto = max((seq for _, seq in lines), default=0)
            if state is None:
                continue
            first = roster.closed.get(origin, state.base) + 1
            last = min(upto, state.seq)
            if first <= last and roster.place(origin, last, order_key(0, origin)) is not None:
                yield Finding("late", "came when the stable order had passed its place", origin.hex(), first, last)
