"""How a group of a given size converges, and what it costs: the experiment behind `hcom-replica simulate`.

All devices start within the first seconds, on empty logs; events are written on random devices in the same time. The
broker loses a share of all that it sends to them. Time goes on until every device holds every event. Owns the
experiment and its figures; knows of the protocol only the classes of topics, for counting. A plan gives one report,
always the same.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import msgspec

from hcom_replica.core.settings import Settings
from hcom_replica.errors import UsageError
from hcom_replica.store.kv import Table
from hcom_replica.store.memory_kv import MemoryKv
from hcom_replica.testing.cluster import Cluster
from hcom_replica.testing.faults import Kind
from hcom_replica.testing.pipe import Profile
from hcom_replica.testing.shared import shared_checks
from hcom_replica.testing.traffic import Tally

WRITING_MS: Final = 10_000
"""Devices start, and events are written, within this time."""

SAMPLE_MS: Final = 100
_COUNTED_MS: Final = WRITING_MS + SAMPLE_MS
"""By then a device that started last has said hello, too."""

LIMIT_MS: Final = 3_600_000
DEVICES_MAX: Final = 4_000
EVENTS_MAX: Final = 1_000_000
_COLLECTIONS: Final = (200_000, 50, 100)
PACE_MS: Final = 20
"""A device takes what came within so long in one step, as a busy process does."""


class Plan(msgspec.Struct, frozen=True):
    """What to simulate.

    Attributes:
        devices: 2 to DEVICES_MAX.
        events: of the whole group, 1 to EVENTS_MAX; every device writes its hello besides.
        loss: share of the messages that are lost on their way from the broker to each device, 0 to 0.9.
        seed: names the run.
    """

    devices: int
    events: int
    loss: float
    seed: int


class Report(msgspec.Struct, frozen=True):
    """What a simulation found. Keys are those of `simulate --json`; `_s` is virtual time.

    Attributes:
        devices, events, loss, seed: the plan.
        converged: False when an hour of virtual time was not enough.
        convergence_s: from the last event written until every device held every event.
        gossip_rounds: the same in rounds: how often the longest wait before a device asks fits in, rounded up.
        sent_messages, sent_bytes: what a device published on average, packets with their headers, until then.
        received_messages, received_bytes: what it was sent.
        redundancy: bytes of events received / bytes of events that were missing.
        head_bytes_max: the largest head.
        vector_bytes_per_s: what all devices together published as acknowledgements, a second.
        dropped_messages: messages of a device on average that the broker lost: its queues overflowed.
        curve: (seconds since the start, share of all that had to be held that was held), ascending.
    """

    devices: int
    events: int
    loss: float
    seed: int
    converged: bool
    convergence_s: float
    gossip_rounds: int
    sent_messages: int
    sent_bytes: int
    received_messages: int
    received_bytes: int
    redundancy: float | None
    head_bytes_max: int
    vector_bytes_per_s: int
    dropped_messages: int
    curve: list[tuple[float, float]]


Progress = Callable[[str, int, int], None]


def simulate(plan: Plan, progress: Progress | None = None) -> Report:
    """Run the experiment.

    Args:
        plan: what to simulate.
        progress: told now and then what is done, how much, of how much.

    Raises:
        UsageError: a value of the plan is out of range; nothing was run.
    """
    check(plan)
    return Simulation(plan).run(progress)


def check(plan: Plan) -> None:
    """Check a plan.

    Raises:
        UsageError: a value is out of range.
    """
    if not 2 <= plan.devices <= DEVICES_MAX:
        raise UsageError(f"{plan.devices} devices cannot be simulated", hint=f"--devices takes 2 to {DEVICES_MAX}")
    if not 1 <= plan.events <= EVENTS_MAX:
        raise UsageError(f"{plan.events} events cannot be simulated", hint=f"--events takes 1 to {EVENTS_MAX}")
    if not 0 <= plan.loss <= 0.9:  # NaN fails this too
        raise UsageError(f"a loss of {plan.loss} cannot be simulated", hint="--loss takes a share, from 0 to 0.9")


class Simulation:
    """One run.

    Args:
        plan: what to simulate, checked.
        settings: of every device.
    """

    def __init__(self, plan: Plan, settings: Settings | None = None) -> None:
        self._plan = plan
        self._settings = settings or Settings()
        # All hold the same in the end; and nobody starts twice, to read what it has kept of its peers.
        disks = partial(MemoryKv, pool={}, without=[Table.PEERS])
        self.cluster = Cluster(plan.seed, (), settings=self._settings, profile=Profile(), disks=disks)
        self._names = [f"D{number}" for number in range(plan.devices)]
        self._last_write_ms = 0
        self._curve: list[tuple[float, float]] = []
        self._arrange()

    def run(self, progress: Progress | None = None) -> Report:
        """Let time pass until all hold everything, or the limit is reached."""
        with shared_checks(), _rare_collections():
            return self._run(progress)

    def _run(self, progress: Progress | None) -> Report:
        cluster = self.cluster
        wanted = (self._plan.events + self._plan.devices) * self._plan.devices
        held = 0
        while cluster.now_ms < LIMIT_MS and (cluster.now_ms < _COUNTED_MS or held < wanted):
            cluster.run(SAMPLE_MS)
            if cluster.now_ms == _COUNTED_MS:
                wanted = self._total() * self._plan.devices
            held = self._sample(wanted)
            if progress is not None:
                progress("events held", held, wanted)
        return self._report(converged=held == wanted and cluster.converged())

    def _arrange(self) -> None:
        """Put starts and appends on the agenda."""
        scheduler = self.cluster.scheduler
        for name in self._names:
            device = self.cluster.join(name)
            device.pace_ms = PACE_MS
            if self._plan.loss:
                self.cluster.faults.on(Kind.DROP_DOWN, name, rate=self._plan.loss)
            scheduler.at(scheduler.random.randrange(WRITING_MS), device.start)
        for _ in range(self._plan.events):
            name, at_ms = scheduler.random.choice(self._names), scheduler.random.randrange(WRITING_MS)
            scheduler.at(at_ms, self._append, name)
            self._last_write_ms = max(self._last_write_ms, at_ms)

    def _append(self, name: str) -> None:
        self.cluster.append(name)

    def _total(self) -> int:
        """Events of the whole group, hellos included; all have written them."""
        return sum(self.cluster.own(name).seq for name in self._names)

    def _sample(self, wanted: int) -> int:
        cluster = self.cluster
        cluster.world.traces.clear()
        held = sum(device.log.last_arrival() for device in cluster.devices.values())
        self._curve.append((cluster.now_ms / 1000, held / wanted))
        return held

    def _report(self, *, converged: bool) -> Report:
        cluster, plan = self.cluster, self._plan
        taken_ms = cluster.now_ms - self._last_write_ms
        traffic = cluster.broker.traffic
        sums = _sum([traffic.owner(name) for name in self._names])
        count = plan.devices
        vectors = traffic.topic(f"{cluster.world.keys.prefix}/v")
        heads = [len(payload) for _, payload in cluster.broker.retained(f"{cluster.world.keys.prefix}/h/#")]
        return Report(
            devices=count,
            events=plan.events,
            loss=plan.loss,
            seed=plan.seed,
            converged=converged,
            convergence_s=taken_ms / 1000,
            gossip_rounds=-(-taken_ms // self._settings.ask_ms_max),
            sent_messages=sums.messages_in // count,
            sent_bytes=sums.bytes_in // count,
            received_messages=sums.messages_out // count,
            received_bytes=sums.bytes_out // count,
            redundancy=self._redundancy(),
            head_bytes_max=max(heads, default=0),
            vector_bytes_per_s=vectors.bytes_in * 1000 // cluster.now_ms,
            dropped_messages=sums.dropped // count,
            curve=self._curve,
        )

    def _redundancy(self) -> float | None:
        """Event bytes that arrived, those of duplicates counted, by event bytes that had to."""
        devices = self.cluster.devices.values()
        everything = sum(self.cluster.own(name).cum for name in self._names)
        needed = sum(everything - self.cluster.own(name).cum for name in self._names)
        received = sum(device.machine.live_info().counters.get("event bytes", 0) for device in devices)
        return round(received / needed, 3) if needed else None


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for cycles rarely: millions of objects stay to the end, and each look goes through them."""
    before = gc.get_threshold()
    gc.set_threshold(*_COLLECTIONS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _sum(tallies: list[Tally]) -> Tally:
    return Tally(*(sum(getattr(tally, name) for tally in tallies) for name in Tally.__slots__))
