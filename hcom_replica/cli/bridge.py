"""`bridge hcom`: connects the hcom of this machine to the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import escape, facts, json_line, line, note, warn
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError

if TYPE_CHECKING:
    from hcom_replica.api.hcom_bridge import BridgeStatus
    from hcom_replica.api.hcom_legacy import LegacyStatus

_TOKEN_BYTES_MAX: Final = 4_096
"""Several times what a token has."""


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
    join: Annotated[
        str | None,
        Opt(
            "--join",
            metavar="TOKEN|-",
            help="join a group of hcom's own relay, for machines that run only hcom; - reads the token from stdin",
        ),
    ] = None,
    leave: Annotated[bool, Opt("--leave", help="leave that group: its machines see our devices go")] = False,
    password_file: Annotated[
        str | None,
        Opt("--password-file", metavar="F", help="with --join: the broker's password is the first line of this file"),
    ] = None,
    hcom_dir: Annotated[
        str | None, Opt("--hcom-dir", metavar="D", help="hcom's folder; else $HCOM_DIR, else ~/.hcom")
    ] = None,
    force: Annotated[
        bool,
        Opt(
            "--force",
            help="--setup also when hcom's relay is in a group; --leave also when its broker does not answer",
        ),
    ] = False,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Connect hcom to the log, so that its agents here and on all other devices reach each other."""
    from hcom_replica.api import hcom_bridge, hcom_legacy

    if setup + status + remove + refill + leave + (join is not None) > 1:
        raise UsageError("one of --setup, --status, --refill, --remove, --join and --leave at a time")
    if setup:
        now = hcom_bridge.set_up(session.folder, hcom_dir, force=force)
    elif remove:
        now = hcom_bridge.take_down(session.folder)
    elif refill:
        now = hcom_bridge.refill(session.folder)
    elif join is not None:
        hcom_legacy.join(session.folder, _token(join), password_file)
        now = hcom_bridge.look(session.folder, hcom_dir)
    elif leave:
        hcom_legacy.leave(session.folder, force=force)
        now = hcom_bridge.look(session.folder, hcom_dir)
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
    else:
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
    if now.legacy is not None:
        facts(_of_legacy(now.legacy))
    for text in now.notes:
        note(f"note: {escape(text)}")
    for problem in now.problems:
        warn(problem)


def _waiting(now: BridgeStatus) -> str:
    waiting = now.waiting_events + now.under_way_events
    return f"{waiting:,} events on their way" if waiting else "up to date"


def _of_legacy(legacy: LegacyStatus) -> list[tuple[str, str]]:
    """Facts of the group of hcom's own relay that was joined."""
    waiting = f", {legacy.waiting_events:,} on their way" if legacy.waiting_events else ""
    role = "carries" if legacy.carries else f"stands by for {legacy.carrier or 'nobody yet'}"
    rows = [
        ("hcom's group", f"{legacy.broker}, {'connected' if legacy.connected else 'not connected'}"),
        ("this device", role + waiting),
    ]
    for peer in legacy.peers:
        agents = ", ".join(peer.agents) or "no agents"
        rows.append((peer.device, f"{'online' if peer.here else 'away'}, {agents}"))
    return rows


def _token(text: str) -> str:
    if text != "-":
        return text
    from hcom_replica.cli.write import read_stdin

    return read_stdin(_TOKEN_BYTES_MAX, "a token of hcom's").decode(errors="replace")
