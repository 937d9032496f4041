"""The two sides: hcom with its own relay, and hcom with the bridge; the same questions to both.

Rows are written into the writing hcom's database in one transaction, as so many `hcom send` would, and its worker is
told (`hcom relay push`), as `hcom send` does.
"""

from __future__ import annotations

import shutil
import time
from abc import ABC, abstractmethod
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

from hcom_replica.testing.real.brokers import MosquittoBroker
from hcom_replica.testing.real.hcom import RealHcom, hcom_path
from hcom_replica.testing.real.proxy import ChaosProxy
from tests.harness.clocks import WrongClock
from tests.harness.hcom import Machine

FAKETIME: Final = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
"""Debian's libfaketime, for the case of a wrong clock."""

START_S: Final = 60.0


class Computer(ABC):
    """One machine of a side: an hcom with one agent, and a network of its own to the broker.

    Attributes:
        name: of the machine; its agent has the same in lower case.
        hcom: its hcom.
    """

    name: str
    hcom: RealHcom
    network: ChaosProxy

    @property
    def agent(self) -> str:
        """Its agent."""
        return self.name.lower()

    @property
    @abstractmethod
    def short(self) -> str:
        """How the others' hcom shows it."""

    @abstractmethod
    def off(self) -> None:
        """The lid is closed: nothing of it syncs, in order."""

    @abstractmethod
    def on(self) -> None:
        """The lid is opened."""

    @abstractmethod
    def close(self) -> None:
        """End everything of it."""

    def write(self, texts: list[str], clock_off: timedelta = timedelta()) -> None:
        """Its agent writes messages."""
        self.hcom.fill(self.agent, texts, clock_off)
        self.push()

    @abstractmethod
    def push(self) -> None:
        """Tell hcom's worker, as every `hcom send` does."""


class Side(ABC):
    """One side of the comparison."""

    title: str

    def __init__(self, folder: Path, broker: MosquittoBroker) -> None:
        self.folder = folder
        self.broker = broker
        self.computers: list[Computer] = []
        self.token = ""

    @abstractmethod
    def add(self, name: str, clock_off_s: int = 0) -> Computer:
        """A machine joins the group, or makes it."""

    @abstractmethod
    def clone(self, computer: Computer) -> Computer:
        """Copy a machine that is off to another one, as a disk image would, and switch the copy on."""

    def pair(self, clock_off_s: int = 0) -> tuple[Computer, Computer]:
        """Two machines that know each other; the first one's clock may be off."""
        first, second = self.add("boxa", clock_off_s), self.add("tuka")
        self.meet(first, second)
        return first, second

    def meet(self, first: Computer, second: Computer) -> None:
        """Wait until both hcoms know each other's agent."""
        for one, other in ((first, second), (second, first)):
            one.hcom.wait(lambda o=one, p=other: o.hcom.knows(f"{p.agent}:{p.short}"), "they know each other", START_S)  # type: ignore[misc]

    def close(self) -> None:
        """End everything."""
        for computer in self.computers:
            computer.close()


# --- hcom alone --------------------------------------------------------------------------------------------


class AloneComputer(Computer):
    """hcom with its own relay."""

    def __init__(self, side: Side, name: str, clock_off_s: int) -> None:
        self.name = name
        self.network = ChaosProxy(side.broker.port).start()
        self.hcom = RealHcom(side.folder / name, _program(), wrong_clock(clock_off_s))
        self.hcom.start(self.agent)
        if side.token:
            self.hcom.relay_connect(side.token, self.network.url)
        else:
            side.token = self.hcom.relay_new(self.network.url)

    @property
    def short(self) -> str:
        """How the others' hcom shows it."""
        return self.hcom.short

    def off(self) -> None:
        """The lid is closed."""
        self.hcom.relay_worker(on=False)

    def on(self) -> None:
        """The lid is opened."""
        self.hcom.relay_worker(on=True)

    def push(self) -> None:
        """Tell hcom's worker."""
        self.hcom.relay_push()

    def close(self) -> None:
        """End everything of it."""
        self.hcom.stop()
        self.network.stop()


class Alone(Side):
    """hcom's own relay, over the broker."""

    title = "hcom alone"

    def clone(self, computer: Computer) -> Computer:
        """Copy hcom's folder."""
        copy = self.add("copy")
        copy.off()
        _copy(computer.hcom.folder, copy.hcom.folder)
        copy.hcom.relay_worker(on=True)
        return copy

    def add(self, name: str, clock_off_s: int = 0) -> Computer:
        """A machine joins the group, or makes it."""
        self.computers.append(AloneComputer(self, name, clock_off_s))
        return self.computers[-1]


# --- hcom with hcom-replica --------------------------------------------------------------------------------


class BridgedComputer(Computer):
    """hcom, a replica, and the bridge between them."""

    def __init__(self, side: Side, name: str, clock_off_s: int) -> None:
        self.name = name
        env = {**wrong_clock(clock_off_s)}
        machine = Machine(side.folder, name.upper(), side.broker.port, _program(), env)
        self.machine, self.hcom, self.network = machine, machine.hcom, machine.network
        self.hcom.start(self.agent)
        if clock_off_s:  # Python programs take the time from elsewhere
            clock = WrongClock(side.folder / f"clock-{name}", clock_off_s)
            machine.cli._environment.update({**clock.environment, "LD_PRELOAD": "", "FAKETIME": ""})  # noqa: SLF001 - the harness's own
        if side.token:
            machine.join(side.token)
        else:
            side.token = machine.found()
        machine.bridge()
        if clock_off_s:
            self.hcom.run("relay", "daemon", "restart")

    @property
    def short(self) -> str:
        """How the others' hcom shows it."""
        return self.machine.name

    def off(self) -> None:
        """The lid is closed."""
        self.machine.stop()
        self.hcom.stop()

    def on(self) -> None:
        """The lid is opened."""
        self.machine.start()

    def push(self) -> None:
        """The daemon watches the database."""

    def close(self) -> None:
        """End everything of it."""
        self.machine.close()


class Bridged(Side):
    """hcom with the bridge, hcom-replica over the broker."""

    title = "with hcom-replica"

    def clone(self, computer: Computer) -> Computer:
        """Copy the folders of both programs; the copy's hcom is connected to the copy's daemon."""
        copy = self.add("copy")
        copy.off()
        assert isinstance(copy, BridgedComputer)
        assert isinstance(computer, BridgedComputer)
        _copy(computer.hcom.folder, copy.hcom.folder)
        _copy(computer.machine.folder, copy.machine.folder)
        (copy.machine.folder / "bridge.json").unlink()
        copy.machine.cli.ok("bridge", "hcom", "--setup", "--force")
        return copy

    def add(self, name: str, clock_off_s: int = 0) -> Computer:
        """A machine joins the group, or makes it."""
        self.computers.append(BridgedComputer(self, name, clock_off_s))
        return self.computers[-1]


# --- help --------------------------------------------------------------------------------------------------


def wrong_clock(off_s: int) -> dict[str, str]:
    """Variables that put hcom's clock off."""
    if not off_s:
        return {}
    return {"LD_PRELOAD": str(FAKETIME[0]), "FAKETIME": f"{off_s:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def _program() -> str:
    program = hcom_path()
    assert program is not None, "hcom is not installed"
    return program


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.sock", "*.pid", "daemon.lock"))


def arrivals(computer: Computer, texts: list[str], timeout_s: float) -> tuple[int, int, float]:
    """Wait until a machine's hcom has all of some messages, or nothing more comes for long.

    Returns:
        How many of them it has, how many stand behind a later one, and seconds until the last one came.
    """
    wanted, begin = set(texts), time.monotonic()
    before, last_s = -1, 0.0
    while time.monotonic() - begin < timeout_s:
        count = computer.hcom.count_imported()
        if count != before:
            before, last_s = count, time.monotonic() - begin
            if count >= len(texts) and len(_of(computer, wanted)) >= len(texts):
                break
        time.sleep(0.05)
    got = _of(computer, wanted)
    places = {text: number for number, text in enumerate(texts)}
    order = [places[text] for text in got]
    breaks = sum(later < earlier for earlier, later in pairwise(order))
    assert len(got) == len(set(got)), "a message came twice"
    return len(got), breaks, last_s


def _of(computer: Computer, wanted: set[str]) -> list[str]:
    return [text for text in computer.hcom.imported() if text in wanted]
