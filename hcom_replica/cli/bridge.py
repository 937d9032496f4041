"""`bridge hcom`: connects the hcom of this machine to the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import escape, facts, json_line, line, note, warn
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError

if TYPE_CHECKING:
    from hcom_replica.api.hcom_bridge import BridgeStatus


def hcom(
    session: Session,
    setup: Annotated[
        bool, Opt("--setup", help="connect hcom: its relay leads to this device's daemon from now on")
    ] = False,
    status: Annotated[bool, Opt("--status", help="show how the bridge stands; what happens without an option")] = False,
    remove: Annotated[bool, Opt("--remove", help="put hcom's own relay settings back")] = False,
    refill: Annotated[
        bool, Opt("--refill", help="give hcom again what of the log it does not have, after hcom reset")
    ] = False,
    hcom_dir: Annotated[
        str | None, Opt("--hcom-dir", metavar="D", help="hcom's folder; else $HCOM_DIR, else ~/.hcom")
    ] = None,
    force: Annotated[bool, Opt("--force", help="with --setup: also when hcom's relay is in a group")] = False,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Connect hcom to the log, so that its agents here and on all other devices reach each other."""
    from hcom_replica.api import hcom_bridge

    if setup + status + remove + refill > 1:
        raise UsageError("one of --setup, --status, --refill and --remove at a time")
    if setup:
        now = hcom_bridge.set_up(session.folder, hcom_dir, force=force)
    elif remove:
        now = hcom_bridge.take_down(session.folder)
    elif refill:
        now = hcom_bridge.refill(session.folder)
    else:
        now = hcom_bridge.look(session.folder, hcom_dir)
    if json:
        json_line(now)
    else:
        show(now)
    return int(bool(now.problems))


def show(now: BridgeStatus) -> None:
    """Print how the bridge stands."""
    if not now.set_up:
        line("hcom is not connected (hcom-replica bridge hcom --setup connects it)")
        return
    facts(
        [
            ("hcom", f"{now.hcom_version or 'not found'}, {now.hcom_dir}"),
            ("device", now.device),
            ("hcom's letters", now.hcom_device),
            ("endpoint", now.endpoint),
            ("worker", "connected" if now.worker else "not connected"),
            ("to hcom", _waiting(now)),
        ]
    )
    for text in now.notes:
        note(f"note: {escape(text)}")
    for problem in now.problems:
        warn(problem)


def _waiting(now: BridgeStatus) -> str:
    waiting = now.waiting_events + now.under_way_events
    return f"{waiting:,} events on their way" if waiting else "up to date"
