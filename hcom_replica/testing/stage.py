"""A cluster under observation: every disk and every word of a device is checked while time runs.

Owns the wiring of checkers, wiretap and the other watchers, and says why a healed group is not quiet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hcom_replica.core.book import Book
from hcom_replica.core.hello import read_system
from hcom_replica.core.membership import Membership, judge
from hcom_replica.core.settings import Settings
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import EventId, OriginId
from hcom_replica.store.memory_kv import MemoryKv
from hcom_replica.store.redactions import redacting_draft
from hcom_replica.testing.brokerconfig import BrokerConfig
from hcom_replica.testing.checkers import Checkers, fingerprint
from hcom_replica.testing.claims import Claims
from hcom_replica.testing.cluster import Cluster
from hcom_replica.testing.device import Device
from hcom_replica.testing.disk import Disk
from hcom_replica.testing.faults import Kind as FaultKind
from hcom_replica.testing.names import OriginNames
from hcom_replica.testing.pipe import Profile
from hcom_replica.testing.stablewatch import StableWatch
from hcom_replica.testing.wiretap import TappedBroker, WatchedDevice, Wiretap
from hcom_replica.wire.event import Draft
from hcom_replica.wire.frame import open_frame
from hcom_replica.wire.signing import DeviceKey


class Stage(Cluster):
    """A cluster that stops at the first violation.

    Args:
        seed: names the run.
        settings: of every device that joins from now on; may be replaced before the first one does.
        broker: what the broker can do.
        disks: makes the disks of devices.

    Attributes:
        checkers: the invariants of disks.
        tap: the invariants of words.
        claims: the invariants of what devices say that they know.
        stable: the invariants of the stable stream.
        names: of origins.
        gone: names of devices whose disk was destroyed.
    """

    def __init__(
        self,
        seed: int,
        *,
        settings: Settings | None = None,
        broker: BrokerConfig | None = None,
        disks: Callable[[], Disk] = MemoryKv,
    ) -> None:
        super().__init__(seed, (), settings=settings, disks=disks)
        tapped = TappedBroker(self.scheduler, broker)
        self.world.broker = self.broker = tapped
        self.checkers = Checkers(self.world.keys.group)
        self.tap = tapped.tap = Wiretap(self.world.keys, self.checkers, self.faults)
        self.claims = Claims(self.checkers, self.devices)
        self.stable = StableWatch(self.checkers.twinned)
        self.names = OriginNames(self.world.keys, self.devices)
        self.gone: set[str] = set()
        self._keys: dict[str, bytes] = {}

    def found(self) -> None:
        """The first device to join is the group's founder."""
        self._founded = True

    def said_by_all(self) -> Membership:
        """Who is a member by all that stands in any log."""
        book, keys = Book(), set[bytes]()
        for device in self.devices.values():
            states = {state.id: state for state in device.log.origins()}
            keys.update(state.key for state in states.values())
            for origin, seq, event in device.log.system_events():
                book.note(states[origin], seq, read_system(event.kind, event.body), event.hlc)
        return judge(next(iter(self.devices.values())).viewer, book, keys, ())

    # --- devices -----------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """Of devices that join from now on."""
        return self._settings or Settings()

    def configure(self, settings: Settings) -> None:
        """Use these settings for devices that join from now on."""
        self._settings = settings

    def key_of(self, name: str) -> bytes:
        """The public key of a device, also of one that is gone."""
        return self._keys[name]

    def _add(
        self, name: str, key: DeviceKey, kv: Disk, *, member: str, profile: Profile | None, skew_ms: int
    ) -> Device:
        device = WatchedDevice(
            self.world,
            name,
            key,
            kv,
            member=member,
            settings=self._settings,
            profile=profile or self._profile,
            skew_ms=skew_ms,
        )
        device.tap = self.tap
        self._keys[name] = key.public
        self.devices[name] = device
        return device

    def append(self, name: str, events: int | Sequence[Draft] = 1, *, poke: bool = True) -> list[EventId]:
        """See Cluster."""
        ids = super().append(name, events, poke=poke)
        self.look()
        return ids

    def redact(self, name: str, event: EventId, *, poke: bool = True) -> EventId | None:
        """Redact an event that a device has written; see Device.

        Raises:
            UsageError: it has not, or the event is a system event.
            StoreFull: the disk is full; nothing was changed.
        """
        device = self[name]
        with device.kv.read() as txn:
            draft = redacting_draft(txn, device.writer, event)
        row = device.log.event(event)
        if draft is not None and row is not None:
            self.checkers.redactions[draft.body] = fingerprint(row.record)
        said = device.redact(event, poke=poke)
        self.look()
        return said

    def clone(self, name: str, twin: str) -> Device:
        """See Cluster."""
        self.checkers.twinned.add(self[name].key.public)
        return super().clone(name, twin)

    def put_back(self, name: str, snapshot: Disk) -> None:
        """Put an older copy of its disk back while its daemon is dead; it is not started."""
        device = self[name]
        self.checkers.twinned.add(device.key.public)
        device.crash()
        device.use_disk(snapshot.clone())
        self.look()

    def destroy(self, name: str) -> None:
        """A device dies, and its disk with it."""
        self[name].crash()
        self.look()
        del self.devices[name]
        self.checkers.forget(name)
        self.stable.forget(name)
        self.gone.add(name)

    # --- time --------------------------------------------------------------------------------------------------

    def run(self, ms: int) -> None:
        """Let time pass, and look after each thing that happens."""
        scheduler, end_ms = self.scheduler, self.now_ms + ms
        while (due_ms := scheduler.next_due_ms()) is not None and due_ms <= end_ms:
            scheduler.step()
            self.look()
        scheduler.run_until(end_ms)

    def look(self) -> None:
        """Check every disk that was written to."""
        for device in self.devices.values():
            self.checkers.look(device)
            if self._founded:
                self.stable.look(device, self.now_ms)

    # --- judging -----------------------------------------------------------------------------------------------

    def check_logs(self) -> None:
        """Walk all logs, and compare the order and the bytes of each two.

        Raises:
            Violation: see Checkers.
        """
        devices = list(self.devices.values())
        for device in devices:
            self.checkers.check_log(device)
            self.stable.read_again(device)
        for device in devices[1:]:
            self.checkers.check_order(devices[0].log, device.log)
            self.checkers.check_bytes(devices[0], device)

    def check_claims(self, name: str) -> None:
        """Judge what a device knows and keeps; does nothing when it does not run.

        Raises:
            Violation: S6, S7 or P4.5.
        """
        device = self[name]
        if device.running:
            self.look()
            self.claims.check(device)

    def ghosts(self) -> list[OriginId]:
        """Newest incarnations of devices that no running device writes: clones and restored disks leave such ones.

        Nobody can know that they will not come back, so mail is kept for them until their lease ends: also for one that
        was only heard to ask for something, and of which no disk knows.
        """
        alive = {watch.own for name, watch in self.checkers.disks.items() if self[name].running}
        seen = dict[OriginId, tuple[bytes, int]]()
        for asker in self.tap.passing.values():
            seen[asker.origin] = (asker.key, int.from_bytes(asker.incarnation[:4], "big"))
        for device in self.devices.values():
            for _, author, _, _, data in device.log.peers():
                seen[author] = (data[:32], int.from_bytes(data[32:36], "big"))
            for state in device.log.origins():
                if not state.forks:
                    seen[state.id] = (state.key, state.generation)
        newest = dict[bytes, int]()
        for key, generation in seen.values():
            newest[key] = max(generation, newest.get(key, 0))
        return [
            origin for origin, (key, generation) in seen.items() if generation == newest[key] and origin not in alive
        ]

    def unrest(self) -> str:
        """Why a healed group is not quiet, for people; empty when it is.

        Quiet is: all hold all that exists and know it, and no mail lies about that nobody waits for.
        """
        for name, device in self.devices.items():
            if not device.running:
                return f"{name} does not run"
            if lacking := self.checkers.lacking(name):
                return f"{name} lacks {lacking} events that exist"
        mail = self._standing_mail()
        if mail and not self.ghosts():
            return f"{len(mail)} segments lie on the broker"
        for name in self.devices:
            if missing := self.claims.missing(name):
                return f"{name} says that {missing} events are missing"
        return "" if self.converged() else "the logs differ"

    def _standing_mail(self) -> list[str]:
        """Segments on the broker; once something was lost or spoilt, or a writer died, those that an index names.

        The clearing of the index may have overtaken that of a slot when it did.

        A process that did not write them cannot know of them; they go with the next ring of their writer (P8.5).
        """
        hits = self.faults.hits()
        crashes = sum(device.crashes for device in self.devices.values())
        if not (hits[FaultKind.DROP_UP] or hits[FaultKind.CORRUPT] or self.broker.forgot or crashes):
            return self.mail()
        indexes = {topic.split("/")[2] for topic, payload in self.broker.retained(f"{self.world.keys.prefix}/i/#")
                   if self._is_sound(topic, payload)}  # fmt: skip
        return [topic for topic in self.mail() if topic.split("/")[2] in indexes]

    def _is_sound(self, topic: str, payload: bytes) -> bool:
        try:
            open_frame(self.world.keys, topic, payload)
        except ProtocolError:
            return False
        return True

    def have(self, name: str, origin: str) -> int:
        """The highest seq that a device holds of an origin with a name; 0 when the name means nothing yet."""
        known = {self.names.of(state.id): state.seq for state in self[name].log.origins()}
        return known.get(origin, 0)

    def incarnations(self, name: str) -> int:
        """How many origins a device's key has, on any disk, branches left out."""
        key = self.key_of(name)
        states = [state for watch in self.checkers.disks.values() for state in watch.states.values()]
        return len({state.id for state in states if state.key == key and not state.forks})

    def mail_of(self, name: str) -> list[str]:
        """Topics of the mailbox segments of an origin with a name."""
        leaf = self.names.leaf(name)
        return [topic for topic in self.mail() if topic.split("/")[2] == leaf]
