"""A machine with its log and a broker that takes all it is given: carries out effects in order, as the daemon does."""

from __future__ import annotations

import random

from hcom_replica.core.context import Context
from hcom_replica.core.effects import (
    Disconnect,
    Effect,
    Ingest,
    NotePeers,
    Now,
    OpenIncarnation,
    Promise,
    Publish,
    Subscribe,
    Trace,
    Unsubscribe,
)
from hcom_replica.core.machine import Machine
from hcom_replica.core.membership import Viewer
from hcom_replica.core.settings import Settings
from hcom_replica.wire.frame import Kind, open_frame
from hcom_replica.wire.messages import Payload
from tests.unit.core.builders import KEYS, TOPICS, Device, at, draft


class Host:
    """One machine.

    Attributes:
        filters: what it is subscribed to.
        published: what it has published, oldest first; `take` empties it.
        retained: what stands on the broker.
        traces: names of traces.
        opened: reasons of incarnations opened.
        hold: the broker answers nothing while this is True.
        refuse: the broker takes no publish while this is True.
        denied: filters that the broker does not grant.
    """

    def __init__(self, device: Device, settings: Settings | None = None, *, boot: int = 1, seed: int = 3) -> None:
        self.device = device
        self.ms = 0
        self.machine = Machine(
            Context(
                Viewer(device.key, KEYS, b""),
                device.log,
                settings or Settings(),
                random.Random(seed),
                boot,
                device.log.peers(),
            )
        )
        self.filters: set[str] = set()
        self.published: list[Publish] = []
        self.retained: dict[str, bytes] = {}
        self.traces: list[Trace] = []
        self.opened: list[str] = []
        self.disconnects = 0
        self.hold = False
        self.refuse = False
        self.denied: set[str] = set()

    @property
    def now(self) -> Now:
        return at(self.ms)

    def run(self, ms: int = 0, step_ms: int = 250) -> Host:
        """Let time pass, and do all there is to do."""
        end = self.ms + ms
        self._settle()
        while self.ms < end:
            self.ms = min(end, self.ms + step_ms)
            self._settle()
        return self

    def _settle(self) -> None:
        for _ in range(200):
            self.machine.tick(self.now)
            effects = self.machine.effects()
            if not effects:
                return
            for effect in effects:
                self._perform(effect)
        raise AssertionError("the machine does not come to rest")

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Publish():
                self._publish(effect)
            case Subscribe(filters):
                self._subscribe(filters)
            case Unsubscribe(filters):
                self.filters.difference_update(filters)
            case Disconnect():
                self.disconnects += 1
            case Trace():
                self.traces.append(effect)
            case _:
                self._store(effect)

    def _publish(self, effect: Publish) -> None:
        self.published.append(effect)
        if effect.retain and not self.refuse:
            self.retained[effect.topic] = effect.payload
        if not self.hold:
            self.machine.published(self.now, effect.token, refused=self.refuse)
        if effect.topic in self.filters and effect.topic.startswith(TOPICS.fence(b"")):
            self.machine.received(self.now, effect.topic, effect.payload, retain=False)

    def _subscribe(self, filters: tuple[str, ...]) -> None:
        refused = tuple(name for name in filters if name in self.denied)
        self.filters.update(set(filters) - self.denied)
        self.machine.subscribed(self.now, filters, refused)
        for topic in filters:
            if self.retained.get(topic) and topic not in refused:
                self.machine.received(self.now, topic, self.retained[topic], retain=True)

    def _store(self, effect: Effect) -> None:
        match effect:
            case Ingest(runs):
                self.machine.ingested(self.now, self.device.log.ingest(runs, self.now.wall_ms))
            case Promise():
                tip = self.device.log.promise(self.now.wall_ms)
                if tip is not None:
                    self.machine.promised(self.now, tip)
            case OpenIncarnation(reason):
                self.device.log.open_incarnation(reason, self.now.wall_ms)
                self.opened.append(reason)
                self.machine.log_moved(self.now)
            case NotePeers(items):
                self.device.log.note_peers(items)

    def connect(self, packet_bytes_max: int | None = None) -> Host:
        """Come up to an open fence, given what the broker holds."""
        self.run()
        self.filters.clear()
        self.machine.will(self.now)
        self.machine.link_up(self.now, packet_bytes_max)
        for topic, payload in list(self.retained.items()):
            if payload:
                self.machine.received(self.now, topic, payload, retain=True)
        self.run(1_000)
        assert self.machine.fence_open
        return self

    def disconnect(self) -> Host:
        """Lose the link."""
        self.machine.link_down(self.now, "lost")
        return self.run()

    def appended(self) -> Host:
        """Notice what the device has appended."""
        self.machine.log_moved(self.now)
        return self.run()

    def hear(self, topic: str, payload: bytes, *, retain: bool = False) -> Host:
        """Receive a message."""
        self.machine.received(self.now, topic, payload, retain=retain)
        return self.run()

    def told(self, peer: Device, kind: Kind, message: Payload, *, retain: bool = False, page: int = 0) -> Host:
        """Receive a slot message, a want or an ask of another device."""
        return self.hear(*peer.say(kind, message, page), retain=retain)

    def take(self, kind: Kind | None = None) -> list[tuple[str, bytes]]:
        """Topic and opened payload of all that was published since, of one kind or of all that is not empty."""
        taken = [
            (publish.topic, open_frame(KEYS, publish.topic, publish.payload))
            for publish in self.published
            if publish.payload
        ]
        self.published.clear()
        return [(topic, frame.payload) for topic, frame in taken if kind is None or frame.kind is kind]

    @property
    def counters(self) -> dict[str, int]:
        return self.machine.live_info().counters

    def dropped(self) -> dict[str, int]:
        """Reasons for which messages were dropped -> how many."""
        return {name[8:]: count for name, count in self.counters.items() if name.startswith("dropped.")}


def made(name: str, events: int = 1) -> Device:
    device = Device(name)
    device.append(*[draft(b"%d" % number) for number in range(events)])
    return device


def live(device: Device) -> tuple[str, bytes]:
    return TOPICS.live, device.sealed(Kind.LIVE, TOPICS.live, device.batch_bytes())


def twin_with_more(boxe: Device) -> Device:
    twin = boxe.clone()
    twin.append(draft(b"more"))
    return twin


def cleared(host: Host) -> set[str]:
    return {topic for topic, payload in host.retained.items() if not payload}
