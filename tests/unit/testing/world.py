"""A small world for the tests of the fake world: one broker, links by name, and what each was told."""

from __future__ import annotations

from hcom_replica.ports import Delivered, LinkDown, LinkEvent, LinkUp, Published, Subscribed, Will
from hcom_replica.testing.broker import SimBroker
from hcom_replica.testing.brokerconfig import BrokerConfig
from hcom_replica.testing.faults import Faults
from hcom_replica.testing.link import SimLink
from hcom_replica.testing.pipe import Profile
from hcom_replica.testing.scheduler import Scheduler

QUICK = Profile(latency_ms=(10, 10))


class Client:
    """A link and everything it has heard."""

    def __init__(self, world: World, name: str, *, client_id: str, will: Will | None, profile: Profile) -> None:
        self.world = world
        self.wakes = 0
        self.heard: list[LinkEvent] = []
        self.link = SimLink(
            world.broker,
            world.scheduler,
            device=name,
            client_id=client_id,
            will=will,
            profile=profile,
            faults=world.faults,
            wake=self._wake,
        )

    def _wake(self) -> None:
        self.wakes += 1

    def events(self) -> list[LinkEvent]:
        self.heard.extend(self.link.drain())
        return self.heard

    def messages(self) -> list[tuple[str, bytes, bool]]:
        return [(e.topic, e.payload, e.retain) for e in self.events() if isinstance(e, Delivered)]

    def payloads(self) -> list[bytes]:
        return [payload for _, payload, _ in self.messages()]

    def acks(self) -> list[Published]:
        return [event for event in self.events() if isinstance(event, Published)]

    def subacks(self) -> list[Subscribed]:
        return [event for event in self.events() if isinstance(event, Subscribed)]

    def ups(self) -> list[LinkUp]:
        return [event for event in self.events() if isinstance(event, LinkUp)]

    def downs(self) -> list[LinkDown]:
        return [event for event in self.events() if isinstance(event, LinkDown)]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, token: int = 1) -> None:
        self.link.publish(topic, payload, retain=retain, token=token)

    def subscribe(self, *filters: str, no_local: bool = False, fresh: bool = True) -> None:
        self.link.subscribe(filters, no_local=no_local, fresh=fresh)
        self.world.run(100)

    def forget(self) -> None:
        self.events()
        self.heard.clear()


class World:
    """One broker and its clients."""

    def __init__(self, config: BrokerConfig | None = None, seed: int = 1) -> None:
        self.scheduler = Scheduler(seed)
        self.faults = Faults(self.scheduler)
        self.broker = SimBroker(self.scheduler, config)

    def run(self, ms: int) -> None:
        self.scheduler.run_until(self.scheduler.now_ms + ms)

    def client(self, name: str, *, client_id: str = "", will: Will | None = None, profile: Profile = QUICK) -> Client:
        client = Client(self, name, client_id=client_id, will=will, profile=profile)
        client.link.start()
        return client

    def online(self, name: str, *, client_id: str = "", will: Will | None = None, profile: Profile = QUICK) -> Client:
        client = self.client(name, client_id=client_id, will=will, profile=profile)
        self.scheduler.run_while(lambda: not client.ups(), self.scheduler.now_ms + 10_000)
        assert client.ups()
        client.forget()
        return client

    def retained(self) -> dict[str, bytes]:
        return dict(self.broker.retained())
