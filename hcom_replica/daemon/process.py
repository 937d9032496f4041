"""The daemon as a process: start it in the background, find it, stop it.

A started daemon is a child that outlives us, in a session of its own, with nothing secret in its arguments. It is told
apart from other processes by the lock it holds, never by its name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from hcom_replica.daemon.client import DaemonClient
from hcom_replica.daemon.lock import holder
from hcom_replica.daemon.messages import DaemonInfo
from hcom_replica.errors import DaemonError
from hcom_replica.folder.paths import Folder

START_S: Final = 15.0
STOP_S: Final = 15.0
"""Longer than the five seconds that a daemon gives itself for its last messages."""

_POLL_S: Final = 0.02
_SEE_LOG: Final = "hcom-replica relay daemon logs"


def start(folder: Folder, *, timeout_s: float = START_S) -> int:
    """Start the folder's daemon in the background; return its pid once it answers.

    Raises:
        DaemonError: one runs already, or it did not come up; the end of its log says why.
    """
    pid = holder(folder.root)
    if pid is not None:
        raise DaemonError(
            f"a daemon already works on {folder.root} (pid {pid})", hint="hcom-replica relay daemon restart"
        )
    child = _spawn(folder)
    client = DaemonClient(folder.root)

    def is_up() -> bool:
        if child.poll() is not None:
            raise _ended_at_once(folder, child.returncode)
        with suppress(DaemonError):
            return client.info(timeout_s=1.0).pid == child.pid
        return False

    if not _wait_until(is_up, timeout_s):
        raise DaemonError(f"the daemon (pid {child.pid}) does not answer after {timeout_s:g} s", hint=_SEE_LOG)
    return child.pid


def stop(folder: Folder, *, timeout_s: float = STOP_S) -> int | None:
    """End the folder's daemon in order, and wait until it is gone; return its pid, or None when none ran.

    Raises:
        DaemonError: it does not end in time, or belongs to somebody else; it is still there.
    """
    pid = holder(folder.root)
    if pid is None:
        return None
    try:
        if pid:
            os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise DaemonError(f"the daemon (pid {pid}) belongs to another user") from None
    if not _wait_until(lambda: holder(folder.root) is None, timeout_s):
        raise DaemonError(f"the daemon (pid {pid}) does not stop", hint=f"kill -9 {pid} is safe for the log")
    return pid


def restart(folder: Folder) -> int:
    """Stop the folder's daemon if it runs, start it, and return its pid.

    Raises:
        DaemonError: see `stop` and `start`.
    """
    stop(folder)
    return start(folder)


def ask(folder: Folder) -> tuple[int | None, DaemonInfo | None]:
    """Find the folder's daemon.

    Returns:
        Its pid, None when none runs; and what it says of itself, None when it does not answer.
    """
    pid = holder(folder.root)
    if pid is None:
        return None, None
    with suppress(DaemonError):
        info = DaemonClient(folder.root).info()
        return info.pid, info
    return pid, None


def _spawn(folder: Folder) -> subprocess.Popen[bytes]:
    log = os.open(folder.daemon_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "hcom_replica", "run", "--dir", os.fspath(folder.root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=Path(__file__).parents[2],  # so that `-m` finds the code that is running now
        )
    finally:
        os.close(log)
    # Collected by a thread, so that a long-lived parent keeps no zombie when the daemon ends before it.
    threading.Thread(target=child.wait, name="hcom-replica-child", daemon=True).start()
    return child


def _ended_at_once(folder: Folder, exit_code: int) -> DaemonError:
    """What the child said before it ended, as the command line prints errors: `error[kind]: ...`, then `hint: ...`."""
    lines = folder.daemon_log.read_text(errors="replace").splitlines() if folder.daemon_log.exists() else []
    tail = lines[-2:]
    said = next((line.partition("]: ")[2] for line in tail if line.startswith("error[")), "")
    hint = next((line.removeprefix("hint: ") for line in tail if line.startswith("hint: ")), _SEE_LOG)
    return DaemonError(f"the daemon did not start: {said or f'exit code {exit_code}'}", hint=hint)


def _wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
