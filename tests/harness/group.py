"""A group of devices with real daemons, each with a network of its own to one broker.

Owns the devices it made and ends them, daemons included. What a test asks of a device goes through the command line;
only waiting reads the log directly, because that is asked hundreds of times.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from hcom_replica import Replica
from hcom_replica.api.status import Status
from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.processes import Cli, is_alive
from hcom_replica.testing.real.proxy import ChaosProxy
from hcom_replica.testing.real.waiting import wait_until

WAIT_S: Final = 40.0
"""How long a test waits for what takes a second or two on an idle machine."""

Row = dict[str, Any]


class Laptop:
    """One device: its command line, its data folder, its network.

    Attributes:
        name: as the group knows it.
        cli: its command line; the folder need not exist yet.
        network: between it and the broker.

    Args:
        folder: for its data folder and its output.
        name: of the device.
        broker_port: where its network leads.
        settings: text of its config.toml.
        env: further variables of its processes.
    """

    def __init__(
        self, folder: Path, name: str, broker_port: int, settings: str = "", env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.cli = Cli(folder / name.lower(), env)
        self.network = ChaosProxy(broker_port).start()
        if settings:
            self.folder.mkdir(mode=0o700)
            (self.folder / "config.toml").write_text(settings)

    @property
    def folder(self) -> Path:
        """Its data folder."""
        return self.cli.folder

    # --- joining, starting, ending -------------------------------------------------------------------------

    def found(self) -> str:
        """Make a group; its daemon runs afterwards. Gives the join token."""
        made = self.cli.json("relay", "new", "--broker", self.network.url, "--name", self.name)
        assert made["device"] == self.name
        return str(made["token"])

    def join(self, token: str, *, timeout_s: float = 0.0) -> Any:
        """Join a group; its daemon runs afterwards. Gives what `relay connect` says."""
        arguments = ["--broker", self.network.url, "--name", self.name, "--timeout", str(timeout_s)]
        return self.cli.json("relay", "connect", "-", *arguments, stdin=token)

    def start(self) -> None:
        """Start its daemon."""
        self.cli.ok("relay", "daemon", "start")

    def stop(self) -> None:
        """Stop its daemon in order."""
        self.cli.ok("relay", "daemon", "stop")

    def kill(self) -> None:
        """Kill its daemon with SIGKILL."""
        self.cli.kill_daemon()

    def freeze(self) -> int:
        """Stop its daemon with SIGSTOP; gives the pid to thaw."""
        pid = self.cli.daemon_pid()
        assert pid is not None, "no daemon runs"
        os.kill(pid, signal.SIGSTOP)
        return pid

    def lose(self) -> None:
        """The device is gone: its daemon is killed and its folder deleted."""
        pid = self.cli.daemon_pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not is_alive(pid), WAIT_S, "the daemon is gone")
        shutil.rmtree(self.folder)

    def close(self) -> None:
        """End everything of it. Idempotent."""
        self.network.heal()
        self.cli.close()
        self.network.stop()

    # --- writing and reading -------------------------------------------------------------------------------

    def write(self, path: Path) -> int:
        """Import a file; gives how many events that appended."""
        return int(self.cli.json("import", str(path))["imported_events"])

    def emit(self, data: str = "null", kind: str = "k") -> str:
        """Append one event; gives its id."""
        return self.cli.ok("emit", kind, "--agent", "luna", "--data", data).strip()

    def events(self, *arguments: str) -> list[Row]:
        """All its events, in canonical order unless asked otherwise."""
        return self.cli.json_lines("events", "-n", "all", *arguments)

    def canonical(self) -> str:
        """What `events` prints of all events in canonical order."""
        return self.cli.ok("events", "--json", "--order", "canonical", "-n", "all")

    def status(self) -> Row:
        """What `status --lag --json` says."""
        said: Row = self.cli.json("status", "--lag")
        return said

    def row(self, device: Laptop) -> Row:
        """The one line of `status` that speaks of another device."""
        (row,) = (row for row in self.status()["devices"] if row["device"] == device.name)
        return dict(row)

    # --- waiting -------------------------------------------------------------------------------------------

    def count(self) -> int:
        """How many events it holds."""
        with Replica.open(self.folder, create=False) as replica:
            return replica.log.event_count()

    def wait_for_events(self, count: int, *, more: bool = False, timeout_s: float = WAIT_S) -> None:
        """Wait until it holds `count` events; with `more` also beyond."""
        with Replica.open(self.folder, create=False) as replica:
            log = replica.log
            wait_until(
                lambda: log.event_count() >= count,
                timeout_s,
                lambda: f"{count} events at {self.name}; it holds {log.event_count()}; {self.trouble()}",
            )
            assert more or log.event_count() == count

    def wait_for_status(self, matching: Callable[[Status], bool], what: str, timeout_s: float = WAIT_S) -> Status:
        """Wait until its status is as wanted; gives that status."""
        with Replica.open(self.folder, create=False) as replica:
            last = replica.status()

            def matches() -> bool:
                nonlocal last
                last = replica.status()
                return matching(last)

            wait_until(matches, timeout_s, lambda: f"{what}; {self.name} says {shown(last)}; {self.trouble()}")
            return last

    def wait_until_connected(self) -> None:
        """Wait until its daemon is connected to the broker."""
        self.wait_for_status(lambda status: status.broker.connected, "a connection")

    def wait_for_log(self, text: str) -> None:
        """Wait until its daemon's log speaks of `text`."""
        path = self.folder / "daemon.log"
        wait_until(lambda: text in path.read_text(errors="replace"), WAIT_S, lambda: f"{text!r}; {self.trouble()}")

    def trouble(self) -> str:
        """The end of its daemon's log, for a failure."""
        path = self.folder / "daemon.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "daemon.log ends with:\n" + "\n".join(lines[-15:])


class Group:
    """Devices of one group on one broker. A context manager: at its end all daemons are stopped.

    Attributes:
        token: with which devices join; empty before the first.

    Args:
        folder: for all files.
        broker: running.
    """

    def __init__(self, folder: Path, broker: PrivateBroker) -> None:
        self.token = ""
        self._folder = folder
        self._broker = broker
        self._laptops: list[Laptop] = []

    def laptop(
        self, name: str, settings: str = "", env: Mapping[str, str] | None = None, *, folder: Path | None = None
    ) -> Laptop:
        """A device that has not joined yet; in another folder than the group's where a name comes again."""
        made = Laptop(folder or self._folder, name, self._broker.port, settings, env)
        self._laptops.append(made)
        return made

    def add(self, name: str, settings: str = "", env: Mapping[str, str] | None = None) -> Laptop:
        """A device that founds the group, or joins it."""
        made = self.laptop(name, settings, env)
        if self.token:
            made.join(self.token)
        else:
            self.token = made.found()
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for laptop in self._laptops:
            laptop.close()


def shown(status: Status) -> str:
    """A status as JSON, for a failure."""
    return msgspec.json.encode(status).decode()


def assert_equal_histories(laptops: list[Laptop], count: int) -> None:
    """Check that all print the same bytes, with `count` events, none twice."""
    texts = [laptop.canonical() for laptop in laptops]
    lines = texts[0].split("\n")[:-1]
    assert len(lines) == count
    assert len({msgspec.json.decode(line)["id"] for line in lines}) == count
    for laptop, text in zip(laptops[1:], texts[1:], strict=True):
        assert text == texts[0], f"{laptops[0].name} and {laptop.name} differ"
