"""One direction of a simulated connection: when what is sent now arrives, in virtual time.

Owns latency, bandwidth and TCP's retransmissions. What is sent arrives in order, except where a fault says otherwise;
a pipe that is shut holds everything back until it is opened again. Never loses anything by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeVarTuple

from hcom_replica.testing.scheduler import Scheduler

Ts = TypeVarTuple("Ts")

_RETRANSMIT_MS: Final = 200
_RETRANSMITS_MAX: Final = 6

Order = Literal["kept", "overtaken", "stray"]
"""How a message keeps its place: in line; others may overtake it but not its own topic; in no order at all."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The network of a device.

    Attributes:
        latency_ms: one-way latency, drawn per packet from this range.
        up_bytes_per_s, down_bytes_per_s: bandwidth; None is unlimited.
        loss: probability that a packet needs TCP's retransmission (200 ms, doubling), which delays all behind it.
        life_ms_mean: mean time until the connection breaks by itself; None is never.
        connect_timeout_ms: when a CONNECT without an answer is given up.
        client_detect_ms: how long the device takes to notice a dead connection by its keepalive.
        broker_detect_ms: how long the broker takes: 1.5 keepalives.
    """

    latency_ms: tuple[int, int] = (5, 20)
    up_bytes_per_s: int | None = None
    down_bytes_per_s: int | None = None
    loss: float = 0.0
    life_ms_mean: int | None = None
    connect_timeout_ms: int = 10_000
    client_detect_ms: int = 60_000
    broker_detect_ms: int = 90_000


class Pipe:
    """One direction of a connection: tells when what is sent now arrives, and holds back while it is shut."""

    __slots__ = (
        "_busy_us", "_bytes_per_s", "_floor", "_held", "_plain", "_profile", "_scheduler", "_topic_floors", "open",
    )  # fmt: skip

    def __init__(self, scheduler: Scheduler, profile: Profile, bytes_per_s: int | None) -> None:
        self.open = True
        self._scheduler = scheduler
        self._profile = profile
        self._bytes_per_s = bytes_per_s
        self._plain = bytes_per_s is None and not profile.loss
        self._busy_us = 0
        self._floor = 0
        self._topic_floors: dict[str, int] = {}
        self._held: list[Callable[[], None]] = []

    def send(self, size: int, callback: Callable[[*Ts], None], *args: *Ts) -> None:
        """Run `callback(*args)` when a packet of `size` bytes, sent now and in line, arrives."""
        self.send_message(size, "", 0, "kept", callback, *args)

    def send_message(
        self, size: int, topic: str, extra_ms: int, order: Order, callback: Callable[[*Ts], None], *args: *Ts
    ) -> None:
        """As `send`, for a PUBLISH that a fault makes later or takes out of line."""
        if not self.open:
            self._held.append(lambda: self.send_message(size, topic, extra_ms, order, callback, *args))
            return
        self._scheduler.at(self.arrival_ms(size, topic, extra_ms, order), callback, *args)

    def arrival_ms(self, size: int, topic: str = "", extra_ms: int = 0, order: Order = "kept") -> int:
        """Take a place in the pipe, which must be open, and return when its end arrives."""
        if self._plain and not extra_ms and not self._topic_floors and order == "kept":
            arrival = self._scheduler.now_ms + self._scheduler.between(self._profile.latency_ms)
            self._floor = arrival = max(self._floor, arrival)
            return arrival
        arrival = max(self._departure_ms(size) + self._latency_ms(), self._floor) + extra_ms
        if order == "stray":
            return arrival
        topic_floor = self._topic_floor(topic)
        if order == "overtaken" or topic_floor > arrival:
            self._topic_floors[topic] = arrival = max(arrival, topic_floor)
        else:
            self._floor = arrival
        return arrival

    def shut(self) -> None:
        """Hold back what is sent from now on."""
        self.open = False

    def reopen(self) -> None:
        """Send on what was held back, in order."""
        self.open = True
        held, self._held = self._held, []
        for resend in held:
            resend()

    def _topic_floor(self, topic: str) -> int:
        if not self._topic_floors:
            return 0
        now_ms = self._scheduler.now_ms
        self._topic_floors = {name: floor for name, floor in self._topic_floors.items() if floor > now_ms}
        return self._topic_floors.get(topic, 0)

    def _departure_ms(self, size: int) -> int:
        now_ms = self._scheduler.now_ms
        if self._bytes_per_s is None:
            return now_ms
        self._busy_us = max(self._busy_us, now_ms * 1000) + size * 1_000_000 // self._bytes_per_s
        return -(-self._busy_us // 1000)

    def _latency_ms(self) -> int:
        latency, loss = self._scheduler.between(self._profile.latency_ms), self._profile.loss
        if loss:
            wait = _RETRANSMIT_MS
            for _ in range(_RETRANSMITS_MAX):
                if self._scheduler.random.random() >= loss:
                    break
                latency += wait
                wait *= 2
        return latency
