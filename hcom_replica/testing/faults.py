"""Faults: what the world does to a device's traffic, switched on and off by name, and counted.

Owns the switches, the plan that turns them in virtual time, and a hit counter per kind: a run that claims to
have tested a fault can show that the fault struck. It must never touch a message by itself; links ask it.
Invariants: a switch that is off draws no randomness; the last word on a (device, kind) counts.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from hcom_replica.testing.pipe import Order
from hcom_replica.testing.scheduler import Scheduler


class Kind(StrEnum):
    """Names of faults. The rate of a message fault is a probability per message; the others are on or off."""

    DROP_UP = "drop-up"
    """A publish is acknowledged and lost, as by a broker that dies right after."""
    DROP_DOWN = "drop-down"
    """A delivery is lost without a word, as by an overflowing queue."""
    DELAY = "delay"
    """A message, and all behind it, comes later by `span_ms`."""
    DUPLICATE = "duplicate"
    """A message comes twice: the copy right behind it, or `span_ms` later and then in no order at all."""
    REORDER = "reorder"
    """A message comes later by `span_ms` while other topics overtake it; its own topic keeps its order."""
    CORRUPT = "corrupt"
    """A few bytes of the payload are flipped."""
    ONE_WAY_UP = "one-way-up"
    """Nothing from the device arrives; TCP goes on trying until one side gives up."""
    ONE_WAY_DOWN = "one-way-down"
    """Nothing to the device arrives."""
    BLACK_HOLE = "black-hole"
    """Both: nobody is told, only timeouts tell."""
    PARTITION = "partition"
    """The connection is cut and new ones find no way, until healed."""
    CUT = "cut"
    """The connection ends once; a new one works at once."""


MESSAGE_KINDS = (Kind.DROP_UP, Kind.DROP_DOWN, Kind.DELAY, Kind.DUPLICATE, Kind.REORDER, Kind.CORRUPT)
_HOLES_UP = (Kind.BLACK_HOLE, Kind.ONE_WAY_UP)
_HOLES_DOWN = (Kind.BLACK_HOLE, Kind.ONE_WAY_DOWN)
_SHARES = (0.002, 0.02, 0.1)
_DEFAULT_SPANS: dict[Kind, tuple[int, int]] = {Kind.DELAY: (50, 5_000), Kind.REORDER: (1, 2_000)}


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of a plan: this kind, on these devices, from then until then.

    Attributes:
        rate: probability per message; only for message kinds.
        span_ms: smallest and largest extra time of delay, reorder and duplicate; (0, 0) is the kind's default.
        client_after_ms: of cut and partition: when the device learns; None is after its keepalive.
        broker_after_ms: of cut and partition: when the broker learns (and the will fires); None likewise.
    """

    kind: Kind
    devices: tuple[str, ...]
    from_ms: int
    until_ms: int
    rate: float = 1.0
    span_ms: tuple[int, int] = (0, 0)
    client_after_ms: int | None = 0
    broker_after_ms: int | None = None


class Target(Protocol):
    """A connection that faults act upon."""

    def sever(self, *, client_after_ms: int | None, broker_after_ms: int | None) -> bool:
        """End the connection; each side learns after its time, None meaning its keepalive. False if it had ended."""

    def holes_changed(self) -> None:
        """A one-way or black-hole switch of this device was turned."""


class Copy(NamedTuple):
    """What arrives of a message that faults may have struck, how much later, and in which order."""

    payload: bytes
    extra_ms: int
    order: Order


class DeviceFaults:
    """The switches of one device, as its links see them.

    Attributes:
        active: kind -> (rate, span in ms) of what is on; empty means an untouched path.
        hits: how often each kind struck this device.
    """

    __slots__ = ("_scheduler", "active", "hits", "targets")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.active: dict[Kind, tuple[float, tuple[int, int]]] = {}
        self.hits: Counter[Kind] = Counter()
        self.targets: list[Target] = []

    @property
    def alters(self) -> bool:
        """Whether anything is on that `struck` asks: what does nothing but lose needs no copies."""
        return len(self.active) > 1 or Kind.DROP_DOWN not in self.active

    def strikes(self, kind: Kind) -> bool:
        """Roll the dice for one message; a hit is counted."""
        switch = self.active.get(kind)
        if switch is None or self._scheduler.random.random() >= switch[0]:
            return False
        self.hits[kind] += 1
        return True

    def hole(self, *, up: bool) -> Kind | None:
        """The fault that swallows this direction now, if any."""
        return next((kind for kind in (_HOLES_UP if up else _HOLES_DOWN) if kind in self.active), None)

    def struck(self, payload: bytes) -> list[Copy]:
        """What arrives of one message: the faults that are on are asked for it, each in turn."""
        if self.strikes(Kind.CORRUPT):
            payload = self._corrupted(payload)
        extra_ms = self._extra_ms(Kind.DELAY) if self.strikes(Kind.DELAY) else 0
        order: Order = "kept"
        if self.strikes(Kind.REORDER):
            extra_ms, order = extra_ms + self._extra_ms(Kind.REORDER), "overtaken"
        copies = [Copy(payload, extra_ms, order)]
        if self.strikes(Kind.DUPLICATE):
            late_ms = self._extra_ms(Kind.DUPLICATE)
            copies.append(Copy(payload, extra_ms + late_ms, "stray" if late_ms else order))
        return copies

    def _extra_ms(self, kind: Kind) -> int:
        """Draw the extra time of a delay, reorder or duplicate that is on."""
        return self._scheduler.between(self.active[kind][1])

    def _corrupted(self, payload: bytes) -> bytes:
        """Return `payload` with one to four bytes changed; an empty payload gets one byte."""
        rng, damaged = self._scheduler.random, bytearray(payload or b"\0")
        for place in rng.sample(range(len(damaged)), min(len(damaged), rng.randint(1, 4))):
            damaged[place] ^= rng.randint(1, 255)
        return bytes(damaged)


class Faults:
    """The switchboard of a world: every device's switches, and the plan that turns them."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._devices: dict[str, DeviceFaults] = {}

    def of(self, device: str) -> DeviceFaults:
        """The switches of `device`, all off at first."""
        if device not in self._devices:
            self._devices[device] = DeviceFaults(self._scheduler)
        return self._devices[device]

    def hits(self) -> Counter[Kind]:
        """How often each kind struck anybody."""
        return sum((device.hits for device in self._devices.values()), Counter())

    def on(self, kind: Kind, *devices: str, rate: float = 1.0, span_ms: tuple[int, int] = (0, 0)) -> None:
        """Switch `kind` on for `devices`; CUT and PARTITION cut as `cut` and `partition` do by default."""
        if kind is Kind.CUT:
            self.cut(*devices)
        elif kind is Kind.PARTITION:
            self.partition(*devices)
        else:
            span = span_ms if span_ms != (0, 0) else _DEFAULT_SPANS.get(kind, (0, 0))
            for device in devices:
                self.of(device).active[kind] = (rate, span)
            self._tell(devices)

    def off(self, kind: Kind, *devices: str) -> None:
        """Switch `kind` off for `devices`."""
        for device in devices:
            self.of(device).active.pop(kind, None)
        self._tell(devices)

    def heal(self, *devices: str) -> None:
        """Switch everything off for `devices`, or for all when none is named."""
        names = devices or tuple(self._devices)
        for device in names:
            self.of(device).active.clear()
        self._tell(names)

    def cut(self, *devices: str, client_after_ms: int | None = 0, broker_after_ms: int | None = None) -> None:
        """End the devices' connections: each side learns after its time, None meaning by its keepalive."""
        self._cut(Kind.CUT, devices, client_after_ms, broker_after_ms)

    def partition(self, *devices: str, client_after_ms: int | None = 0, broker_after_ms: int | None = None) -> None:
        """Cut these devices off the broker until `heal` or `off`: connections end, new ones find no way."""
        for device in devices:
            self.of(device).active[Kind.PARTITION] = (1.0, (0, 0))
        self._cut(Kind.PARTITION, devices, client_after_ms, broker_after_ms)

    def plan(self, faults: Iterable[Fault]) -> None:
        """Put `faults` on the agenda; each is switched off at its end."""
        for fault in faults:
            self._scheduler.at(fault.from_ms, self._begin, fault)
            if fault.kind is not Kind.CUT:
                self._scheduler.at(fault.until_ms, self._end, fault)

    def _begin(self, fault: Fault) -> None:
        if fault.kind in (Kind.CUT, Kind.PARTITION):
            end = self.cut if fault.kind is Kind.CUT else self.partition
            end(*fault.devices, client_after_ms=fault.client_after_ms, broker_after_ms=fault.broker_after_ms)
        else:
            self.on(fault.kind, *fault.devices, rate=fault.rate, span_ms=fault.span_ms)

    def _end(self, fault: Fault) -> None:
        self.off(fault.kind, *fault.devices)

    def _cut(
        self, kind: Kind, devices: Iterable[str], client_after_ms: int | None, broker_after_ms: int | None
    ) -> None:
        for device in devices:
            faults = self.of(device)
            for target in tuple(faults.targets):
                if target.sever(client_after_ms=client_after_ms, broker_after_ms=broker_after_ms):
                    faults.hits[kind] += 1

    def _tell(self, devices: Iterable[str]) -> None:
        for device in devices:
            for target in tuple(self.of(device).targets):
                target.holes_changed()


def random_plan(
    rng: random.Random,
    devices: Sequence[str],
    *,
    span_ms: int,
    count: int,
    kinds: Sequence[Kind] = tuple(Kind),
) -> list[Fault]:
    """Draw a plan of `count` faults that all end by `span_ms`, for the random schedules.

    Rates are drawn low as often as high, and lengths short as often as long, so that rare and constant, brief and
    lasting faults are met; a third of the faults strike several devices at once, as a network that goes away does.
    """
    plan = []
    for _ in range(count):
        begin = rng.randrange(span_ms)
        crowd = rng.randint(1, len(devices)) if rng.random() < 1 / 3 else 1
        plan.append(
            Fault(
                kind=rng.choice(kinds),
                devices=tuple(sorted(rng.sample(devices, crowd))),
                from_ms=begin,
                until_ms=min(span_ms, begin + int(span_ms * rng.choice(_SHARES) * (0.5 + rng.random()))),
                rate=rng.choice((0.01, 0.1, 0.5, 1.0)),
                client_after_ms=rng.choice((0, 0, None)),
                broker_after_ms=rng.choice((0, None, None)),
            )
        )
    return sorted(plan, key=lambda fault: fault.from_ms)
