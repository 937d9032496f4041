"""The way between one device and the broker, there and back, as the faults of the device leave it.

Owns the two pipes of a connection, and what strikes a message on the way. What is under way when the connection ends
still comes out; whoever gets it looks at `severed`, and takes it for lost. Never decides when a connection ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple, TypeVarTuple

from hcom_replica.ports import Delivered, Published
from hcom_replica.testing.faults import DeviceFaults, Kind
from hcom_replica.testing.pipe import Pipe, Profile
from hcom_replica.testing.scheduler import Scheduler

Ts = TypeVarTuple("Ts")

_NO_TOKEN: Final = -1
"""That of a duplicate, which nobody waits for."""


class Outbound(NamedTuple):
    """A PUBLISH of a device; see `ports.Link.publish`."""

    topic: str
    payload: bytes
    retain: bool
    token: int


class Path:
    """The pipes of one connection.

    Args:
        scheduler: virtual time and randomness.
        profile: the network of the device.
        faults: of the device.

    Attributes:
        up: to the broker.
        down: from the broker.
        severed: the connection has ended, whoever knows of it: `send_up`, `send_down`, `publish` and `deliver` do
            nothing.
    """

    __slots__ = ("_faults", "down", "severed", "up")

    def __init__(self, scheduler: Scheduler, profile: Profile, faults: DeviceFaults) -> None:
        self.up = Pipe(scheduler, profile, profile.up_bytes_per_s)
        self.down = Pipe(scheduler, profile, profile.down_bytes_per_s)
        self.severed = False
        self._faults = faults

    @property
    def whole(self) -> bool:
        """Whether neither direction has a hole."""
        return self.up.open and self.down.open

    def holes_changed(self) -> None:
        """Shut or reopen the pipes as the faults say."""
        for pipe, up in ((self.up, True), (self.down, False)):
            hole = self._faults.hole(up=up) is not None
            if hole and pipe.open:
                pipe.shut()
            elif not hole and not pipe.open:
                pipe.reopen()

    def send_up(self, size: int, callback: Callable[[*Ts], None], *args: *Ts) -> None:
        """Run `callback(*args)` when a packet of `size` bytes is at the broker."""
        if not self.severed:
            self._count_hole(self.up, up=True)
            self.up.send(size, callback, *args)

    def send_down(self, size: int, callback: Callable[[*Ts], None], *args: *Ts) -> None:
        """Run `callback(*args)` when a packet of `size` bytes is at the device."""
        if not self.severed:
            self._count_hole(self.down, up=False)
            self.down.send(size, callback, *args)

    def publish(
        self, size: int, message: Outbound, arrive: Callable[[Outbound], None], lost: Callable[[Published], None]
    ) -> None:
        """Put a PUBLISH on the way to the broker.

        Args:
            size: of its packet, in bytes.
            message: the device's.
            arrive: told what comes out, each copy by itself; all but the first have a token that means nothing.
            lost: told instead, at the time of arrival, when a fault lets it be acknowledged and loses it.
        """
        if self.severed:
            return
        if not self._faults.active:
            self.up.send_message(size, message.topic, 0, "kept", arrive, message)
            return
        self._count_hole(self.up, up=True)
        if self._faults.strikes(Kind.DROP_UP):
            self.up.send(size, lost, Published(message.token))
            return
        for number, (payload, extra_ms, order) in enumerate(self._faults.struck(message.payload)):
            copy = message._replace(payload=payload, token=message.token if number == 0 else _NO_TOKEN)
            self.up.send_message(size, message.topic, extra_ms, order, arrive, copy)

    def deliver(
        self,
        size: int,
        message: Delivered,
        arrive: Callable[[Delivered], None],
        again: Callable[[Delivered], None],
        lost: Callable[[], None],
    ) -> None:
        """Put a PUBLISH on the way to the device.

        Args:
            size: of its packet, in bytes.
            message: the broker's.
            arrive: told what comes out.
            again: told of each copy but the first.
            lost: called instead, at once, when a fault loses it.
        """
        if self.severed:
            return
        if self._faults.active:
            self._count_hole(self.down, up=False)
            if self._faults.strikes(Kind.DROP_DOWN):
                lost()
                return
            if self._faults.alters:
                self._deliver_altered(size, message, arrive, again)
                return
        self.down.send_message(size, message.topic, 0, "kept", arrive, message)

    def _deliver_altered(
        self, size: int, message: Delivered, arrive: Callable[[Delivered], None], again: Callable[[Delivered], None]
    ) -> None:
        for payload, extra_ms, order in self._faults.struck(message.payload):
            copy = message if payload is message.payload else replace(message, payload=payload)
            self.down.send_message(size, message.topic, extra_ms, order, arrive, copy)
            arrive = again

    def _count_hole(self, pipe: Pipe, *, up: bool) -> None:
        if not pipe.open and (hole := self._faults.hole(up=up)) is not None:
            self._faults.hits[hole] += 1
