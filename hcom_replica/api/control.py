"""Syncing, seen from a command or a program: this folder's daemon, or, when none runs, a session of our own.

Owns the translation of the daemon's answers into reports, and the rule for waiting without a network: who waits is
told that there is no broker, instead of waiting for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from hcom_replica.daemon.wake import wake as wake_daemon
from hcom_replica.errors import BrokerError, DaemonError

if TYPE_CHECKING:
    from hcom_replica.api.opening import Parts
    from hcom_replica.daemon.messages import CompareAnswer, DaemonInfo
    from hcom_replica.folder.paths import Folder

T = TypeVar("T")

CONNECT_MS: Final = 15_000
"""How long a wait without a limit of its own waits for a broker before it says that there is none."""

FORGET_MS: Final = 15_000


class FlushReport(NamedTuple):
    """How a flush ended.

    Attributes:
        safe: everything written here before the call is safe elsewhere.
        safe_in: "device" when another device acknowledged all of it, "broker" when some of it is only in the mailbox.
        reason: why it is not safe, for people.
    """

    safe: bool
    safe_in: str | None
    reason: str


class WaitReport(NamedTuple):
    """How a wait ended: whether nothing known is missing here, and how many events are."""

    complete: bool
    missing_events: int


def wake(folder: Folder) -> None:
    """Tell a running daemon that something was appended; never waits, never fails."""
    wake_daemon(folder.root)


def ask(folder: Folder) -> tuple[int | None, DaemonInfo | None]:
    """The daemon's process id, None when none runs, and what it says of itself, None when it does not answer."""
    from hcom_replica.daemon.client import DaemonClient  # noqa: PLC0415 - appending loads none of this
    from hcom_replica.daemon.lock import holder  # noqa: PLC0415 - the same

    pid = holder(folder.root)
    if pid is None:
        return None, None
    try:
        info = DaemonClient(folder.root).info()
    except DaemonError:
        return pid, None
    return info.pid, info


def reload(folder: Folder) -> None:
    """Make a running daemon read the settings that were changed."""
    from hcom_replica.daemon.client import DaemonClient  # noqa: PLC0415 - appending loads none of this

    if ask(folder)[0] is not None:
        DaemonClient(folder.root).request("reload", bool)


class Control:
    """The syncing of one open folder.

    Args:
        parts: the open folder.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def ask(self) -> tuple[int | None, DaemonInfo | None]:
        """The daemon's process id, None when none runs, and what it says of itself, None when it does not answer."""
        return ask(self._parts.folder)

    def flush(self, timeout_s: float | None, device: str | None) -> FlushReport:
        """Wait until everything written here is safe elsewhere.

        Raises:
            BrokerError: there is no broker, or no connection to it.
        """
        from hcom_replica.daemon.messages import FlushAnswer  # noqa: PLC0415 - as above

        self._need_broker()
        answer = self._patiently("flush", FlushAnswer, timeout_s, device=device)
        if not answer.done and not answer.online:
            raise self._offline(answer.reason)
        return FlushReport(answer.done, answer.safe_in, answer.reason)

    def compare(self, device: bytes, timeout_s: float) -> CompareAnswer:
        """Ask a device (8-byte id) what it holds, and wait until what contradicts has been looked into.

        Raises:
            BrokerError: there is no broker.
            DaemonError: the daemon is of an earlier version.
        """
        from hcom_replica.daemon.messages import CompareAnswer  # noqa: PLC0415 - as above

        self._need_broker()
        return self._perform("compare", CompareAnswer, device=device, timeout_ms=int(timeout_s * 1_000))

    def wait(self, timeout_s: float | None) -> WaitReport:
        """Wait until nothing known is missing here.

        Raises:
            BrokerError: there is no broker, or no connection to it, or it did not say what it knows.
        """
        from hcom_replica.daemon.messages import WaitAnswer  # noqa: PLC0415 - as above

        self._need_broker()
        answer = self._patiently("wait", WaitAnswer, timeout_s)
        if not answer.done and not (answer.online and answer.heads_read):
            raise self._offline("not connected to a broker" if not answer.online else "the broker has not answered yet")
        return WaitReport(answer.done, answer.missing_events)

    def move(self) -> bool:
        """Have this device go where its log says that the group meets, having said so at the present broker.

        Returns:
            False when that broker could not be told; nothing has changed then.
        """
        from hcom_replica.daemon.messages import MoveAnswer  # noqa: PLC0415 - as above

        self._need_broker()
        answer = self._perform("move", MoveAnswer, timeout_ms=CONNECT_MS)
        while not answer.done and answer.online:  # bounded by what a departure may take (P16.3)
            answer = self._perform("move", MoveAnswer, timeout_ms=CONNECT_MS)
        return answer.done

    def forget(self) -> None:
        """Clear what the broker keeps of this device.

        Raises:
            BrokerError: it could not be told.
        """
        self._need_broker()
        if not self._perform("forget", bool, timeout_ms=FORGET_MS):
            raise self._offline("not connected to a broker")

    def ask_off(self) -> None:
        """Ask every device that hears it to stop syncing.

        Raises:
            DaemonError: no daemon runs here.
            BrokerError: it is not connected.
        """
        from hcom_replica.daemon.client import DaemonClient  # noqa: PLC0415 - as above

        if not DaemonClient(self._parts.folder.root).request("ask_off", bool):
            raise self._offline("not connected to a broker")

    def _patiently(self, op: str, shape: type[T], timeout_s: float | None, **args: Any) -> T:
        """Perform an operation that waits; without a limit, look first whether there is a broker at all."""
        if timeout_s is not None:
            return self._perform(op, shape, timeout_ms=int(timeout_s * 1_000), **args)
        first = self._perform(op, shape, timeout_ms=CONNECT_MS, **args)
        if first.done or not first.online:  # type: ignore[attr-defined]
            return first
        return self._perform(op, shape, timeout_ms=None, **args)

    def _perform(self, op: str, shape: type[T], **args: Any) -> T:
        from hcom_replica.daemon.run import run_in_process  # noqa: PLC0415 - as above

        return run_in_process(self._parts, op, shape, **args)

    def _need_broker(self) -> None:
        parts = self._parts
        if not parts.config.enabled:
            raise BrokerError("syncing is off", hint="hcom-replica relay on")
        if not (parts.config.brokers or parts.token.brokers):
            raise BrokerError("this folder has no broker", hint="hcom-replica relay new, or relay connect TOKEN")

    def _offline(self, reason: str) -> BrokerError:
        pid, info = self.ask()
        del pid
        if info is not None and info.problem:
            return BrokerError(info.problem, hint=info.hint)
        return BrokerError(reason, hint="hcom-replica doctor looks for the cause")
