"""Keeps the connection to machines that run only hcom while `legacy.json` says that there is one (hcom-bridge-v1, 8).

Owns that connection, and that whatever is wrong with it disturbs nothing else: it is remembered for status, and tried
again. A store that fails ends the connection and what was in memory; the next one starts from what is stored. A
caretaker of the loop.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from hcom_replica.bridge.directory import Directory
from hcom_replica.bridge.foreigners import Foreigners
from hcom_replica.bridge.ledger import BridgeLog, Network
from hcom_replica.bridge.legacy.carrying import Carrying
from hcom_replica.bridge.legacy.duty import Part
from hcom_replica.bridge.legacy.settings import USERNAME, LegacySettings, decode_legacy
from hcom_replica.bridge.legacy.snapshots import PACKET_BYTES_MAX
from hcom_replica.core.effects import Now, Trace
from hcom_replica.daemon.backoff import Backoff
from hcom_replica.daemon.dialer import BrokerDialer
from hcom_replica.daemon.messages import LegacyInfo, LegacyPeer
from hcom_replica.errors import ConfigError, StoreError
from hcom_replica.folder.files import read_bytes
from hcom_replica.folder.paths import Folder
from hcom_replica.ports import Delivered, LinkDown, LinkEvent, LinkUp, Published, Subscribed
from hcom_replica.transport.link import PahoLink
from hcom_replica.transport.url import Credentials, parse_broker_url

IDLE_MS: Final = 250
BUSY_MS: Final = 20


class Who(NamedTuple):
    """Whose connection it is.

    Attributes:
        group: 16 bytes.
        device: id of this device.
        name: its name.
        foreigners: machines that run only hcom.
    """

    group: bytes
    device: bytes
    name: str
    foreigners: Foreigners


class LegacyKeeper:
    """The connection of one folder, if it has one.

    Args:
        folder: the data folder.
        log: of the folder.
        network: what is known of our own group.
        wake: called on the connection's thread when it has something to tell.
        trace: is given what is worth a line in the log.
        who: see there.
    """

    def __init__(
        self,
        folder: Folder,
        log: BridgeLog,
        network: Network,
        wake: Callable[[], None],
        trace: Callable[[Trace], None],
        who: Who,
    ) -> None:
        self._folder = folder
        self._log = log
        self._network = network
        self._wake = wake
        self._trace = trace
        self._who = who
        self._backoff = Backoff(random.SystemRandom())
        self._settings: LegacySettings | None = None
        self._dialer: BrokerDialer | None = None
        self._carrying: Carrying | None = None
        self._link: PahoLink | None = None
        self._up_ms: int | None = None
        self._dial_ms: int | None = None
        self._wake_ms: int | None = None
        self._trouble = ""
        self.reload()

    # --- what the owner asks -------------------------------------------------------------------------------

    def reload(self) -> None:
        """Read `legacy.json` again: a group that has changed is connected to anew."""
        before, self._trouble = self._settings, ""
        try:
            data = read_bytes(self._folder.legacy)
            self._settings = None if data is None else decode_legacy(data, str(self._folder.legacy))
            self._dialer = None if self._settings is None else self._dialer_of(self._settings)
        except ConfigError as error:
            self._settings, self._trouble = None, error.message
            self._trace(Trace("hcom's group not usable", (("error", error.message),)))
        if self._settings != before:
            self._end("settings")
            self._carrying = None
            self._dial_ms = self._wake_ms = 0 if self._settings is not None else None

    def info(self) -> LegacyInfo | None:
        """How things stand, for status; None when no such group was joined."""
        settings, carrying = self._settings, self._carrying
        if settings is None:
            return LegacyInfo("", trouble=self._trouble) if self._trouble else None
        failure = None if self._dialer is None or self._up_ms is not None else self._dialer.failure
        peers = [] if carrying is None else sorted(carrying.peers.by_device.values(), key=lambda peer: peer.name)
        return LegacyInfo(
            settings.broker,
            self._up_ms is not None,
            carrying is not None and carrying.part is Part.CARRY,
            self._carrier(settings),
            [LegacyPeer(peer.name, peer.here, sorted(peer.agents)) for peer in peers],
            0 if carrying is None else carrying.waiting(),
            0 if carrying is None else carrying.dropped,
            "" if failure is None else failure.reason,
            "" if failure is None else failure.hint,
        )

    def leave(self, now: Now) -> None:
        """Say that our devices are gone; see `has_left`."""
        if self._carrying is not None and not self._carrying.leaving and self._up_ms is not None:
            self._publish_all(self._carrying, now, leaving=True)

    def has_left(self, now: Now) -> bool:
        """Whether all of that is on the peers' broker, and the log says so; True where no group was joined."""
        if self._settings is None:
            return True
        return self._carrying is not None and self._up_ms is not None and self._carrying.left(now)

    def close(self) -> None:
        """End the connection. Idempotent."""
        self._end("stopping")
        self._settings = self._dial_ms = None

    # --- the loop's caretaker ------------------------------------------------------------------------------

    def poll(self, now: Now) -> None:
        """Do what is due."""
        if self._settings is None:
            return
        try:
            self._work(self._settings, now)
        except StoreError as error:
            self._trace(Trace("store failed", (("kind", error.kind), ("error", error.message))))
            self._end("the store failed")
            self._carrying = None
            self._dial_ms = self._wake_ms = now.mono_ms + self._backoff.after(None, refused=False)

    def wake_at(self) -> int | None:
        """Monotonic ms at which `poll` is wanted."""
        return self._wake_ms

    def _work(self, settings: LegacySettings, now: Now) -> None:
        if self._carrying is None:
            self._carrying = self._made(settings)
        if self._link is None:
            self._dial(now)
        for event in self._link.drain() if self._link is not None else []:
            self._tell(self._carrying, event, now)
        if self._up_ms is not None:
            self._publish_all(self._carrying, now)

    def _publish_all(self, carrying: Carrying, now: Now, *, leaving: bool = False) -> None:
        found, more = (carrying.leave(now), False) if leaving else carrying.poll(now, self._network)
        for one in found:
            if self._link is not None:
                self._link.publish(one.topic, one.payload, retain=bool(one.token), token=one.token)
        self._wake_ms = now.mono_ms + (0 if more else BUSY_MS if found else IDLE_MS)

    # --- the connection ------------------------------------------------------------------------------------

    def _made(self, settings: LegacySettings) -> Carrying:
        directory = Directory(self._log, self._who.device, self._who.name, self._who.foreigners)
        return Carrying(settings, self._log, directory, self._who.group, os.urandom, self._trace)

    def _dialer_of(self, settings: LegacySettings) -> BrokerDialer:
        ca_file = Path(settings.ca_file) if settings.ca_file else None
        credentials = Credentials(USERNAME if settings.password else None, settings.password or None, ca_file)
        return BrokerDialer((parse_broker_url(settings.broker),), credentials, self._wake)

    def _dial(self, now: Now) -> None:
        if self._dialer is not None and self._dial_ms is not None and now.mono_ms >= self._dial_ms:
            self._dial_ms, self._wake_ms = None, now.mono_ms + IDLE_MS
            self._link = self._dialer.open(None)
            self._link.start()

    def _tell(self, carrying: Carrying, event: LinkEvent, now: Now) -> None:
        match event:
            case LinkUp(capabilities):
                carrying.packet_bytes_max = min(PACKET_BYTES_MAX, capabilities.packet_bytes_max or PACKET_BYTES_MAX)
                if self._link is not None:
                    self._link.subscribe([carrying.filter], no_local=True)
            case Subscribed(_, refused):
                self._subscribed(carrying, now, refused=bool(refused))
            case Delivered(topic, payload, retain):
                carrying.received(topic, payload, now, live=not retain)
            case Published(token, _):
                carrying.published(token)
            case LinkDown(reason, refused):
                carrying.disconnected()
                self._again(reason, now, refused=refused)

    def _subscribed(self, carrying: Carrying, now: Now, *, refused: bool) -> None:
        if refused:
            carrying.disconnected()
            self._again("the broker does not grant the subscription", now, refused=True)
            return
        self._up_ms = now.mono_ms
        if self._dialer is not None:
            self._dialer.came_up()
        self._trace(Trace("hcom's group connected"))
        carrying.connected(now)

    def _again(self, reason: str, now: Now, *, refused: bool) -> None:
        lived_ms = None if self._up_ms is None else now.mono_ms - self._up_ms
        if self._dialer is not None:
            self._dialer.ended(was_up=lived_ms is not None)
        self._end(reason)
        self._dial_ms = self._wake_ms = now.mono_ms + self._backoff.after(lived_ms, refused=refused)

    def _end(self, reason: str) -> None:
        link, self._link, self._up_ms = self._link, None, None
        if link is not None:
            link.close()
            self._trace(Trace("hcom's group disconnected", (("reason", reason),)))
        if self._carrying is not None:
            self._carrying.disconnected()

    def _carrier(self, settings: LegacySettings) -> str:
        """Name of the device that carries, as far as the log tells; empty when none does."""
        directory = Directory(self._log, self._who.device, self._who.name, self._who.foreigners)
        standing = self._who.foreigners.standing(settings.group, directory.gone())
        first = max(standing, key=lambda device: standing[device].rank, default=None)
        return "" if first is None else directory.name(first)
