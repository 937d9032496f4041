"""Carrying between our group and machines that run only hcom: both ways, by one device at a time (B8.2 to B8.10).

Owns the order of things: listen, learn what others have published, claim, look through the log once, and only then take
and publish. It is given what happens on the peers' broker, and gives back what is to be published; it never waits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from hcom_replica.bridge.away import Away
from hcom_replica.bridge.controls import decode_controls
from hcom_replica.bridge.directory import Directory
from hcom_replica.bridge.envelope import Opened, unseal
from hcom_replica.bridge.foreigners import PEERS_MAX, Claimed
from hcom_replica.bridge.ledger import CLAIM_KIND, BridgeLog, Key, Network
from hcom_replica.bridge.legacy.asking import Asking
from hcom_replica.bridge.legacy.duty import Duty, Part
from hcom_replica.bridge.legacy.lanes import Lanes
from hcom_replica.bridge.legacy.names import Names
from hcom_replica.bridge.legacy.outward import CURSOR, Outward
from hcom_replica.bridge.legacy.peers import Peers
from hcom_replica.bridge.legacy.settings import LegacySettings
from hcom_replica.bridge.legacy.snapshots import PACKET_BYTES_MAX, Snapshots, Wire
from hcom_replica.bridge.roster import Roster
from hcom_replica.bridge.snapshot import Carrier, Snapshot, decode_snapshot
from hcom_replica.core.effects import Now, Trace
from hcom_replica.errors import ProtocolError, UsageError
from hcom_replica.ids import parse_event_id
from hcom_replica.wire.event import Draft

LISTEN_MS: Final = 2_000
"""How long what the broker keeps is listened to before anything is published."""

LOOK_MS: Final = 250
EARLY_BYTES_MAX: Final = 32 * 1024 * 1024
"""What the broker has kept, while it cannot be taken yet."""


class Publish(NamedTuple):
    """What is to be published; a token of 0, of what is not retained, is answered to nobody."""

    topic: str
    payload: bytes
    token: int = 0


class Carrying:
    """Carries, or stands by.

    Args:
        settings: the peers' group.
        log: of ours.
        directory: of its devices.
        group: 16 bytes, of ours.
        entropy: gives random bytes.
        trace: is given what is worth a line in the log.

    Attributes:
        dropped: messages that were malformed.
        part: what this device does now.
        leaving: it takes its claim back.
        packet_bytes_max: what the broker takes.
    """

    def __init__(
        self,
        settings: LegacySettings,
        log: BridgeLog,
        directory: Directory,
        group: bytes,
        entropy: Callable[[int], bytes],
        trace: Callable[[Trace], None],
    ) -> None:
        self.dropped = 0
        self.part = Part.STAND_BY
        self.leaving = False
        self.packet_bytes_max = PACKET_BYTES_MAX
        self._settings = settings
        self._log = log
        self._directory = directory
        self._trace = trace
        self._ours = blake2b(group, digest_size=8).hexdigest()
        self._wire = Wire(settings.relay_id, settings.key_bytes, entropy)
        self._lanes = Lanes(log, group)
        self._roster = Roster(log, Key.LANE_AGENT)
        self._duty = Duty(directory.own, self._ours)
        names = Names(log, directory, self._lanes)
        self.peers = Peers(log, settings.group, names, entropy)
        names.peers = self.peers.by_device
        self._snapshots = Snapshots(log, directory, self._lanes, self._roster, self._wire, names)
        self._outward = Outward(log, directory, self._lanes, self._roster, self.peers, settings.group)
        own = self._lanes.uuid(directory.own)
        self._asking = Asking(self.peers, self._wire, own, lambda: self._lanes.short_of(directory.own) or "HERE")
        self._away = Away(directory)
        self._listened_ms: int | None = None
        self._look_ms = 0
        self._seen_arrival = -1
        self._ready = self._chosen = self._taken_back = False
        self._early: dict[str, tuple[bytes, bool]] = {}
        self._early_bytes = 0
        self._unknown: dict[str, tuple[Opened, Snapshot, Carrier]] = {}

    @property
    def filter(self) -> str:
        """What is to be subscribed to."""
        return self._wire.topic("+")

    def waiting(self) -> int:
        """Arrivals that were not looked at, and devices of which something is to be published."""
        return self._log.last_arrival() - self._log.cursor(CURSOR) + self._snapshots.waiting()

    # --- the connection ------------------------------------------------------------------------------------

    def connected(self, now: Now) -> None:
        """The broker has granted the subscription."""
        self._listened_ms = now.mono_ms + LISTEN_MS
        self._lanes.heard.clear()
        self._duty.connected(now.mono_ms)
        self.peers.connected(now.mono_ms)

    def disconnected(self) -> None:
        """Nothing is published, or known to be heard, from now on; what others publish meanwhile is learned first."""
        self._listened_ms = None
        self.part = Part.STAND_BY
        self.leaving = self._ready = self._chosen = False

    def published(self, token: int) -> None:
        """The broker has taken something."""
        self._snapshots.published(token)

    def received(self, topic: str, payload: bytes, now: Now, *, live: bool) -> None:
        """Take a message.

        Raises:
            StoreError: nothing was changed; make a new object.
        """
        last = topic.partition("/")[2]
        if not payload or topic != self._wire.topic(last):
            return
        try:
            opened = unseal(self._settings.key_bytes, topic, payload)
            if last == "control":
                self._control(opened)
                return
            snapshot = decode_snapshot(opened.plain)
        except ProtocolError:
            self.dropped += 1
            return
        if self._ready or (snapshot.state is not None and snapshot.state.replica is not msgspec.UNSET):
            self._snapshot(last, opened, snapshot, now, live=live)
        elif last in self._early or self._early_bytes + len(payload) <= EARLY_BYTES_MAX:
            self._early_bytes += len(payload) - len(self._early.get(last, (b"", False))[0])
            self._early[last] = (payload, live)

    def _snapshot(self, uuid: str, opened: Opened, snapshot: Snapshot, now: Now, *, live: bool) -> None:
        bears = None if snapshot.state is None else snapshot.state.replica
        if isinstance(bears, Carrier) and self._duty.is_ours(bears):
            self._hear(uuid, opened, snapshot, bears, now, live=live)
            return
        taken = self.peers.take(uuid, snapshot, opened.ts_s, now, live=live)
        if taken is not None and live:
            self._asking.heard(taken, opened.ts_s, now)
            self._asking.take(taken, list(snapshot.events), now)

    def _hear(self, uuid: str, opened: Opened, snapshot: Snapshot, bears: Carrier, now: Now, *, live: bool) -> None:
        """A device of ours was published: by another carrier, or by this device before."""
        if self._claimant(bears.claim):
            self._duty.hear(bears, opened.ts_s, now.mono_ms, live=live)
        device = next((one for one in self._published() if self._lanes.uuid(one) == uuid), None)
        if device is not None and snapshot.state is not None:
            self._lanes.learn(device, snapshot.state.short_id, opened.ts_s, snapshot.events)
        elif device is None and len(self._unknown) < PEERS_MAX:
            self._unknown[uuid] = (opened, snapshot, bears)

    def _control(self, opened: Opened) -> None:
        for control in decode_controls(opened.plain):
            action, request, target = (
                str(control.data.get(field, "")) for field in ("action", "request_id", "target_device")
            )
            device = self._lanes.device_of(target)
            if device is not None and request and control.type == "control" and self.part is Part.CARRY:
                self._snapshots.asked(device, request, action, control.params)

    # --- work ----------------------------------------------------------------------------------------------

    def poll(self, now: Now, network: Network) -> tuple[list[Publish], bool]:
        """Do what is due.

        Returns:
            What is to be published, in this order, and whether there is more to do at once.

        Raises:
            StoreError: nothing was changed; make a new object.
        """
        if self.leaving:
            return [], False
        if self._directory.follow(now.wall_ms):
            return [], True
        if self.part is not Part.CARRY and self._log.last_arrival() != self._seen_arrival:
            self._seen_arrival = self._log.last_arrival()
            self._directory.refresh()
        if self._listened_ms is None or now.mono_ms < self._listened_ms:
            return [], False
        self._choose(now)
        if self.part is not Part.CARRY:
            return [], False
        if self._outward.scan(now):
            return [], True
        if not self._ready:
            self._ready = True
            self._take_early(now)
        return self._due(now, network), False

    def leave(self, now: Now) -> list[Publish]:
        """Say of all our devices that they are gone; `left` when the broker has that.

        Nothing else is published on this connection. Before it is decided what this device does, nothing happens.
        """
        if not self._chosen:
            return []
        self.leaving = True
        carried = self.part is Part.CARRY
        return [Publish(*said[1:], said.token) for said in self._snapshots.good_bye(now)] if carried else []

    def left(self, now: Now) -> bool:
        """Whether the broker has taken that we are gone; then the claim is taken back, and the log says so.

        Raises:
            StoreError: nothing was changed.
        """
        if not self.leaving or self._snapshots.busy():
            return False
        claims = self._directory.foreigners.claims
        own = claims.get((self._settings.group, self._directory.own))
        if own is not None and own.joined and not self._taken_back:
            self._taken_back = True
            given = {origin.hex(): seq for origin, seq in self._lanes.up_to().items()}
            self._say("leave", own.term, given, now)
        return True

    def _choose(self, now: Now) -> None:
        """Decide what this device does now."""
        group, foreigners = self._settings.group, self._directory.foreigners
        claims = {device: claim for (of, device), claim in foreigners.claims.items() if of == group}
        standing = foreigners.standing(group, self._directory.gone())
        no_more = {*(claims.keys() - standing.keys()), *self._directory.gone()}
        part = self._duty.part(standing, lambda claim: self._claimant(claim) in no_more, now.mono_ms)
        self._chosen = part is not Part.CLAIM
        if part is self.part:
            return
        if part is Part.CLAIM:
            self._say("join", self._duty.term(claims.values()), {}, now)
            return
        self.part, self._ready = part, False
        self._trace(Trace("machines with hcom only", (("this_device", part.value),)))
        if part is Part.CARRY:
            own = standing[self._directory.own]
            self._snapshots.carrier = Carrier(self._ours, own.term, own.event)
            self._lanes.skip(foreigners.given(group))
            self._learn_unknown(now)
            self._snapshots.begin()

    def _say(self, state: str, term: int, given: dict[str, int], now: Now) -> None:
        """Claim, or take the claim back; with a claim the whole log is looked through anew."""
        body = msgspec.json.encode(Claimed(self._settings.group, state, term, given))
        cursor = (CURSOR, 0) if state == "join" else None
        self._log.append([Draft(CLAIM_KIND, None, None, body)], now.wall_ms, cursor=cursor)

    def _take_early(self, now: Now) -> None:
        """What the broker had kept is taken now that the log was looked through."""
        early, self._early, self._early_bytes = self._early, {}, 0
        for last, (payload, live) in early.items():
            self.received(self._wire.topic(last), payload, now, live=live)

    def _claimant(self, claim: str) -> bytes:
        """The device whose claim it is; empty for what is no id of an event."""
        with suppress(UsageError):
            return self._directory.device(parse_event_id(claim).origin)
        return b""

    def _learn_unknown(self, now: Now) -> None:
        """What was published of devices that the log did not tell of then."""
        self._directory.refresh()
        unknown, self._unknown = self._unknown, {}
        for uuid, (opened, snapshot, bears) in unknown.items():
            self._hear(uuid, opened, snapshot, bears, now, live=False)

    def _due(self, now: Now, network: Network) -> list[Publish]:
        if now.mono_ms >= self._look_ms:
            self._look_ms = now.mono_ms + LOOK_MS
            self._away.look(network)
            self.peers.tick(now)
            self._snapshots.packet_bytes_max = min(self.packet_bytes_max, self.peers.packet_bytes_max())
        devices = {device: self._directory.name(device) for device in self._published()}
        said = self._snapshots.poll(devices, self.peers.letters(), lambda device: self._away.text(device, now), now)
        found = [Publish(one.topic, one.payload, one.token) for one in said]
        control = self._wire.topic("control")
        return [*found, *(Publish(control, payload) for payload in self._asking.poll(now))]

    def _published(self) -> list[bytes]:
        """The devices of our group, and machines that another carrier carries for."""
        peers = self._directory.foreigners.peers
        others = [one for one in self._directory.others() if one in peers and peers[one].group != self._settings.group]
        return [*self._directory.members(), *others]
