"""A simulated device: a disk that lasts, and a process on it that starts, stops, crashes and starts again.

Owns the device's clock, its disk, and the stepping of its engine in virtual time. The engine, the machine and the log
are the very ones that the daemon runs; only the link, the disk and the clock are simulated.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hcom_replica.core.append import Writer
from hcom_replica.core.context import Context
from hcom_replica.core.effects import Effect, Now, Trace
from hcom_replica.core.machine import Machine
from hcom_replica.core.membership import Membership, Viewer, read_membership
from hcom_replica.core.settings import Settings
from hcom_replica.core.status import DaemonStatus, Status, StatusInput, build_status
from hcom_replica.daemon.departure import Departure
from hcom_replica.daemon.engine import Engine
from hcom_replica.errors import StoreFull, UsageError
from hcom_replica.ids import EventId
from hcom_replica.ports import Will
from hcom_replica.store.log import Log
from hcom_replica.testing.broker import SimBroker
from hcom_replica.testing.disk import Disk
from hcom_replica.testing.faults import Faults
from hcom_replica.testing.link import SimLink
from hcom_replica.testing.pipe import Profile
from hcom_replica.testing.scheduler import Scheduler, Timer
from hcom_replica.testing.storefaults import Crash, StoreFaults
from hcom_replica.wire.event import Draft
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.signing import DeviceKey

EPOCH_MS: Final = 1_800_000_000_000
"""The true wall clock when a simulated world begins."""

LOOK_MS: Final = 1_000
"""The daemon looks at the log this often, poked or not."""

HOME: Final = "mqtt://home:1883"
"""Where the brokers of a simulated group begin."""

CLOSING_MS_MAX: Final = 5_000
"""A stop waits this long for the broker to take the last things."""


@dataclass(slots=True)
class World:
    """What all devices share.

    Attributes:
        scheduler: virtual time and randomness.
        broker: where they meet.
        faults: what goes wrong on the way there.
        keys: their group, at its first epoch.
        founder: key of the device that made it; empty for a group that has one epoch only.
        others: the brokers that the group may move to, by URL.
        traces: (virtual ms, device, trace), oldest first.
    """

    scheduler: Scheduler
    broker: SimBroker
    faults: Faults
    keys: GroupKeys
    founder: bytes = b""
    others: dict[str, SimBroker] = field(default_factory=dict)
    traces: list[tuple[int, str, Trace]] = field(default_factory=list)

    def broker_at(self, url: str) -> SimBroker:
        """The one that a URL names; where devices begin if there is no other of that name."""
        return self.others.get(url, self.broker)


class _Process:
    """What a crash takes away: machine, engine and link."""

    def __init__(self, device: Device) -> None:
        world, log = device.world, device.log
        self._device = device
        self.link: SimLink | None = None
        rng = random.Random(world.scheduler.random.getrandbits(64))
        self.machine = Machine(Context(device.viewer, log, device.settings, rng, log.next_boot(), [*log.peers()]))
        self.engine = Engine(self.machine, log, self, rng=rng, trace=device.note, before=device.before_effect)
        self.machine.moving.place = (device.place,)
        self.departure = Departure(self.machine.moving, self.engine)
        self.closing_until_ms: int | None = None

    def open(self, will: Will | None) -> SimLink:
        """Make a link (the engine's `Dialer`)."""
        device, world = self._device, self._device.world
        self.link = SimLink(
            world.broker_at(device.place),
            world.scheduler,
            device=device.name,
            will=will,
            profile=device.profile,
            faults=world.faults,
            wake=device.wake,
        )
        return self.link

    def came_up(self) -> None:
        """A device goes to one broker at a time."""

    def ended(self, *, was_up: bool) -> bool:  # noqa: ARG002 - the engine's Dialer
        """A device goes to one broker at a time."""
        return False


class Device:
    """One simulated device, off until `start`.

    Args:
        world: what it shares with the others.
        name: in the world; faults and counters go by it.
        key: its identity; a clone has the same.
        kv: its disk.
        member: the name it tells others; None is `name`.
        settings: of its machine.
        profile: its network.
        skew_ms: how far its wall clock is ahead of the truth.

    Attributes:
        disk: the faults of its disk.
        effects: how many effects its processes have carried out or begun.
        crashes: how often it has crashed.
        acked: ids of the events that `append` and `redact` have acknowledged.
        tokens: the epochs that its tokens told it of, the newest last; another one counts from its next start on.
        writer: key, group and name that it appends with.
        place: URL of the broker that it goes to, durably.
        pace_ms: a woken process takes so long to look: what comes meanwhile is taken in the same step.
    """

    def __init__(
        self,
        world: World,
        name: str,
        key: DeviceKey,
        kv: Disk,
        *,
        member: str | None = None,
        settings: Settings | None = None,
        profile: Profile | None = None,
        skew_ms: int = 0,
    ) -> None:
        self.world = world
        self.tokens = [world.keys]
        self.name = name
        self.key = key
        self.settings = settings or Settings()
        self.profile = profile or Profile()
        self.skew_ms = skew_ms
        self.effects = 0
        self.crashes = 0
        self.acked: list[EventId] = []
        self.place = HOME
        self.pace_ms = 0
        self.writer = Writer(key, world.keys.group, member or name)
        self._process: _Process | None = None
        self._timer: Timer | None = None
        self._effects_left: int | None = None
        self.use_disk(kv)

    # --- clock and disk ----------------------------------------------------------------------------------------

    @property
    def now(self) -> Now:
        """The time as this device sees it."""
        ms = self.world.scheduler.now_ms
        return Now(max(0, EPOCH_MS + ms + self.skew_ms), ms)

    def use_disk(self, kv: Disk) -> None:
        """Put another disk in; no process may be running."""
        self.kv = kv
        self.disk = StoreFaults(kv)
        self.writer = self.writer._replace(epoch=self.tokens[-1].check if self.world.founder else b"")
        self.log = Log(kv, self.world.keys.group, self.writer, entropy=self.world.scheduler.random.randbytes)

    @property
    def viewer(self) -> Viewer:
        """On whose behalf members and epochs are judged."""
        return Viewer(self.key, self.tokens[-1], self.world.founder, tuple(self.tokens[:-1]))

    def membership(self) -> Membership:
        """Who is a member by its log, and by what it has heard if it runs."""
        heard = self.machine.membership if self.running else None
        return heard or read_membership(self.log, self.viewer)

    # --- the process -------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether its daemon runs."""
        return self._process is not None

    @property
    def machine(self) -> Machine:
        """The running machine.

        Raises:
            UsageError: its daemon does not run.
        """
        return self._need_process().machine

    @property
    def engine(self) -> Engine:
        """The running engine.

        Raises:
            UsageError: its daemon does not run.
        """
        return self._need_process().engine

    def _need_process(self) -> _Process:
        if self._process is None:
            raise UsageError(f"{self.name} does not run")
        return self._process

    def start(self) -> None:
        """Start its daemon; does nothing when it runs. On a full disk it does not come up."""
        if self._process is None:
            try:
                self._process = _Process(self)
            except Crash:
                self._die()
            except StoreFull as error:
                self.note(Trace("not started", (("error", error.message),)))
            self.wake()

    def stop(self) -> None:
        """Begin a stop in order; it takes up to five seconds of virtual time."""
        if self._process is not None:
            self._process.engine.begin_closing(self.now)
            self._process.closing_until_ms = self.now.mono_ms + CLOSING_MS_MAX
            self.wake()

    def crash(self, *, broker_after_ms: int | None = 0) -> None:
        """Die as by kill -9; the disk stays. None: the broker hears nothing of it (the machine lost power)."""
        if self._process is not None:
            self._die(broker_after_ms=broker_after_ms)

    def crash_before_effect(self, count: int) -> None:
        """Die before the `count`-th effect from now (1: the next one)."""
        self._effects_left = count

    def _die(self, *, broker_after_ms: int | None = 0) -> None:
        process, self._process = self._process, None
        self.crashes += 1
        self._effects_left = None
        self._rest()
        if process is not None and process.link is not None:
            process.link.crash(broker_after_ms=broker_after_ms)

    def before_effect(self, effect: Effect) -> None:  # noqa: ARG002 - the engine's hook
        """Count an effect, and die if it is the one to die before."""
        self.effects += 1
        if self._effects_left is not None:
            self._effects_left -= 1
            if self._effects_left <= 0:
                raise Crash

    def note(self, trace: Trace) -> None:
        """Keep a trace."""
        self.world.traces.append((self.world.scheduler.now_ms, self.name, trace))

    # --- stepping ----------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Step as soon as possible."""
        self._plan(self.world.scheduler.now_ms + self.pace_ms)

    def _plan(self, ms: int) -> None:
        timer = self._timer
        if timer is not None and timer.pending:
            if timer.due_ms <= ms:
                return
            timer.cancel()
        self._timer = self.world.scheduler.at(ms, self._step)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _step(self) -> None:
        process = self._process
        if process is None:
            return
        try:
            wake_ms = process.engine.step(self.now)
            self._follow(process)
            if self._is_closed(process):
                process.engine.close(self.now)
                self._process = None
                return
        except Crash:
            self._die()
            return
        if wake_ms is not None:
            self._plan(wake_ms)
        if process.closing_until_ms is not None:
            self._plan(process.closing_until_ms)

    def _follow(self, process: _Process) -> None:
        """Go where the group has gone, as the daemon does."""
        url = process.departure.due(self.now)
        if url is not None:
            self.place = url
            process.machine.moving.place = (url,)
            process.engine.renew(self.now, "the group has moved")
            self.wake()

    def _is_closed(self, process: _Process) -> bool:
        until_ms = process.closing_until_ms
        return until_ms is not None and (process.engine.closed or self.now.mono_ms >= until_ms)

    # --- another process on the same disk ----------------------------------------------------------------------

    def append(self, drafts: Sequence[Draft], *, poke: bool = True) -> list[EventId]:
        """Append as a command line does, whether or not the daemon runs.

        Args:
            drafts: the events.
            poke: False: the appender dies between commit and poke, and the daemon finds out by looking.

        Returns:
            The ids, acknowledged; none when the appender died before it could say so.

        Raises:
            StoreFull: the disk is full; nothing was appended.
        """
        try:
            ids = self.log.append(drafts, self.now.wall_ms)
        except Crash:
            ids = []
        self.acked += ids
        self._poke(poke=poke)
        return ids

    def redact(self, event: EventId, *, poke: bool = True) -> EventId | None:
        """Redact an own event as a command line does; arguments and errors as `append`.

        Returns:
            Id of the system event; None when there was nothing to do, or it died before it could say so.
        """
        try:
            said = self.log.redact(event, self.now.wall_ms)
        except Crash:
            said = None
        self.acked += [said] if said is not None else []
        self._poke(poke=poke)
        return said

    def status(self) -> Status:
        """What `status` shows on this device; its times are seconds since the world began."""
        given = StatusInput(
            viewer=self.viewer,
            name=self.name,
            notes=[*self.log.peers()],
            now_ms=self.now.wall_ms,
            events=self.log.event_count(),
            daemon=DaemonStatus(self.running, None),
            broker_url=None,
            live=self.machine.live_info() if self.running else None,
            iso=_seconds,
        )
        return build_status(self.log, given)

    def _poke(self, *, poke: bool) -> None:
        if self.running:
            self._plan(self.world.scheduler.now_ms + (0 if poke else LOOK_MS))


def _seconds(ms: int) -> str:
    return f"{(ms - EPOCH_MS) // 1_000} s"
