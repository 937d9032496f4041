"""`status`: what is missing here, who has it, and who lacks what was written here."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Final

from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import facts, flush, json_line, line, table, warn
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError

if TYPE_CHECKING:
    from hcom_replica.core.status import Status
    from hcom_replica.core.statusrows import OriginRow

_WATCH_S: Final = 1.0
_CLEAR: Final = "\x1b[H\x1b[J"


def status(
    session: Session,
    lag: Annotated[
        bool, Opt("--lag", help="one row an origin: how far behind, who has it, what it lacks of ours")
    ] = False,
    watch: Annotated[bool, Opt("--watch", help="again each second")] = False,
    fail_over: Annotated[int | None, Opt("--fail-over", metavar="EVENTS", help="exit 1 when more are behind")] = None,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Say where this device stands. Answers without a daemon and without a network."""
    from hcom_replica.api.opening import open_parts
    from hcom_replica.api.status import read_status

    if fail_over is not None and fail_over < 0:
        raise UsageError("--fail-over takes 0 or more events")
    with open_parts(session.folder) as parts:
        while True:
            now = read_status(parts)
            if watch and not json and sys.stdout.isatty():
                line(_CLEAR)
            if json:
                json_line(now)
            else:
                show(now, lag=lag)
            if not watch:
                break
            flush()
            time.sleep(_WATCH_S)
    most = max(now.inbound.behind_events, now.outbound.behind_events)
    return 1 if fail_over is not None and most > fail_over else 0


def show(now: Status, *, lag: bool) -> None:
    """Print a status for people."""
    facts(
        [
            ("device", now.device),
            ("group", now.group[:8]),
            ("daemon", f"running, pid {now.daemon.pid}" if now.daemon.running else "not running"),
            ("broker", broker_text(now)),
            ("events", now.events),
            ("inbound", _inbound(now)),
            ("outbound", _outbound(now)),
            ("stable up to", _frontier(now)),
            *_key(now),
        ]
    )
    for warning in now.warnings:
        warn(warning)
    if lag:
        line()
        show_rows(now.devices)


def _key(now: Status) -> list[tuple[str, str]]:
    if now.key_epoch == 1 and not now.awaiting_key:
        return []
    waits = f"; {', '.join(now.awaiting_key)} yet to take it" if now.awaiting_key else ""
    return [("key", f"epoch {now.key_epoch}{waits}")]


def broker_text(now: Status) -> str:
    """The broker, and whether we are connected to it."""
    if now.broker.url is None:
        return "none: this folder syncs with nobody (relay new, relay connect)"
    if now.broker.connected:
        return f"{now.broker.url}, connected since {now.broker.since}"
    return f"{now.broker.url}, not connected"


def _inbound(now: Status) -> str:
    behind = now.inbound
    if not behind.behind_events:
        return "nothing known is missing here"
    eta = f", about {behind.eta_s:,.0f} s to go" if behind.eta_s is not None else ""
    return f"{behind.behind_events:,} events, {behind.behind_bytes:,} bytes, {behind.behind_s:,.0f} s behind{eta}"


def _outbound(now: Status) -> str:
    behind = now.outbound.behind_events
    return f"{behind:,} events written here are missing elsewhere" if behind else "nobody known lacks anything of ours"


def _frontier(now: Status) -> str | None:
    if now.stable_frontier is None or now.frontier_held_by in (None, now.device):
        return now.stable_frontier
    return f"{now.stable_frontier}, held back by {now.frontier_held_by}"


def show_rows(rows: list[OriginRow]) -> None:
    """Print a row for each origin of the others."""
    if not rows:
        line("no other device is known yet")
        return
    table(
        (
            "device",
            "origin",
            "online",
            "have",
            "head",
            "behind",
            "bytes",
            "lacks of ours",
            "lost",
            "missing is with",
            "",
        ),
        [
            (
                row.device,
                row.origin[:8],
                row.online,
                row.have_seq,
                row.head_seq,
                row.behind_events,
                row.behind_bytes,
                row.outbound_behind_events,
                row.lost_events,
                _holders(row),
                ", ".join(row.flags),
            )
            for row in rows
        ],
    )


def _holders(row: OriginRow) -> str:
    if row.missing is None:
        return ""
    what = f"{row.missing.first}..{row.missing.last}: "
    return what + (", ".join(row.held_by) or "nobody known")
