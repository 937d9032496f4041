"""The daemon's life in its own process: signals, the log file, and what a bug leaves behind."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

from hcom_replica.core.effects import Trace
from hcom_replica.daemon.client import DaemonClient
from hcom_replica.daemon.journal import Journal
from hcom_replica.daemon.lock import holder
from hcom_replica.daemon.session import Opened, Session
from hcom_replica.errors import DaemonError, ReplicaError

T = TypeVar("T")


def run_daemon(opened: Opened, *, ready: Callable[[], None] | None = None) -> None:
    """Be the folder's daemon until SIGTERM, SIGINT or a `stop` over the control socket. Main thread only.

    Args:
        opened: the open folder.
        ready: called once the daemon answers.

    Raises:
        DaemonError: another daemon works on the folder.
        ConfigError: the settings are not usable.
        StoreError: the store cannot be read any more; what was acknowledged is safe.
    """
    journal = Journal(opened.folder.daemon_log, opened.config.log_level)
    try:
        with Session(opened, journal.trace) as session, _signals(session):
            journal.trace(Trace("started", (("pid", os.getpid()),)))
            session.bridge()
            if ready is not None:
                ready()
            session.run()
        journal.trace(Trace("stopped"))
    except ReplicaError as error:
        journal.trace(Trace("ended", (("kind", error.kind), ("error", error.message))))
        raise
    except Exception:
        journal.trace(Trace("bug", (("traceback", traceback.format_exc()),)))
        raise
    finally:
        journal.close()


def run_in_process(opened: Opened, op: str, shape: type[T], **args: Any) -> T:
    """Carry out one operation by the folder's daemon, or, when none runs, by syncing here until it is answered.

    Args:
        opened: the open folder.
        op: see `operations`.
        shape: type of the answer.
        args: arguments of `op`; `timeout_ms` bounds the waiting, not the up to five seconds of going offline.

    Raises:
        ReplicaError: see `Operations.handle` and `Session`.
    """
    if holder(opened.folder.root) is None:
        with suppress(DaemonError), Session(opened, _nowhere) as session:  # another may be quicker to take the lock
            return session.perform(op, shape, **args)
    return DaemonClient(opened.folder.root).request(op, shape, timeout_s=None, **args)


def _nowhere(_trace: Trace) -> None:
    """A command keeps no log."""


@contextmanager
def _signals(session: Session) -> Iterator[None]:
    """SIGTERM and SIGINT end the session in order, SIGHUP makes it read its settings again."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        session.stop()

    def reload(_number: int, _frame: FrameType | None) -> None:
        session.reload_soon()

    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    wakeup_before = signal.set_wakeup_fd(session.signal_fd(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        with suppress(ValueError):
            signal.set_wakeup_fd(wakeup_before)
        for number, handler in before.items():
            signal.signal(number, handler)
