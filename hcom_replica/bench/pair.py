"""Two real daemons and a broker of their own on loopback: what the journeys run on.

Owns their processes and folders: everything is ended and removed afterwards, by process id. A device may be taken off
the network and put back without its daemon being started anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple, Self

from hcom_replica.api.appending import append_drafts
from hcom_replica.api.replica import Replica
from hcom_replica.bench.device import digest
from hcom_replica.bench.figures import Curve
from hcom_replica.bench.machine import rss_anon_mib
from hcom_replica.daemon.client import DaemonClient
from hcom_replica.folder.config_edit import change_config
from hcom_replica.ids import OriginId
from hcom_replica.store.log import Log
from hcom_replica.testing.real.brokers import PrivateBroker, any_broker
from hcom_replica.testing.real.processes import Cli
from hcom_replica.testing.real.waiting import wait_until
from hcom_replica.wire.event import Draft

WAIT_S: Final = 120.0
_SAMPLE_S: Final = 0.02
_CURVE_POINTS: Final = 120


class Member:
    """One device with a running daemon.

    Attributes:
        cli: its command line.
        replica: its folder, open in this process beside the daemon.
    """

    def __init__(self, cli: Cli) -> None:
        self.cli = cli
        pid = cli.daemon_pid()
        assert pid is not None, "the daemon does not run"
        self.pid = pid
        self.replica = Replica.open(cli.folder, create=False)

    def switch(self, *, on: bool) -> None:
        """Go on the network, or leave it, with the daemon running on; returns when the daemon has been told."""
        change_config(self.replica.folder.config, {"relay.enabled": on})
        DaemonClient(self.replica.folder.root).request("reload", bool)

    def append(self, drafts: Sequence[Draft]) -> None:
        """Append in one durable transaction beside the daemon, as any program does."""
        append_drafts(self.replica.parts, drafts)

    def held(self) -> int:
        """Events held, system events among them."""
        return self.replica.log.last_arrival()


class Pair:
    """Two devices of one group, both known to each other.

    Attributes:
        broker: their broker.
        first: made the group.
        second: joined it.
    """

    def __init__(self, broker: PrivateBroker, first: Member, second: Member) -> None:
        self.broker, self.first, self.second = broker, first, second

    def await_equal(self) -> None:
        """Wait until both logs are the same, and prove it."""
        wait_until(self._is_equal, WAIT_S, "the devices hold the same")

    def _is_equal(self) -> bool:
        """Whether both hold the same; what a daemon writes of its own while this is looked at begins it anew."""
        logs = self.first.replica.log, self.second.replica.log
        before = [_vector(log) for log in logs]
        if before[0] != before[1]:
            return False
        digests = [digest(log) for log in logs]
        if [_vector(log) for log in logs] != before:
            return False
        assert digests[0] == digests[1], "equal vectors, different logs"
        return True


def _vector(log: Log) -> dict[OriginId, tuple[int, bytes]]:
    return {state.id: (state.seq, state.tip) for state in log.origins()}


@contextmanager
def pair(folder: Path, *, second_through: Callable[[PrivateBroker], str] | None = None) -> Iterator[Pair]:
    """Start a broker and two daemons.

    Args:
        folder: for all of them.
        second_through: given the broker, the URL at which the second device is to look for it instead.
    """
    with ExitStack() as stack:
        broker = stack.enter_context(any_broker(folder / "broker"))
        first, second = (stack.enter_context(Cli(folder / name)) for name in ("first", "second"))
        token = first.json("relay", "new", "--broker", broker.address.url, "--name", "BENA")["token"]
        route = ["--broker", second_through(broker)] if second_through is not None else []
        second.ok("relay", "connect", "-", "--name", "BENB", *route, stdin=token)
        members = Member(first), Member(second)
        for member in members:
            stack.callback(member.replica.close)
        both = Pair(broker, *members)
        both.await_equal()
        yield both


class Span(NamedTuple):
    """A stretch of time, of `time.perf_counter`."""

    begin: float
    end: float


class MemoryWatch:
    """The memory of their own that processes had while it watched, over time; a context manager.

    Args:
        pids: whom to watch.
    """

    def __init__(self, *pids: int) -> None:
        self._samples: dict[int, list[tuple[float, float]]] = {pid: [] for pid in pids}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def most_mib(self, pid: int) -> float:
        """The most that a process had."""
        return max(mib for _, mib in self._samples[pid])

    def curve(self, pid: int, span: Span) -> Curve:
        """Seconds since a span began, and MiB: the most of each stretch of it, in few points; one at least."""
        inside = [(at - span.begin, mib) for at, mib in self._samples[pid] if span.begin <= at <= span.end]
        since = inside or [(at - span.begin, mib) for at, mib in self._samples[pid] if at >= span.begin][:1]
        step = len(since) // _CURVE_POINTS + 1
        some = (since[at : at + step] for at in range(0, len(since), step))
        return tuple((one[0][0], max(mib for _, mib in one)) for one in some)

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        for pid, samples in self._samples.items():
            samples.append((time.perf_counter(), rss_anon_mib(pid)))
