"""A replica at work on real things: the folder's log, a broker, the clock; as a daemon or inside a command.

Owns the putting together of machine, engine and loop over an open folder, reading settings again, and the order of
ending. One session works on a folder at a time: it holds the daemon's lock, and serves the control socket, so that
other commands find it whether it is a daemon or a `flush` that runs by itself.
"""

from __future__ import annotations

import os
import random
import selectors
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

from hcom_replica.bridge.foreigners import Foreigners
from hcom_replica.bridge.settings import BridgeSettings
from hcom_replica.core.context import Context
from hcom_replica.core.effects import Now, Trace
from hcom_replica.core.machine import Machine
from hcom_replica.core.membership import Viewer
from hcom_replica.core.settings import Settings
from hcom_replica.daemon import legacy
from hcom_replica.daemon.bell import Bell
from hcom_replica.daemon.bridge_keeper import BridgeKeeper
from hcom_replica.daemon.bridging import Bridging, MachineNetwork, Who
from hcom_replica.daemon.clock import SystemClock
from hcom_replica.daemon.control import ControlServer, Later
from hcom_replica.daemon.dialer import HOME_AFTER_MS, BrokerDialer
from hcom_replica.daemon.engine import Engine
from hcom_replica.daemon.legacy import LegacyKeeper
from hcom_replica.daemon.lock import DaemonLock
from hcom_replica.daemon.loop import Loop
from hcom_replica.daemon.messages import DaemonInfo, Request, read
from hcom_replica.daemon.moving import Mover, brokers_before
from hcom_replica.daemon.operations import Operations
from hcom_replica.daemon.wake import WakeEar
from hcom_replica.errors import ConfigError, ReplicaError
from hcom_replica.folder.config import Config, load_config
from hcom_replica.folder.config_edit import change_config
from hcom_replica.folder.files import read_password
from hcom_replica.folder.keys import group_token
from hcom_replica.folder.paths import Folder
from hcom_replica.folder.system_keyring import password_in_keyring
from hcom_replica.store.log import Log
from hcom_replica.transport.url import BrokerAddress, Credentials, parse_broker_url
from hcom_replica.wire.signing import DeviceKey, device_id
from hcom_replica.wire.token import JoinToken

CLOSING_MS_MAX: Final = 5_000
"""How long a stop waits for the broker to take the last things; the lid is closing."""

READERS_MS: Final = 60_000
"""How often readers that died are cleared from the store (storage-v1 T5.7)."""

LOOK_MS: Final = 1_000
"""How often it is looked whether the folder still holds the log that is open."""

T = TypeVar("T")


class Opened(Protocol):
    """An open folder, as whoever opened it hands it over; it stays theirs to close."""

    @property
    def folder(self) -> Folder:
        """Its paths."""

    @property
    def config(self) -> Config:
        """Its settings."""

    @property
    def device(self) -> DeviceKey:
        """This device's key."""

    @property
    def token(self) -> JoinToken:
        """The group."""

    @property
    def name(self) -> str:
        """This device's name, as the folder has it."""

    @property
    def viewer(self) -> Viewer:
        """On whose behalf members and key epochs are judged."""

    @property
    def log(self) -> Log:
        """For reading and appending."""


class Session:
    """A replica at work, from construction to `close`. A context manager.

    Args:
        opened: the open folder.
        trace: is given what is worth a line in the log.

    Raises:
        DaemonError: another session works on the folder; nothing was changed.
        ConfigError: a broker's URL or the password file is not usable.
    """

    def __init__(self, opened: Opened, trace: Callable[[Trace], None]) -> None:
        self._folder = opened.folder
        self._token = opened.token
        self._trace = trace
        self._clock = SystemClock()
        self._stopping = self._reload_asked = False
        self._started_ms = self._clock.wall_ms()
        self._bridge: BridgeKeeper | None = None
        self._legacy: LegacyKeeper | None = None
        with ExitStack() as stack:
            stack.enter_context(DaemonLock(self._folder.root))
            self._bell = Bell()
            stack.callback(self._bell.close)
            self._build(opened)
            stack.callback(self._loop.close)
            ear = WakeEar(self._folder.root)
            stack.callback(ear.close)
            self._loop.listen(ear.fileno(), ear.hear)
            control = ControlServer(self._folder.root, self._loop.selector, self._operations.handle, self._clock.now)
            stack.callback(control.close)
            self._loop.add(control)
            self._loop.add(self)
            self._stack = stack.pop_all()

    def _build(self, opened: Opened) -> None:
        config, log = opened.config, opened.log
        self._viewer, self._name = opened.viewer, opened.name
        brokers, credentials = broker_settings(config, opened.token, brokers_before(opened.folder))
        self._log = log
        log.resume(self._clock.wall_ms())
        self._dialer = BrokerDialer(brokers, credentials, self._bell.ring)
        settings = Settings(mailbox_slots=config.mailbox_slots, durable=log.durable, frontier_lease_ms=config.lease_ms)
        rng = random.SystemRandom()
        context = Context(
            opened.viewer,
            log,
            settings,
            rng,
            log.next_boot(),
            log.peers(),
            config.topic_path or "",
        )
        self._machine = Machine(context)
        self._engine = Engine(
            self._machine,
            log,
            self._dialer,
            rng=rng,
            trace=self._trace,
            enabled=config.enabled and bool(brokers),
        )
        self._machine.moving.place = opened.token.brokers
        self._mover = Mover(self._folder, self._machine.moving, self._engine, self._dialer, self.reload, self._trace)
        self._loop = Loop(self._engine, self._clock, self._bell)
        self._loop.add(self._mover)
        self._operations = Operations(self, self._engine, self._machine)
        self._readers_ms = self._looked_ms = self._clock.monotonic_ms()

    # --- work --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until `stop`."""
        self._loop.run(lambda _now: self._stopping)

    def bridge(self) -> None:
        """Bridge to hcom as well, when the folder has a bridge, from now on: what a daemon does, and no command."""
        viewer, foreigners = self._viewer, Foreigners(self._log)

        def make(settings: BridgeSettings, selector: selectors.BaseSelector) -> Bridging:
            allowed = load_config(self._folder.config).hcom_allow
            who = Who(self._token.keys.group, device_id(viewer.device.public), self._name, allowed, foreigners)
            network = MachineNetwork(self._machine, self._engine)
            return Bridging(settings, self._log, network, selector, self._trace, who)

        self._bridge = BridgeKeeper(self._folder, self._loop.selector, make, self._trace)
        self._loop.add(self._bridge)
        self._stack.callback(self._bridge.close)
        own = legacy.Who(self._token.keys.group, device_id(viewer.device.public), self._name, foreigners)
        network = MachineNetwork(self._machine, self._engine)
        self._legacy = LegacyKeeper(self._folder, self._log, network, self._bell.ring, self._trace, own)
        self._loop.add(self._legacy)
        self._stack.callback(self._legacy.close)

    def perform(self, op: str, shape: type[T], **args: Any) -> T:
        """Work until one operation is answered; for commands that find no daemon.

        Raises:
            ReplicaError: see `Operations.handle`.
        """
        answer = self._operations.handle(Request(op, args), self._clock.now())
        if not hasattr(answer, "until_ms"):
            return read(answer, shape)
        later: Later = answer
        done = False

        def is_over(now: Now) -> bool:
            nonlocal done, answer
            done, answer = later.result(now)
            return done or self._stopping or (later.until_ms is not None and now.mono_ms >= later.until_ms)

        self._loop.add(_Deadline(later))
        try:
            self._loop.run(is_over)
        finally:
            later.drop()
        return read(answer, shape)

    def stop(self) -> None:
        """End `run` soon. May be called by a signal handler."""
        self._stopping = True
        self._bell.ring()

    def reload_soon(self) -> None:
        """Read the settings again at the next turn of the loop. May be called by a signal handler."""
        self._reload_asked = True
        self._bell.ring()

    def signal_fd(self) -> int:
        """What `signal.set_wakeup_fd` is given, so that a signal ends the loop's wait."""
        return self._bell.signal_fd()

    def close(self) -> None:
        """Say the last things, for five seconds at most, and give everything back but the folder. Idempotent."""
        now = self._clock.now()
        self._engine.begin_closing(now)
        until_ms = now.mono_ms + CLOSING_MS_MAX
        self._loop.run(lambda at: self._engine.closed or at.mono_ms >= until_ms)
        self._engine.close(self._clock.now())
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, KeyboardInterrupt | ReplicaError):
            self.close()
        else:  # whatever is broken is not to be stepped again
            self._stack.close()

    # --- beside the engine (the loop's Caretaker, the operations' Host) ------------------------------------------

    def poll(self, now: Now) -> None:
        """Look after dead readers, the log's file, the first broker, the settings, the group's wish to stop."""
        if now.mono_ms - self._readers_ms >= READERS_MS:
            self._readers_ms = now.mono_ms
            self._log.check_readers()
        if now.mono_ms - self._looked_ms >= LOOK_MS:
            self._looked_ms = now.mono_ms
            self._look()
        if self._dialer.away and (self._engine.lived_ms(now) or 0) >= HOME_AFTER_MS:
            self._engine.renew(now, "back to the first broker")
        if self._reload_asked:
            self._reload_asked = False
            try:
                self.reload(now)
            except ConfigError as error:
                self._trace(Trace("settings not usable", (("error", error.message),)))
        if self._machine.off_requested:
            self._machine.off_requested = False
            self._trace(Trace("asked to stop syncing"))
            change_config(self._folder.config, {"relay.enabled": False})
            self._engine.enable(now, enabled=False)

    def _look(self) -> None:
        """Stop when what is open here is not what the folder holds any more (storage-v1 T7.8)."""
        if not self._stopping and self._log.replaced():
            self._trace(Trace("stopping: another log has taken the place of the one that is open"))
            self.stop()

    def wake_at(self) -> int | None:
        """The loop's own look each second is enough."""
        return None

    def info(self) -> DaemonInfo:
        """What `status` answers."""
        failure = None if self._engine.online else self._dialer.failure
        broker = self._dialer.broker
        return DaemonInfo(
            os.getpid(),
            self._started_ms,
            self._engine.enabled,
            None if broker is None else broker.url,
            "" if failure is None else failure.reason,
            "" if failure is None else failure.hint,
            self._machine.live_info(),
            None if self._bridge is None else self._bridge.info(),
            None if self._legacy is None else self._legacy.info(),
            "" if self._dialer.first_failure is None else self._dialer.first_failure.reason,
        )

    def refill(self) -> bool:
        """Give hcom again whatever it does not have; False when there is no bridge."""
        return self._bridge is not None and self._bridge.refill()

    def leave(self, now: Now) -> None:
        """Begin to leave the group of hcom's own relay."""
        if self._legacy is not None:
            self._legacy.leave(now)

    def remote(self) -> Bridging | None:
        """The bridge, by which other devices' hcoms are asked for something; None when there is none."""
        return None if self._bridge is None else self._bridge.bridge

    def has_left(self, now: Now) -> bool:
        """Whether it is left; what serves no bridge has none."""
        return self._legacy is None or self._legacy.has_left(now)

    def reload(self, now: Now) -> None:
        """Read config.toml and the token again: brokers, credentials, enabled. The rest counts from the next start on.

        Raises:
            ConfigError: it is not usable; the old settings stand.
        """
        config = load_config(self._folder.config)
        self._token = group_token(self._folder) or self._token
        self._machine.moving.place = self._token.brokers
        self._mover.look()
        brokers, credentials = broker_settings(config, self._token, brokers_before(self._folder))
        changed = self._dialer.change(brokers, credentials)
        self._engine.enable(now, enabled=config.enabled and bool(brokers))
        if changed:
            self._engine.renew(now, "the settings have changed")
        if self._bridge is not None:
            self._bridge.reload()
        if self._legacy is not None:
            self._legacy.reload()
        self._trace(Trace("settings read again", (("enabled", config.enabled), ("brokers", len(brokers)))))


class _Deadline:
    """Makes the loop wake at the deadline of an operation performed here (a Caretaker)."""

    def __init__(self, later: Later) -> None:
        self._later = later

    def poll(self, now: Now) -> None:
        """The loop's `done` looks."""

    def wake_at(self) -> int | None:
        """When time is up."""
        return self._later.until_ms


def broker_settings(
    config: Config, token: JoinToken, before: tuple[BrokerAddress, ...] = ()
) -> tuple[tuple[BrokerAddress, ...], Credentials]:
    """The brokers to try, in order, and what they are shown: those of config.toml, else those of the token.

    Args:
        config: the settings.
        token: of the group.
        before: brokers that the group has moved from, to be tried after the others.

    Raises:
        ConfigError: a URL is not usable, or the password cannot be had.
    """
    texts, name = config.brokers or token.brokers, "relay.broker"
    try:
        brokers = tuple(parse_broker_url(text) for text in texts)
        name = "relay.password_file" if config.password_keyring is None else "relay.password_keyring"
        password = _password(config)
    except ConfigError as error:
        raise config.refuse(name, error) from None
    shown = Credentials(config.username, password, config.ca_file, config.credentials_for)
    return tuple(dict.fromkeys((*brokers, *before))), shown


def _password(config: Config) -> str | None:
    if config.password_keyring is not None:
        return _from_keyring(config.password_keyring, config)
    if config.password_file is None:
        return None
    return read_password(config.password_file)


def _from_keyring(service: str, config: Config) -> str:
    if config.password_file is not None:
        raise ConfigError("relay.password_file is set, too", hint="keep the password in one place: remove one of them")
    if config.username is None:
        raise ConfigError("a password without relay.username", hint='set username = "..." under [relay]')
    return password_in_keyring(service, config.username)
