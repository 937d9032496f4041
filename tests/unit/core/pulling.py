"""The asker of a device, and those whom it may ask."""

from __future__ import annotations

from hcom_replica.core.effects import Publish, Subscribe
from hcom_replica.core.hunts import Hunts
from hcom_replica.core.intake import Intake
from hcom_replica.core.lacks import Lacks
from hcom_replica.core.pull import Puller
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Ack, Presence, Segment, Want, WantItem, decode_want
from tests.unit.core.builders import TOPICS, WALL, Device, Parts, at, draft, opened, subscribed

ORIGIN = OriginId(b"origin--")


class Pulling:
    """The asker of a device, connected at 0."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.device = Device("BOXE")
        self.device.append()
        self.parts = Parts(self.device, settings or Settings())
        self.intake = Intake(self.parts.outbox, self.parts.knowledge)
        self.hunts = Hunts()
        self.lacks = Lacks(self.parts.outbox, self.parts.settings, self.intake, self.hunts)
        self.puller = Puller(self.parts.outbox, TOPICS, self.parts.settings, self.intake, self.hunts, self.lacks)
        self.puller.link_up(at(0))
        self.filters: set[str] = set()
        self.wants: list[Want] = []

    def tick(self, ms: int) -> list[Want]:
        """Tick; returns the new wants."""
        self.parts.knowledge.reload()
        self.puller.tick(at(ms), self.parts.knowledge, self.device.signer)
        effects = self.parts.effects()
        for effect in effects:
            self.filters |= subscribed([effect])
            if not isinstance(effect, Publish | Subscribe):
                self.filters -= set(getattr(effect, "filters", ()))
        fresh = [decode_want(opened(e)[1]) for e in effects if isinstance(e, Publish)]
        self.wants += fresh
        return fresh

    def run(self, start: int, stop: int) -> list[tuple[int, Want]]:
        """Tick every 50 ms; returns wants with their times."""
        return [(ms, want) for ms in range(start, stop, 50) for want in self.tick(ms)]

    def online(self, peer: Device, entries: dict[OriginId, Ack] | None = None, ms: int = 0) -> None:
        """A device comes, and says what it holds."""
        self.parts.hear(peer, Kind.PRESENCE, Presence(peer.counter(), WALL, online=True), now=at(ms))
        self.parts.hear(peer, Kind.VECTOR, peer.vector(entries=entries), now=at(ms))
        self.parts.hear(peer, Kind.HEAD, peer.head(), now=at(ms))

    def hear_want(self, ms: int, holder: Device, *, first: int = 1, last: int = 0, number: int = 1) -> None:
        """Somebody asks a holder for its own events."""
        want = Want(number, holder.own.id, 1_000, [WantItem(holder.own.id, first, last)])
        self.puller.others_want(at(ms), want, holder.author.key)

    def give(self, source: Device, origin: OriginId, first: int, ms: int, *, last: bool = True, raw: int = 1) -> None:
        """The fill comes, is taken and stored."""
        self.intake.offer(source.batch(origin, first, raw))
        self.intake.take()
        for effect in self.parts.outbox.take():
            if hasattr(effect, "runs"):
                self.device.log.ingest(effect.runs, WALL)
        self.parts.knowledge.reload()
        self.intake.settled()
        self.puller.stored(at(ms), origin)
        self.fill(ms, origin, source, last=last)

    def fill(
        self, ms: int, origin: OriginId, sender: Device, want: int | None = None, *, last: bool = False, place: int = 0
    ) -> None:
        """A fill was taken in: of the newest want, and where its answer goes, unless told otherwise."""
        asked = self.wants[-1] if self.wants else Want(0, bytes(8), 0, [])
        firsts = {item.hash[:8]: item.first for item in asked.items}
        topic = TOPICS.fill(origin, place or firsts.get(origin, 1))
        number = asked.id if want is None else want
        self.puller.fill(at(ms), topic, origin, sender.author, number, last=last, held=False)


def device(name: str, events: int = 3) -> Device:
    made = Device(name)
    made.append(*[draft()] * events)
    return made


def line(origin: OriginId, slot: int, first: int, last: int, part: int = 0, parts: int = 1) -> Segment:
    return Segment(slot, origin, first, last, bytes(8), part, parts, 100)


def three_held_by(holder: Device) -> list[Device]:
    """Devices that are away, whose logs a holder has."""
    away = [device(name) for name in ("NOVA", "TUKA", "RIKO")]
    for other in away:
        other.send_to(holder)
    return away


def crowded(boxe: Pulling, others: int = 8) -> dict[OriginId, Device]:
    """More devices online than are asked at a time, each known to hold its own log only."""
    there = [device(f"D{number}") for number in range(others)]
    for other in there:
        boxe.online(other, {other.own.id: Ack(other.own.seq, other.own.tip[:8])})
    return {other.own.id: other for other in there}
