"""A cluster under observation: every disk and every word of a device is checked while time runs.

Owns the wiring of checkers and wiretap, and names for origins: `A`, `A.2` for the second origin that device A has
written, `A~61` for the branch that leaves A with event 61.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import count
from typing import Final

from hcom_replica.core.book import Book
from hcom_replica.core.effects import Effect, Publish
from hcom_replica.core.hello import Hello, read_system
from hcom_replica.core.members import read_members
from hcom_replica.core.membership import Membership, judge, read_membership
from hcom_replica.core.settings import Settings
from hcom_replica.errors import ProtocolError, UsageError
from hcom_replica.ids import EventId, OriginId
from hcom_replica.limits import INFLATED_BYTES_MAX, SPOOL_BYTES_MAX
from hcom_replica.store.log import Log
from hcom_replica.store.memory_kv import MemoryKv
from hcom_replica.store.redactions import redacting_draft
from hcom_replica.testing.broker import SimBroker
from hcom_replica.testing.brokerconfig import BrokerConfig
from hcom_replica.testing.checkers import Checkers, Violation, fingerprint
from hcom_replica.testing.cluster import Cluster
from hcom_replica.testing.device import Device
from hcom_replica.testing.disk import Disk
from hcom_replica.testing.faults import Kind as FaultKind
from hcom_replica.testing.pipe import Profile
from hcom_replica.testing.scheduler import Scheduler
from hcom_replica.testing.session import Session
from hcom_replica.testing.stablewatch import StableWatch
from hcom_replica.testing.wiretap import Wiretap
from hcom_replica.wire.event import Draft
from hcom_replica.wire.frame import Kind, open_frame
from hcom_replica.wire.messages import decode_head
from hcom_replica.wire.signing import DeviceKey, root_hash, short
from hcom_replica.wire.topics import Topics

BUFFERED_BYTES_MAX: Final = 2 * SPOOL_BYTES_MAX + INFLATED_BYTES_MAX
"""What a device may keep in memory: beyond gaps, of parts, and one message more on its way to the store."""

_AUTHOR_BYTES: Final = 32 + 12
"""In a kept slot message: key and incarnation stand before the payload."""


class TappedBroker(SimBroker):
    """A broker that tells a wiretap what arrives, before it decides about it."""

    def __init__(self, scheduler: Scheduler, config: BrokerConfig | None = None) -> None:
        super().__init__(scheduler, config)
        self.tap: Wiretap | None = None

    def publish(self, session: Session, topic: str, payload: bytes, *, retain: bool, token: int) -> None:
        """See SimBroker."""
        if self.tap is not None:
            self.tap.arrived(topic, payload)
        super().publish(session, topic, payload, retain=retain, token=token)


class WatchedDevice(Device):
    """A device that tells a wiretap what it is about to say."""

    tap: Wiretap | None = None

    def before_effect(self, effect: Effect) -> None:
        """See Device."""
        super().before_effect(effect)
        process = self._process
        if self.tap is not None and isinstance(effect, Publish) and process is not None and process.engine.online:
            self.tap.said(self, process.link, effect)


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
        self._tapped = TappedBroker(self.scheduler, broker)
        self.world.broker = self.broker = self._tapped
        self.checkers = Checkers(self.world.keys.group)
        self.tap = self._tapped.tap = Wiretap(self.world.keys, self.checkers, self.faults)
        self.stable = StableWatch(self.checkers.twinned)
        self.gone: set[str] = set()
        self._names: dict[OriginId, str] = {}
        self._keys: dict[str, bytes] = {}
        self._topics = Topics(self.world.keys)

    def found(self) -> None:
        """The first device to join is the group's founder."""
        self._founded = True

    def membership(self, device: Device) -> Membership:
        """Who is a member by a device's log, and by what a running one has heard."""
        heard = device.machine.membership if device.running else None
        return heard or read_membership(device.log, device.viewer)

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
        """Judge what a device knows and keeps: no less is missing than signed words say, and its memory is bounded.

        Does nothing when it does not run.

        Raises:
            Violation: S6, S7 or P4.5.
        """
        device = self[name]
        if not device.running:
            return
        self.look()
        held = self.checkers.disks[name].states
        said = self._announced(name, discounted=self.checkers.liars).items()
        lacking = sum(max(0, seq - (held[origin].seq if origin in held else 0)) for origin, seq in said)
        claimed = device.machine.wait_result().missing_events
        if claimed < lacking:
            raise Violation("S7", f"{name} says that {claimed} events are missing, and has heard of {lacking}")
        if device.machine.buffered_bytes > BUFFERED_BYTES_MAX:
            raise Violation("P4.5", f"{name} keeps {device.machine.buffered_bytes} bytes in memory")
        self._check_acknowledgements(device)

    def _check_acknowledgements(self, device: Device) -> None:
        """What it believes that others hold of its origin they have held; copies of disks, which may part, aside."""
        own = device.log.own_origin()
        if own is None or own.key in self.checkers.twinned:
            return
        honest = {self.own(name).id for name, other in self.devices.items() if other.log.own_origin()}
        for row in device.status().devices:
            origin = OriginId(bytes.fromhex(row.origin))
            held = self.checkers.ever_held(origin, own.id)
            if origin in honest and row.acked_seq is not None and row.acked_seq > held:
                raise Violation("S6", f"{device.name} believes that {row.device} has {row.acked_seq} of its {held}")

    def missing(self, name: str, among: Collection[str] | None = None) -> int:
        """How many seqs a running device says are missing, those left out that no disk holds any more.

        Args:
            name: of the device.
            among: names of the devices whose disks count; None for all.
        """
        known, states = self[name].machine.known(), self.checkers.disks[name].states
        have = {origin: states[origin].seq if origin in states else 0 for origin in known}
        return sum(max(0, min(seq, self.checkers.highest(o, among)) - have[o]) for o, seq in known.items())

    def _announced(self, name: str, discounted: Collection[bytes] = ()) -> dict[OriginId, int]:
        """Origin -> the highest seq that signed words on a device's disk speak of: heads of others, and links.

        A head of a branch that has another name by now counts no more, nor do those of the keys `discounted`.
        """
        log, known = self[name].log, dict[OriginId, int]()
        said = list[tuple[OriginId, int, bytes]]()
        discounted = {*self.membership(self[name]).revoked, *discounted}
        for kind, author, _, _, data in log.peers():
            if kind == Kind.HEAD and data[:32] not in discounted:
                head = decode_head(data[_AUTHOR_BYTES:])
                said.append((author, head.seq, head.tip))
        for _, _, event in log.system_events():
            stated = read_system(event.kind, event.body)
            if isinstance(stated, Hello) and stated.link is not None:
                if bytes.fromhex(stated.key) in discounted:
                    continue
                link = stated.link
                said.append((OriginId(bytes.fromhex(link.origin)), link.seq, bytes.fromhex(link.c)))
        members = read_members(log)
        for origin, seq, tip in said:
            if not self._is_branch(log, seq, tip):
                cap = members.cap(origin)
                known[origin] = max(seq if cap is None else min(seq, cap), known.get(origin, 0))
        return known

    def _is_branch(self, log: Log, seq: int, tip: bytes) -> bool:
        branches = [state for state in log.origins() if state.forks and state.base < seq <= state.seq]
        return any(log.tip_at(state.id, seq) == tip for state in branches)

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
            if missing := self.missing(name):
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
        known = {self.name_of(state.id): state.seq for state in self[name].log.origins()}
        return known.get(origin, 0)

    def incarnations(self, name: str) -> int:
        """How many origins a device's key has, on any disk, branches left out."""
        key = self.key_of(name)
        states = [state for watch in self.checkers.disks.values() for state in watch.states.values()]
        return len({state.id for state in states if state.key == key and not state.forks})

    def mail_of(self, name: str) -> list[str]:
        """Topics of the mailbox segments of an origin with a name."""
        leaf = self._topics.leaf(self.origin_of(name))
        return [topic for topic in self.mail() if topic.split("/")[2] == leaf]

    # --- names -------------------------------------------------------------------------------------------------

    def name_of(self, origin: OriginId) -> str:
        """A name for an origin that does not depend on its random id."""
        if origin not in self._names:
            self._name_origins()
        return self._names.get(origin, _unnamed(origin))

    def origin_of(self, name: str) -> OriginId:
        """The origin that a name stands for.

        Raises:
            UsageError: no origin has that name.
        """
        self._name_origins()
        for origin, known in self._names.items():
            if known == name:
                return origin
        raise UsageError(f"no origin is called {name}")

    def leaf_name(self, leaf: str) -> str:
        """The name of the origin that a leaf of a topic stands for."""
        self._name_origins()
        return next((name for origin, name in self._names.items() if self._topics.leaf(origin) == leaf), "a stranger")

    def _name_origins(self) -> None:
        for device in self.devices.values():
            own = device.log.own_origin()
            if own is not None and own.id not in self._names:
                self._give(own.id, device.name, ".")
        for device in self.devices.values():
            for state in device.log.origins():
                root = short(root_hash(self.world.keys.group, state.key, state.incarnation))
                if state.id not in self._names and state.forks:
                    self._give(state.id, f"{self._names.get(root, _unnamed(root))}~{state.base + 1}", "/")

    def _give(self, origin: OriginId, name: str, mark: str) -> None:
        taken = set(self._names.values())
        number = next(n for n in count(1) if (f"{name}{mark}{n}" if n > 1 else name) not in taken)
        self._names[origin] = f"{name}{mark}{number}" if number > 1 else name


def _unnamed(origin: OriginId) -> str:
    """What stands for an origin that no disk is known to have written."""
    return f"?{origin.hex()[:4]}"
