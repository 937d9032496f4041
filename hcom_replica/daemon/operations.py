"""What a daemon can be asked for. The same operations serve the control socket and a command that syncs by itself.

| op | arguments | answer |
|---|---|---|
| `status` | | DaemonInfo |
| `flush` | device: name or nil, timeout_ms: or nil | FlushAnswer, when done or out of time |
| `compare` | device: id, timeout_ms: or nil | CompareAnswer, when settled or out of time |
| `wait` | timeout_ms: or nil | WaitAnswer, when done or out of time |
| `move` | timeout_ms: or nil | MoveAnswer, when this device has gone where the group meets, or out of time |
| `reload` | | true: the settings were read again |
| `forget` | timeout_ms: or nil | true when all our slots on the broker are cleared |
| `ask_off` | | true when the others were asked; false when there is no connection |
| `refill` | | whether there is a bridge: hcom is given again whatever it does not have |
| `leave` | timeout_ms: or nil | true when the group of hcom's own relay that was joined is left; see `legacy` |
| `remote` | device: 16 hex digits, action, params: object, timeout_ms | RemoteAnswer, when there is one or time is up |
| `stop` | | pid of the daemon, which then ends |
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, Protocol

from hcom_replica.core.effects import Now
from hcom_replica.core.machine import Machine
from hcom_replica.daemon.bridging import Bridging
from hcom_replica.daemon.engine import Engine
from hcom_replica.daemon.messages import (
    CompareAnswer,
    DaemonInfo,
    FlushAnswer,
    MoveAnswer,
    RemoteAnswer,
    Request,
    WaitAnswer,
)
from hcom_replica.errors import BridgeError, DaemonError, UsageError

FRESH_MS: Final = 2_000
"""A connection younger than this has only just read what it knows; an older one may be dead without a word."""


class Host(Protocol):
    """Whom the operations act upon, beside engine and machine."""

    def info(self) -> DaemonInfo:
        """What `status` answers."""

    def reload(self, now: Now) -> None:
        """Read the settings again.

        Raises:
            ConfigError: they are not usable; the old ones stand.
        """

    def refill(self) -> bool:
        """Give hcom again whatever it does not have; False when there is no bridge."""

    def leave(self, now: Now) -> None:
        """Begin to leave the group of hcom's own relay."""

    def remote(self) -> Bridging | None:
        """The bridge, by which other devices' hcoms are asked for something; None when there is none."""

    def has_left(self, now: Now) -> bool:
        """Whether it is left."""

    def stop(self) -> None:
        """End in order."""


class Operations:
    """Answers requests.

    Args:
        host: see there.
        engine: of this replica.
        machine: of this replica.
    """

    def __init__(self, host: Host, engine: Engine, machine: Machine) -> None:
        self._host = host
        self._engine = engine
        self._machine = machine
        self._known: dict[str, Callable[[dict[str, Any], Now], Any]] = {
            "status": self._status,
            "flush": self._flush,
            "compare": self._compare,
            "wait": self._wait,
            "move": self._move,
            "reload": self._reload,
            "forget": self._forget,
            "ask_off": self._ask_off,
            "refill": self._refill,
            "leave": self._leave,
            "remote": self._remote,
            "stop": self._stop,
        }

    def handle(self, request: Request, now: Now) -> Any:
        """Answer, or return a `control.Later`.

        Raises:
            DaemonError: there is no such operation.
            UsageError: an argument is not usable.
            ConfigError: of `reload`.
        """
        known = self._known.get(request.op)
        if known is None:
            raise DaemonError(
                f"the daemon does not know {request.op!r}: it is of another version",
                hint="hcom-replica relay daemon restart",
            )
        return known(request.args, now)

    def _status(self, _args: dict[str, Any], now: Now) -> DaemonInfo:
        """The asker reads the store: what was heard last has to be there."""
        self._engine.keep_notes(now)
        return self._host.info()

    def _flush(self, args: dict[str, Any], now: Now) -> Flush:
        device = args.get("device")
        if device is not None and not isinstance(device, str):
            raise UsageError("device must be a name")
        return Flush(self._engine, self._machine, now, device, _until(args, now))

    def _compare(self, args: dict[str, Any], now: Now) -> Compare:
        device = args.get("device")
        if not isinstance(device, bytes):
            raise UsageError("device must be an id")
        return Compare(self._engine, self._machine, self._machine.start_comparison(now, device), _until(args, now))

    def _wait(self, args: dict[str, Any], now: Now) -> Wait:
        lived_ms = self._engine.lived_ms(now)
        if lived_ms is None or lived_ms > FRESH_MS:
            self._engine.renew(now, "somebody waits for fresh heads")
        return Wait(self._engine, self._machine, _until(args, now))

    def _move(self, args: dict[str, Any], now: Now) -> Move:
        self._machine.log_moved(now)
        return Move(self._engine, self._machine, _until(args, now))

    def _reload(self, _args: dict[str, Any], now: Now) -> bool:
        self._host.reload(now)
        return True

    def _forget(self, args: dict[str, Any], now: Now) -> Forget:
        return Forget(self._engine, self._machine, _until(args, now))

    def _ask_off(self, _args: dict[str, Any], now: Now) -> bool:
        if self._engine.online:
            self._machine.ask_off(now)
        return self._engine.online

    def _refill(self, _args: dict[str, Any], _now: Now) -> bool:
        return self._host.refill()

    def _leave(self, args: dict[str, Any], now: Now) -> Leave:
        return Leave(self._host, _until(args, now))

    def _remote(self, args: dict[str, Any], now: Now) -> Remote:
        bridge, until_ms = self._host.remote(), _until(args, now)
        device, action, params = args.get("device"), args.get("action"), args.get("params")
        if not isinstance(device, str) or not isinstance(action, str) or not isinstance(params, dict):
            raise UsageError("a wish has a device, an action and its parameters")
        if bridge is None or until_ms is None:
            raise BridgeError(
                "no bridge to hcom runs here", hint="hcom-replica bridge hcom --setup, or ask with --durable"
            )
        try:
            return Remote(bridge, bytes.fromhex(device), action, params, until_ms, now)
        except ValueError:
            raise UsageError("a device is 16 hex digits") from None

    def _stop(self, _args: dict[str, Any], _now: Now) -> int:
        self._host.stop()
        return os.getpid()


class Flush:
    """A flush that somebody waits for (`control.Later`)."""

    def __init__(self, engine: Engine, machine: Machine, now: Now, device: str | None, until_ms: int | None) -> None:
        self.until_ms = until_ms
        self._engine = engine
        self._machine = machine
        self._number = machine.start_flush(now, device)

    def result(self, now: Now) -> tuple[bool, FlushAnswer]:  # noqa: ARG002 - a Later's
        """How far it has come."""
        result = self._machine.flush_result(self._number)
        return result.done, FlushAnswer(result.done, result.safe_in, result.reason, self._engine.online)

    def drop(self) -> None:
        """End it."""
        self._machine.end_flush(self._number)


class Compare:
    """A comparison that somebody waits for (`control.Later`)."""

    def __init__(self, engine: Engine, machine: Machine, number: int, until_ms: int | None) -> None:
        self.until_ms = until_ms
        self._engine = engine
        self._machine = machine
        self._number = number

    def result(self, now: Now) -> tuple[bool, CompareAnswer]:
        """How far it has come; the asker reads the store: what was heard last has to be there."""
        found = self._machine.comparison(self._number)
        questions = {origin.hex(): asked for origin, asked in found.questions.items()}
        if found.settled or (self.until_ms is not None and now.mono_ms >= self.until_ms):
            self._engine.keep_notes(now)
        return found.settled, CompareAnswer(found.answered, found.settled, questions, self._engine.online)

    def drop(self) -> None:
        """End it."""
        self._machine.end_comparison(self._number)


class Wait:
    """Somebody waits until nothing is missing (`control.Later`)."""

    def __init__(self, engine: Engine, machine: Machine, until_ms: int | None) -> None:
        self.until_ms = until_ms
        self._engine = engine
        self._machine = machine

    def result(self, now: Now) -> tuple[bool, WaitAnswer]:  # noqa: ARG002 - a Later's
        """What is missing."""
        found = self._machine.wait_result()
        done = found.heads_read and not found.missing_events
        return done, WaitAnswer(done, found.missing_events, found.heads_read, self._engine.online)

    def drop(self) -> None:
        """There is nothing to end."""


class Move:
    """Somebody waits until this device has gone where the group meets (`control.Later`)."""

    def __init__(self, engine: Engine, machine: Machine, until_ms: int | None) -> None:
        self.until_ms = until_ms
        self._engine = engine
        self._machine = machine

    def result(self, now: Now) -> tuple[bool, MoveAnswer]:  # noqa: ARG002 - a Later's
        """Whether it has."""
        done = self._machine.moving.bound_for is None
        return done, MoveAnswer(done, self._engine.online)

    def drop(self) -> None:
        """There is nothing to end."""


class Forget:
    """Somebody waits until the broker has cleared our slots (`control.Later`)."""

    def __init__(self, engine: Engine, machine: Machine, until_ms: int | None) -> None:
        self.until_ms = until_ms
        self._engine = engine
        self._machine = machine
        self._told_ms: int | None = None

    def result(self, now: Now) -> tuple[bool, bool]:
        """Whether all is cleared; then we leave the network, so that nothing is written again.

        What was published on a connection that has ended counts for nothing, and before there is one nothing is.
        """
        lived_ms = self._engine.lived_ms(now)
        if lived_ms is None:
            return False, False
        up_ms = now.mono_ms - lived_ms
        if self._told_ms != up_ms:
            self._told_ms = up_ms
            self._machine.forget(now)
            return False, False
        cleared = self._machine.closed()
        if cleared:
            self._engine.enable(now, enabled=False)
        return cleared, cleared

    def drop(self) -> None:
        """There is nothing to end."""


class Remote:
    """Somebody waits for what another device's hcom does (`control.Later`); who does not any more is not waited for."""

    def __init__(
        self, bridge: Bridging, device: bytes, action: str, params: dict[str, Any], until_ms: int, now: Now
    ) -> None:
        self.until_ms: int | None = until_ms
        self._bridge = bridge
        self._request = bridge.ask(device, action, params, until_ms, now)

    def result(self, now: Now) -> tuple[bool, RemoteAnswer]:  # noqa: ARG002 - a Later's
        """What came of it so far."""
        said = self._bridge.answer(self._request)
        return said is not None, RemoteAnswer() if said is None else RemoteAnswer(True, said.ok, said.result)  # noqa: FBT003

    def drop(self) -> None:
        """Nobody waits any more."""
        self._bridge.give_up(self._request)


class Leave:
    """Somebody waits until a group of hcom's own is left (`control.Later`)."""

    def __init__(self, host: Host, until_ms: int | None) -> None:
        self.until_ms = until_ms
        self._host = host

    def result(self, now: Now) -> tuple[bool, bool]:
        """Whether it is; where there is no connection yet, it is begun when there is."""
        self._host.leave(now)
        left = self._host.has_left(now)
        return left, left

    def drop(self) -> None:
        """There is nothing to end."""


def _until(args: dict[str, Any], now: Now) -> int | None:
    timeout_ms = args.get("timeout_ms")
    if timeout_ms is None:
        return None
    if not isinstance(timeout_ms, int) or timeout_ms < 0:
        raise UsageError("timeout_ms must be a number of milliseconds")
    return now.mono_ms + timeout_ms
