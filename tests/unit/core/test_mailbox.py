"""The mailbox ring: order of writing, what is put where, when it is cleared (protocol-v1 section 8)."""

from __future__ import annotations

from hcom_replica.core.mailbox import Mailbox
from hcom_replica.core.ring import covered
from hcom_replica.core.settings import Settings
from tests.unit.core.builders import ROOM, TOPICS, Device, Parts, at, noise


class Ring:
    """A mailbox that is open, and the broker's answers."""

    def __init__(self, device: Device, settings: Settings | None = None) -> None:
        self.device = device
        self.parts = Parts(device, settings or Settings())
        self.mailbox = Mailbox(self.parts.outbox, self.parts.slots, TOPICS, self.parts.settings)
        self.mailbox.opened(at(0))

    def tick(self, ms: int, *, urgent: bool = True, room: int = ROOM) -> None:
        self.parts.knowledge.reload()
        self.mailbox.tick(at(ms), self.parts.knowledge, self.device.signer, room, urgent=urgent)

    def covered(self) -> int:
        return covered(self.mailbox.runs(), self.device.own.id, 0)


def test_ring_with_bodies_that_do_not_compress_comes_up_to_the_tip() -> None:
    """P8.4: merging must not stand in the way of what is due: two segments of which no message holds both."""
    device = Device("BOXE")
    ring = Ring(device)
    for number, event in enumerate(noise(6, 40_000)):
        device.append(event)
        ring.tick(1 + 40_000 * number)
        ring.parts.answer_all()
        assert ring.covered() == device.own.seq
