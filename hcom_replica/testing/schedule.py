"""Random schedules: what may happen to a group of devices, drawn from a seed; then everything is healed.

Owns the dice and the end of a run: once links are up and clocks run, all devices hold all that exists, know it of each
other, and leave no mail behind. A seed gives one run, always the same.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from hcom_replica.core.settings import Settings
from hcom_replica.errors import StoreFull
from hcom_replica.ids import EventId
from hcom_replica.store.memory_kv import MemoryKv, Moment
from hcom_replica.testing.brokerconfig import BrokerConfig
from hcom_replica.testing.checkers import Violation
from hcom_replica.testing.disk import Disk
from hcom_replica.testing.faults import random_plan
from hcom_replica.testing.stage import Stage
from hcom_replica.wire.event import Draft, decode_event, is_system

HOUR_MS: Final = 3_600_000
SPAN_MS: Final = 240_000
"""How long things go wrong."""
HEALED_MS: Final = 40 * 60_000
"""How long a healed group may take, in virtual time, until it is quiet."""
_LOOK_MS: Final = 1_000
_TWINS_MAX: Final = 2


ACTS: Final = {
    "append": 30,
    "stop": 8,
    "start": 14,
    "crash": 6,
    "crash_later": 4,
    "crash_at_commit": 4,
    "keep_disk": 4,
    "restore": 4,
    "clone": 2,
    "turn_clock": 4,
    "fill_disk": 3,
    "keep_broker": 3,
    "restart_broker": 4,
    "roll_back_broker": 2,
    "join": 2,
}
"""What may be done, and how often beside the others."""

REDACTING: Final = {**ACTS, "redact": 12}
"""The same, and bodies are taken away. A table of its own: a seed of the other one stays the run that it was."""

_HARMLESS: Final = {
    "append", "stop", "start", "keep_disk", "keep_broker", "join", "append refused", "start refused", "redact",
    "redact refused", "rotate", "revoke", "key change refused",
}  # fmt: skip
"""Acts that are no faults."""


@dataclass(slots=True)
class Outcome:
    """What a run was.

    Attributes:
        seed: its name.
        acts: how often each kind of thing was done.
        faults: how often each fault struck.
        events: how many exist at the end.
        healed_ms: virtual ms from healing to quiet.
        steps: how many things happened in the world: a message that arrived, a timer, an act.
    """

    seed: int
    acts: Counter[str]
    faults: Counter[str]
    events: int
    healed_ms: int
    steps: int

    @property
    def fault_kinds(self) -> set[str]:
        """The kinds of faults that struck."""
        return (self.acts.keys() - _HARMLESS) | self.faults.keys()


@dataclass
class Schedule:
    """One run. Most of what can go wrong needs few devices and few steps; `short` runs look for that, five for one.

    Args:
        seed: its name.
        steps: how many things are done.
        faults: the most that the network does besides.
        span_ms: how long things go wrong.
        crowd: how many devices there are at most at first.
        disks: makes their disks.
        table: what may be done, and how often.
    """

    takes_back: ClassVar[bool] = False
    """Whether a device that was put back may take back what it has said, without knowing it."""

    seed: int
    steps: int = 60
    faults: int = 12
    span_ms: int = SPAN_MS
    crowd: int = 5
    disks: Callable[[], Disk] = MemoryKv
    table: Mapping[str, int] = field(default_factory=lambda: ACTS)
    acts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        rng = self._rng = random.Random(self.seed)
        settings = Settings(mailbox_slots=rng.choice((4, 8, 32)))
        version = rng.choice((5, 5, 4))
        broker = BrokerConfig(version=5 if version == 5 else 4, retained_lag_ms=rng.choice(((0, 0), (0, 3_000))))
        self.stage = Stage(self.seed, settings=settings, broker=broker, disks=self.disks)
        self._broker_past: list[dict[str, bytes]] = [{}]
        self._disk_past: list[tuple[str, Disk]] = []
        self._twins = 0

    @classmethod
    def short(cls, seed: int, disks: Callable[[], Disk] = MemoryKv) -> Schedule:
        """Two or three devices, for one virtual minute."""
        return cls(seed, steps=20, faults=6, span_ms=60_000, crowd=3, disks=disks)

    @classmethod
    def redacting(cls, seed: int, disks: Callable[[], Disk] = MemoryKv) -> Schedule:
        """Two to four devices that redact, for two virtual minutes."""
        return cls(seed, steps=40, faults=8, span_ms=120_000, crowd=4, disks=disks, table=REDACTING)

    def run(self) -> Outcome:
        """Run it all.

        Raises:
            Violation: an invariant was broken, or the healed group did not become quiet.
        """
        stage, rng = self.stage, self._rng
        names = [chr(ord("A") + number) for number in range(rng.randint(2, self.crowd))]
        for name in names:
            stage.join(name, skew_ms=rng.choice((0, 0, 0, 2 * HOUR_MS, -2 * HOUR_MS, 30_000)))
            self._start(name)
        stage.faults.plan(random_plan(rng, names, span_ms=self.span_ms, count=rng.randint(0, self.faults)))
        for _ in range(self.steps):
            self._act()
            stage.run(int(rng.expovariate(self.steps / self.span_ms)))
        self._heal()
        began_ms = stage.now_ms
        while why := self.why_not():
            if stage.now_ms - began_ms > HEALED_MS:
                raise Violation("L1", f"seed {self.seed}: {why}")
            stage.run(_LOOK_MS)
        existing, healed_ms = stage.checkers.existing(), stage.now_ms - began_ms
        stage.check_logs()
        faults = Counter({kind.value: hits for kind, hits in stage.faults.hits().items()})
        for device in stage.devices.values():
            faults.update(device.disk.hits)
        return Outcome(self.seed, self.acts, faults, existing, healed_ms, stage.scheduler.steps)

    # --- what happens ------------------------------------------------------------------------------------------

    def _act(self) -> None:
        act = self._rng.choices(list(self.table), list(self.table.values()))[0]
        self.acts[act] += 1
        do: Callable[[str], None] = getattr(self, f"_{act}")
        name = self._rng.choice(sorted(self.stage.devices))
        self.stage.check_claims(name)
        do(name)

    def _append(self, name: str) -> None:
        rng = self._rng
        events = rng.choice((1, 1, 1, 3, 20, 300))
        if rng.random() < 0.05:
            drafts = [Draft("large", None, None, rng.randbytes(rng.choice((50_000, 200_000))))]
        else:
            size = rng.choice((10, 10, 100, 400))
            drafts = [Draft("test", name.lower(), None, rng.randbytes(8) + rng.randbytes(size)) for _ in range(events)]
        try:
            self.stage.append(name, drafts, poke=rng.random() < 0.9)
        except StoreFull:
            self.acts["append refused"] += 1

    def _redact(self, name: str) -> None:
        device = self.stage[name]
        mine = {state.id for state in device.log.origins() if state.key == device.key.public}
        events = [
            row for row in device.log.events() if row.origin in mine and not is_system(decode_event(row.record).kind)
        ]
        if not events:
            return
        row = self._rng.choice(events)
        try:
            self.stage.redact(name, EventId(row.origin, row.seq), poke=self._rng.random() < 0.9)
        except StoreFull:
            self.acts["redact refused"] += 1

    def _stop(self, name: str) -> None:
        self.stage[name].stop()

    def _start(self, name: str) -> None:
        try:
            self.stage[name].start()
        except StoreFull:
            self.acts["start refused"] += 1

    def _crash(self, name: str) -> None:
        self.stage[name].crash(broker_after_ms=self._rng.choice((0, 0, None)))

    def _crash_later(self, name: str) -> None:
        self.stage[name].crash_before_effect(self._rng.randint(1, 40))

    def _crash_at_commit(self, name: str) -> None:
        self.stage[name].disk.crash(self._rng.choice(list(Moment)), commits=self._rng.randint(1, 6))

    def _keep_disk(self, name: str) -> None:
        self._disk_past.append((name, self.stage.snapshot(name)))

    def _restore(self, name: str) -> None:
        past = [disk for owner, disk in self._disk_past if owner == name]
        if past:
            self.stage.put_back(name, self._rng.choice(past))
            if self._rng.random() < 0.5:
                self._append(name)
            self._start(name)
        if self.takes_back:
            self.stage.checkers.liars.add(self.stage.key_of(name))

    def _clone(self, name: str) -> None:
        if self._twins < _TWINS_MAX:
            self._twins += 1
            self.stage.clone(name, f"{name}x{self._twins}").start()

    def _turn_clock(self, name: str) -> None:
        rng = self._rng
        self.stage[name].skew_ms = rng.choice((0, 1, -1)) * rng.randint(0, 5 * HOUR_MS)

    def _fill_disk(self, name: str) -> None:
        disk = self.stage[name].disk
        disk.full = not disk.full

    def _keep_broker(self, name: str) -> None:  # noqa: ARG002 - one shape for all acts
        self._broker_past.append(dict(self.stage.broker.snapshot()))

    def _restart_broker(self, name: str) -> None:  # noqa: ARG002
        keep = self._rng.choice(("all", "nothing", "past"))
        broker, past = self.stage.broker, self._rng.choice(self._broker_past)
        down_ms = self._rng.choice((0, 500, 20_000))
        broker.restart(past if keep == "past" else "all" if keep == "all" else "nothing", down_ms=down_ms)

    def _roll_back_broker(self, name: str) -> None:  # noqa: ARG002
        self.stage.broker.roll_back(self._rng.choice(self._broker_past))

    def _join(self, name: str) -> None:  # noqa: ARG002
        if len(self.stage.devices) < 6:
            self.stage.join(f"J{len(self.stage.devices)}").start()

    # --- how it ends -------------------------------------------------------------------------------------------

    def _heal(self) -> None:
        stage = self.stage
        stage.broker.start()
        right = self._rng.random() < 0.5
        for device in stage.devices.values():
            device.disk.disarm()
            device.skew_ms = 0 if right else device.skew_ms
        stage.run(max(30_000, self.span_ms - stage.now_ms))  # what was planned goes wrong until then
        stage.faults.heal()
        for device in stage.devices.values():
            device.disk.disarm()
            device.start()
        stage.faults.cut(*stage.devices, broker_after_ms=0)  # what was lost or rolled back without a word is read anew

    def why_not(self) -> str:
        """Why the group is not quiet, for people; empty when it is."""
        stage = self.stage
        stopped = [name for name, device in stage.devices.items() if not device.running]
        for name in stopped:  # a crash that was planned came late
            stage[name].start()
        if stopped:
            return f"{stopped} did not run"
        return stage.unrest()
