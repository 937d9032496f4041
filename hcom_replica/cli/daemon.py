"""`relay daemon` and `run`: the process that syncs this folder."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, BinaryIO, Final

from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import escape, flush, json_line, line
from hcom_replica.cli.session import Session
from hcom_replica.errors import ConfigError, DaemonError

Json = Annotated[bool, Opt("--json", help="print JSON")]

_POLL_S: Final = 0.2
_TAIL_BYTES: Final = 64 * 1024
_ENTRY: Final = re.compile(r"(\S+Z) ([A-Z]+) (.*)")
"""A line as daemon/journal.py writes it."""


def run(session: Session) -> int | None:
    """Be this folder's daemon, in the foreground, until Ctrl-C or SIGTERM."""
    import os

    from hcom_replica.api.replica import Replica
    from hcom_replica.daemon.run import run_daemon

    _need_group(session)
    with Replica.in_folder(session.folder) as replica:
        replica.introduce()

        def ready() -> None:
            line(escape(f"running: device {replica.device}, pid {os.getpid()}, log in {session.folder.daemon_log}"))
            flush()

        run_daemon(replica.parts, ready=ready)
    return 0


def start(session: Session, json: Json = False) -> int | None:
    """Start the daemon in the background."""
    from hcom_replica.daemon.process import start as start_daemon

    _need_group(session)
    _show_running(start_daemon(session.folder), json=json)
    return 0


def stop(session: Session, json: Json = False) -> int | None:
    """Stop the daemon in order; it says goodbye to the broker first."""
    from hcom_replica.daemon.process import stop as stop_daemon

    pid = stop_daemon(session.folder) if session.folder.root.exists() else None
    if json:
        json_line({"running": False, "stopped_pid": pid})
    else:
        line("no daemon ran" if pid is None else f"daemon stopped, pid {pid}")
    return 0


def restart(session: Session, json: Json = False) -> int | None:
    """Stop the daemon if it runs, and start it."""
    from hcom_replica.daemon.process import restart as restart_daemon

    _need_group(session)
    _show_running(restart_daemon(session.folder), json=json)
    return 0


def status(session: Session, json: Json = False) -> int | None:
    """Say whether the daemon runs."""
    from hcom_replica.api.control import ask
    from hcom_replica.api.times import iso_ms

    pid, info = ask(session.folder) if session.folder.root.exists() else (None, None)
    if json:
        json_line(
            {
                "running": pid is not None,
                "pid": pid,
                "started": None if info is None else iso_ms(info.started_ms),
                "enabled": None if info is None else info.enabled,
                "connected": None if info is None else info.live.connected,
                "broker": None if info is None else info.broker,
                "problem": None if info is None else info.problem or None,
            }
        )
    elif pid is None:
        line("daemon: not running")
    elif info is None:
        line(f"daemon: pid {pid}, does not answer")
    else:
        state = "connected" if info.live.connected else "syncing is off" if not info.enabled else "not connected"
        why = f": {escape(info.problem)}" if info.problem and info.enabled else ""
        line(f"daemon: running, pid {pid}, {state}{why}")
    return 0


def install(
    session: Session,
    remove: Annotated[bool, Opt("--remove", help="take the service away again")] = False,
    json: Json = False,
) -> int | None:
    """Let the system run the daemon: at every login, and again when it fails.

    A systemd user unit on Linux, a launchd agent on macOS, one for each data folder.
    """
    from hcom_replica.daemon import process, service

    if remove:
        file = service.uninstall(session.folder)
        if json:
            json_line({"removed": None if file is None else str(file)})
        else:
            line("there was no service" if file is None else escape(f"removed {file}"))
        return 0
    _need_group(session)
    made = service.define(session.folder)
    process.stop(session.folder)  # it is the service's to run from now on
    running = service.begin(made)
    if not running:
        process.start(session.folder)
    if json:
        json_line({"service": made.name, "file": str(made.file), "running": running})
    else:
        line(escape(f"service {made.name} is in {made.file}"))
        line("it runs, and starts at every login" if running else "no service manager answers: it starts when one does")
    return 0


def logs(
    session: Session,
    follow: Annotated[bool, Opt("-f", "--follow", help="go on with what is written")] = False,
    json: Annotated[bool, Opt("--json", help="print one object a line")] = False,
) -> int | None:
    """Print the end of daemon.log."""
    show = _show_json if json else _show
    path = session.folder.daemon_log
    if not path.exists():
        raise DaemonError(f"there is no {path} yet", hint="hcom-replica relay daemon start")
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        if size > _TAIL_BYTES:
            file.readline()
        _copy(file, show)
        if not follow:
            return 0
    _follow(path, size, show)
    return 0


def _follow(path: Path, place: int, show: Callable[[str], None]) -> None:
    """Print what is added to a log file, also over its rotation."""
    while True:
        flush()
        time.sleep(_POLL_S)
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(place if size >= place else 0)
            place = _copy(file, show)


def _copy(file: BinaryIO, show: Callable[[str], None]) -> int:
    """Print whole lines; return the place behind the last one."""
    place = file.tell()
    for text in file:
        if not text.endswith(b"\n"):
            break
        show(text.decode("utf-8", "backslashreplace").rstrip("\n"))
        place += len(text)
    return place


def _show(text: str) -> None:
    line(escape(text))


def _show_json(text: str) -> None:
    """A line of the journal; what is no such line, like the traceback of a bug, has neither time nor level."""
    found = _ENTRY.fullmatch(text)
    time_, level, said = found.groups() if found else (None, None, text)
    json_line({"time": time_, "level": None if level is None else level.lower(), "text": said})


def _show_running(pid: int, *, json: bool) -> None:
    if json:
        json_line({"running": True, "pid": pid})
    else:
        line(f"daemon running, pid {pid}")


def _need_group(session: Session) -> None:
    """Refuse what no daemon could start with, before one that works is stopped."""
    from hcom_replica.folder.config import load_config
    from hcom_replica.folder.keys import group_token

    config, token = load_config(session.folder.config), group_token(session.folder)
    if token is None or not (token.brokers or config.brokers):
        raise ConfigError(
            "this folder has no group to sync with yet", hint="hcom-replica relay new, or relay connect TOKEN"
        )
