"""Devices that replicate through one simulated broker, in virtual time: the world of scenarios and random schedules.

Owns the world and its devices by name, and says when they have converged. A seed and a program give one run, always
the same. Nothing here knows the protocol: devices are started, cut off, crashed, cloned and restored, and then judged
by their logs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from hcom_replica.core.membership import read_membership
from hcom_replica.core.moves import move_draft
from hcom_replica.core.newepoch import epoch_drafts
from hcom_replica.core.origin import OriginState
from hcom_replica.core.settings import Settings
from hcom_replica.errors import UsageError
from hcom_replica.ids import EventId, OriginId
from hcom_replica.store.memory_kv import MemoryKv
from hcom_replica.testing.broker import SimBroker
from hcom_replica.testing.brokerconfig import BrokerConfig
from hcom_replica.testing.device import Device, World
from hcom_replica.testing.disk import Disk
from hcom_replica.testing.faults import Faults, Kind
from hcom_replica.testing.pipe import Profile
from hcom_replica.testing.scheduler import Scheduler
from hcom_replica.wire.event import Draft, decode_event, is_system
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.signing import DeviceKey

SLICE_MS: Final = 100
"""How often a condition is looked at while time runs."""

MINUTE_MS: Final = 60_000


class Cluster:
    """A simulated group.

    Args:
        seed: names the run.
        devices: how many, named A, B, C ... and started; or their names.
        settings: of every device.
        profile: the network of every device.
        broker: what the broker can do.
        disks: makes the disks of devices.
        skew_ms: name -> how far that device's clock is ahead.
        founded: the first device is the group's founder: members are admitted, and can be revoked.

    Attributes:
        scheduler: virtual time.
        broker: the broker: stop it, restart it, roll it back.
        faults: what goes wrong on the way to it.
        devices: by name.
    """

    def __init__(
        self,
        seed: int,
        devices: int | Sequence[str] = 3,
        *,
        settings: Settings | None = None,
        profile: Profile | None = None,
        broker: BrokerConfig | None = None,
        disks: Callable[[], Disk] = MemoryKv,
        skew_ms: Mapping[str, int] | None = None,
        founded: bool = False,
    ) -> None:
        scheduler = Scheduler(seed)
        keys = GroupKeys(scheduler.random.randbytes(16), scheduler.random.randbytes(32))
        self.world = World(scheduler, SimBroker(scheduler, broker), Faults(scheduler), keys)
        self.scheduler, self.broker, self.faults = scheduler, self.world.broker, self.world.faults
        self.devices: dict[str, Device] = {}
        self._settings, self._profile = settings, profile
        self._disks = disks
        self._appended = 0
        self._founded = founded
        for name in device_names(devices) if isinstance(devices, int) else devices:
            self.join(name, skew_ms=(skew_ms or {}).get(name, 0)).start()

    def __getitem__(self, name: str) -> Device:
        return self.devices[name]

    @property
    def now_ms(self) -> int:
        """Virtual ms since the world began."""
        return self.scheduler.now_ms

    # --- what happens to devices -------------------------------------------------------------------------------

    def join(self, name: str, *, profile: Profile | None = None, skew_ms: int = 0, seed: bytes | None = None) -> Device:
        """Add a new device with an empty log; it is not started. `seed` is that of its key, if that is to be known."""
        key = DeviceKey(seed if seed is not None else self.scheduler.random.randbytes(32))
        if self._founded and not self.devices:
            self.world.founder = key.public
        return self._add(name, key, self._disks(), member=name, profile=profile, skew_ms=skew_ms)

    def clone(self, name: str, twin: str) -> Device:
        """Add a device with the same key and a copy of the disk as it is now; it is not started."""
        device = self[name]
        return self._add(
            twin, device.key, device.kv.clone(), member=name, profile=device.profile, skew_ms=device.skew_ms
        )

    def _add(
        self, name: str, key: DeviceKey, kv: Disk, *, member: str, profile: Profile | None, skew_ms: int
    ) -> Device:
        device = Device(
            self.world,
            name,
            key,
            kv,
            member=member,
            settings=self._settings,
            profile=profile or self._profile,
            skew_ms=skew_ms,
        )
        self.devices[name] = device
        return device

    def revoke(self, name: str, *victims: str) -> None:
        """Begin a new key epoch on a device, as its command line does; without victims it is a rotation."""
        device = self[name]
        membership = read_membership(device.log, device.viewer)
        keys = [self[victim].key.public for victim in victims]
        device.append(epoch_drafts(membership, device.log.origins(), keys, self.scheduler.random.randbytes))

    def another_broker(self, url: str) -> SimBroker:
        """A broker that the group may move to."""
        broker = self.world.others[url] = SimBroker(self.scheduler)
        return broker

    def move(self, name: str, url: str) -> None:
        """Move the group on a device, as its command line does."""
        device = self[name]
        device.append([move_draft(read_membership(device.log, device.viewer), url)])

    def token(self, name: str) -> GroupKeys:
        """The epoch that a device is in, as the token that it would give to others now tells it."""
        return self[name].machine.epoch

    def append(self, name: str, events: int | Sequence[Draft] = 1, *, poke: bool = True) -> list[EventId]:
        """Append on a device, as its command line does: drafts, or so many events that differ from all others."""
        drafts = [self._draft(name) for _ in range(events)] if isinstance(events, int) else events
        return self[name].append(drafts, poke=poke)

    def _draft(self, name: str) -> Draft:
        self._appended += 1
        return Draft("test", name.lower(), None, b'{"n":%d}' % self._appended)

    def offline(self, *names: str, broker_after_ms: int | None = None) -> None:
        """Cut devices off the broker until `online`; the broker learns by its keepalive unless told otherwise."""
        self.faults.partition(*names, broker_after_ms=broker_after_ms)

    def online(self, *names: str) -> None:
        """Let devices reach the broker again; they notice when they next try."""
        self.faults.off(Kind.PARTITION, *names)

    def stop(self, *names: str) -> None:
        """Stop daemons in order, and let the time pass that this takes."""
        for name in names:
            self[name].stop()
        self.run_until(lambda: not any(self[name].running for name in names), MINUTE_MS)

    def restart(self, name: str) -> None:
        """Crash and start again."""
        self[name].crash()
        self[name].start()

    def snapshot(self, name: str) -> Disk:
        """Copy a device's disk as it is now, for `restore`."""
        return self[name].kv.clone()

    def restore(self, name: str, snapshot: Disk) -> None:
        """Put an older copy of its disk back, as from a backup, and start on it."""
        self[name].crash()
        self[name].use_disk(snapshot.clone())
        self[name].start()

    # --- time --------------------------------------------------------------------------------------------------

    def run(self, ms: int) -> None:
        """Let time pass."""
        self.scheduler.run_until(self.now_ms + ms)

    def run_until(self, condition: Callable[[], bool], limit_ms: int) -> bool:
        """Let time pass until `condition` holds; False when it did not within `limit_ms`."""
        end_ms = self.now_ms + limit_ms
        while not condition():
            if self.now_ms >= end_ms:
                return False
            self.run(min(SLICE_MS, end_ms - self.now_ms))
        return True

    def run_until_converged(self, limit_ms: int = 10 * MINUTE_MS, names: Iterable[str] | None = None) -> bool:
        """Let time pass until `converged`."""
        judged = None if names is None else tuple(names)
        return self.run_until(lambda: self.converged(judged), limit_ms)

    def run_until_quiet(self, limit_ms: int = 20 * MINUTE_MS) -> bool:
        """Let time pass until all have the same log, know so of each other, and no mail lies on the broker."""
        return self.run_until(lambda: self.converged() and not self.mail() and not any(self.lags().values()), limit_ms)

    # --- judging -----------------------------------------------------------------------------------------------

    def vector(self, name: str) -> dict[OriginId, tuple[int, bytes]]:
        """Origin -> (seq, c[seq]) held by a device."""
        return {state.id: (state.seq, state.tip) for state in self[name].log.origins() if state.seq > state.base}

    def converged(self, names: Iterable[str] | None = None) -> bool:
        """Whether the devices (all, or those named) hold equal origins; equal c means equal history."""
        vectors = [self.vector(name) for name in names or self.devices]
        return all(vector == vectors[0] for vector in vectors)

    def digest(self, name: str) -> str:
        """A digest of a device's whole log in canonical order: positions and bytes."""
        digest = blake2b(digest_size=16)
        for event in self[name].log.events():
            digest.update(event.key + event.seq.to_bytes(8, "big") + event.record)
        return digest.hexdigest()

    def held(self, name: str) -> set[bytes]:
        """The bodies of all events that a device holds, system events left out."""
        events = (decode_event(stored.record) for stored in self[name].log.events())
        return {event.body for event in events if not is_system(event.kind)}

    def own(self, name: str) -> OriginState:
        """The origin a device appends to."""
        state = self[name].log.own_origin()
        if state is None:
            raise UsageError(f"{name} has appended nothing")
        return state

    def lags(self) -> dict[str, int]:
        """Events that each running device knows to be missing."""
        return {
            name: device.machine.wait_result().missing_events for name, device in self.devices.items() if device.running
        }

    def mail(self) -> list[str]:
        """Topics of the mailbox segments that lie on the broker."""
        return [topic for topic, _ in self.broker.retained(f"{self.world.keys.prefix}/m/#")]


def device_names(count: int) -> list[str]:
    """A to Z, then D26 and so on."""
    return [chr(ord("A") + number) if number < 26 else f"D{number}" for number in range(count)]
