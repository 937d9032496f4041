"""Status: what is missing here, who has it, and who is missing what was written here.

A pure function of what is stored, so that it answers with no daemon and no network; a running machine adds who is
online.
The structures encode to the JSON of the command line: keys carry their unit, unknown is None, times are ISO 8601 UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from hcom_replica.core.effects import Now
from hcom_replica.core.frontier import find_frontier
from hcom_replica.core.hlc import millis
from hcom_replica.core.info import LiveInfo
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.members import display_names
from hcom_replica.core.membership import Membership, Viewer, read_membership
from hcom_replica.core.moves import present_move
from hcom_replica.core.origin import OriginState
from hcom_replica.core.peer import Peer
from hcom_replica.core.peers import Peers
from hcom_replica.core.reader import LogReader
from hcom_replica.core.ring import runs_of
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.signing import device_id


class DaemonStatus(msgspec.Struct, frozen=True):
    """Whether a daemon runs on this folder."""

    running: bool
    pid: int | None


class BrokerStatus(msgspec.Struct, frozen=True):
    """The broker.

    Attributes:
        url: of the one in use, or configured.
        connected: whether it has accepted us.
        since: since when.
        moving_to: the broker that the group meets at, where this device has not come there yet; else None.
    """

    url: str | None
    connected: bool
    since: str | None
    moving_to: str | None = None


class Inbound(msgspec.Struct, frozen=True):
    """How far this device is behind the heads it knows."""

    behind_events: int
    behind_bytes: int
    behind_s: float
    eta_s: float | None


class Outbound(msgspec.Struct, frozen=True):
    """The most that any active device lacks of what was written here."""

    behind_events: int


class Missing(msgspec.Struct, frozen=True):
    """A range of seqs that is missing here."""

    first: int
    last: int


class OriginRow(msgspec.Struct, frozen=True):
    """One origin of another device (or an earlier one of this device).

    Attributes:
        device: name as shown.
        origin: hex.
        online: its device is online; None when nobody listens here.
        last_seen: when it was last heard from.
        head_seq: by its newest signed head; None when none was seen.
        have_seq: held here.
        behind_events: events missing here, system events left out.
        behind_bytes: encoded bytes of what is missing.
        behind_s: seconds of log time between what is held and the head.
        acked_seq: what it acknowledges of our current origin; None when it has said nothing.
        outbound_behind_events: events of ours that it lacks.
        lost_events: seqs that count no more, because nobody has them.
        held_by: who has what is missing: device names, and `mailbox of NAME`.
        missing: the missing range; None when nothing is.
        flags: of drifting, clock_ahead, clock_behind, forked, retired, superseded.
    """

    device: str
    origin: str
    online: bool | None
    last_seen: str | None
    head_seq: int | None
    have_seq: int
    behind_events: int
    behind_bytes: int
    behind_s: float
    acked_seq: int | None
    outbound_behind_events: int
    lost_events: int
    held_by: list[str]
    missing: Missing | None
    flags: list[str]


class Status(msgspec.Struct, frozen=True):
    """The whole answer of `status`."""

    device: str
    origin: str | None
    group: str
    daemon: DaemonStatus
    broker: BrokerStatus
    events: int
    inbound: Inbound
    outbound: Outbound
    stable_frontier: str | None
    frontier_held_by: str | None
    devices: list[OriginRow]
    warnings: list[str]
    key_epoch: int
    awaiting_key: list[str]


_SHUT_OUT: Final = {
    "revoked": "this device was revoked: it neither sends nor receives "
    "(to come back: relay forget, then relay connect with a new token)",
    "old token": "the group's key was changed before this device was known: it neither sends nor receives "
    "(relay connect with a new token: hcom-replica relay token on another device shows it)",
}


class StatusInput(msgspec.Struct, frozen=True):
    """What status is made of beside the log.

    Attributes:
        viewer: this device's key, and its group.
        name: of this device, for a log that is empty.
        notes: table `peers`.
        now_ms: wall clock.
        events: total here, system events left out.
        daemon: whether one runs.
        broker_url: the one in use, or configured.
        live: of a running machine; None without a daemon.
        iso: formats wall ms; None for what no year up to 9999 holds.
        place: the brokers that the folder's token names.
        arriving: the first of them was not reached since the group has moved there.
        trouble: why not.
    """

    viewer: Viewer
    name: str
    notes: list[tuple[int, OriginId, int, int, bytes]]
    now_ms: int
    events: int
    daemon: DaemonStatus
    broker_url: str | None
    live: LiveInfo | None
    iso: Callable[[int], str | None]
    place: tuple[str, ...] = ()
    arriving: bool = False
    trouble: str = ""

    @property
    def group(self) -> bytes:
        """16 bytes."""
        return self.viewer.joined.group

    @property
    def device_key(self) -> bytes:
        """32-byte public key."""
        return self.viewer.device.public


def build_status(log: LogReader, given: StatusInput) -> Status:
    """Build the answer."""
    return _Builder(log, given).build()


class _Builder:
    """The parts that the answer is put together from, read once."""

    def __init__(self, log: LogReader, given: StatusInput) -> None:
        self._given = given
        self._log = log
        peers = Peers(given.group, given.notes)
        self._now = Now(given.now_ms, 0)
        self._knowledge = knowledge = Knowledge(log, peers, Settings().lease_ms, given.viewer)
        keys = {state.key for state in knowledge.states.values()} | {peer.author.key for peer in peers}
        self._names = display_names(knowledge.members, {device_id(key) for key in {*keys, given.device_key}})
        for peer in peers:
            if peer.device not in knowledge.members.names and peer.head is not None and peer.head.name:
                self._names[peer.device] = peer.head.name
        if device_id(given.device_key) not in knowledge.members.names:
            self._names[device_id(given.device_key)] = given.name
        self._own_system = self._system_of_own()

    def build(self) -> Status:
        """The answer; times are as `given.iso` prints them."""
        given, knowledge = self._given, self._knowledge
        rows = [self._row(origin) for origin in self._origins()]
        behind = sum(row.behind_events for row in rows)
        rate = given.live.events_s if given.live is not None else 0.0
        eta = None if behind and not rate else (behind / rate if behind else 0.0)
        inbound = Inbound(
            behind, sum(row.behind_bytes for row in rows), max((row.behind_s for row in rows), default=0.0), eta
        )
        active = {peer.origin.hex() for peer in knowledge.active(self._now)}
        lacking = max((row.outbound_behind_events for row in rows if row.origin in active), default=0)
        frontier, holder = self._frontier()
        own = knowledge.own
        live = given.live
        since = given.iso(live.since_ms) if live is not None and live.since_ms is not None else None
        return Status(
            self._names[device_id(given.device_key)],
            own.id.hex() if own is not None else None,
            given.group.hex(),
            given.daemon,
            BrokerStatus(given.broker_url, live is not None and live.connected, since, self._moving_to()),
            given.events,
            inbound,
            Outbound(lacking),
            given.iso(millis(frontier)) if frontier is not None else None,
            holder,
            rows,
            self._warnings(),
            live.epoch if live is not None else self._membership.adopted.epoch,
            [self._names[device_id(key)] for key in self._membership.awaited()],
        )

    @property
    def _membership(self) -> Membership:
        membership = self._knowledge.membership
        return membership or read_membership(self._log, self._given.viewer)

    def _moving_to(self) -> str | None:
        """Where the group meets, while this device is not there."""
        given, move = self._given, present_move(self._membership)
        if given.live is not None and given.live.bound_for:
            return given.live.bound_for
        if move is not None and given.place not in ((), (move.broker,)):
            return move.broker
        return given.place[0] if given.arriving and given.place else None

    def _origins(self) -> list[OriginId]:
        knowledge = self._knowledge
        own = knowledge.own.id if knowledge.own is not None else None
        known = set(knowledge.states) | {peer.origin for peer in knowledge.peers} | set(knowledge.members.linked)
        return sorted(known - {own}, key=lambda origin: (self._names.get(self._device(origin), ""), origin))

    def _device(self, origin: OriginId) -> bytes:
        state, peer = self._knowledge.states.get(origin), self._knowledge.peers.get(origin)
        if state is not None:
            return state.device
        return peer.device if peer is not None else b""

    def _row(self, origin: OriginId) -> OriginRow:
        given, knowledge = self._given, self._knowledge
        state, peer, device = knowledge.states.get(origin), knowledge.peers.get(origin), self._device(origin)
        have, target = knowledge.have(origin), knowledge.target(origin)
        head = peer.head if peer is not None else None
        missing = Missing(have + 1, target) if target > have else None
        hidden = (head.system if head is not None else 0) - (state.system if state is not None else 0)
        held_cum, held_hlc = (state.cum, state.hlc) if state is not None else (0, 0)
        past = missing is not None and head is not None
        behind_s = (millis(head.hlc) - millis(held_hlc)) / 1_000 if past and head is not None and held_hlc else 0.0
        if past and head is not None and not held_hlc:
            behind_s = max(0, given.now_ms - millis(head.hlc)) / 1_000
        return OriginRow(
            self._names.get(device, origin.hex()[:8]),
            origin.hex(),
            origin in given.live.online if given.live is not None and given.live.connected else None,
            given.iso(peer.heard_ms) if peer is not None and peer.heard_ms else None,
            head.seq if head is not None else None,
            have,
            max(0, target - have - max(0, hidden)) if missing is not None else 0,
            max(0, head.cum - held_cum) if past and head is not None else 0,
            max(0.0, behind_s),
            self._acked(peer),
            self._lacks(peer),
            self._lost(origin),
            self._holders(origin, have + 1) if missing is not None else [],
            missing,
            self._flags(origin, state, peer),
        )

    def _acked(self, peer: Peer | None) -> int | None:
        own = self._knowledge.own
        if peer is None or own is None or not peer.acks:
            return None
        return self._knowledge.acked(peer, own.id)

    def _lacks(self, peer: Peer | None) -> int:
        """Events of ours, of all our origins, that a current device does not acknowledge."""
        own = self._knowledge.own
        if peer is None or own is None or peer not in self._knowledge.active(self._now):
            return 0
        lacking = 0
        for state in self._knowledge.own_origins():
            above = max(self._knowledge.acked(peer, state.id), state.base)
            hidden = sum(1 for origin, seq in self._own_system if origin == state.id and seq > above)
            lacking += max(0, state.seq - above - hidden)
        return lacking

    def _system_of_own(self) -> list[tuple[OriginId, int]]:
        own = {state.id for state in self._knowledge.own_origins()}
        return [(origin, seq) for origin, seq, _ in self._log.system_events() if origin in own]

    def _lost(self, origin: OriginId) -> int:
        peer, cap = self._knowledge.peers.get(origin), self._knowledge.bound(origin)
        known = max(peer.head.seq if peer is not None and peer.head is not None else 0, self._knowledge.have(origin))
        return max(0, known - max(cap, self._knowledge.have(origin))) if cap is not None else 0

    def _holders(self, origin: OriginId, first: int) -> list[str]:
        holders: list[str] = []
        for peer in self._knowledge.peers:
            name = self._names.get(peer.device, peer.origin.hex()[:8])
            ack = peer.acks.get(origin)
            wrote = peer.origin == origin and peer.head is not None and peer.head.seq >= first
            if wrote or (ack is not None and ack.seq >= first):
                holders.append(name)
            runs = runs_of(peer.index.segments) if peer.index is not None else []
            if any(run.origin == origin and run.last >= first for run in runs):
                holders.append(f"mailbox of {name}")
        return sorted(set(holders))

    def _flags(self, origin: OriginId, state: OriginState | None, peer: Peer | None) -> list[str]:
        knowledge, live = self._knowledge, self._given.live
        flags: list[str] = []
        off = live.clock_off_ms.get(origin, 0) if live is not None else 0
        if off or (state is not None and state.drift_ms):
            flags.append("drifting")
        if off:
            flags.append("clock_ahead" if off > 0 else "clock_behind")
        if state is not None and self._forked(state):
            flags.append("forked")
        if self._device(origin) in knowledge.members.retired:
            flags.append("retired")
        if any(device_id(key) == self._device(origin) for key in self._membership.revoked):
            flags.append("revoked")
        if self._superseded(state, peer):
            flags.append("superseded")
        return flags

    def _superseded(self, state: OriginState | None, peer: Peer | None) -> bool:
        """Whether its device is known to write a later one, by the log or by its slots; after a fork it must (P4.6)."""
        knowledge = self._knowledge
        if peer is not None:
            return peer not in knowledge.peers.current(knowledge.own)
        if state is None:
            return True
        later = [*knowledge.states.values(), *knowledge.peers]
        newer = any(one.device == state.device and one.generation > state.generation for one in later)
        return newer or self._forked(state)

    def _forked(self, state: OriginState) -> bool:
        if state.forks:
            return True
        return any(
            s.forks and s.key == state.key and s.incarnation == state.incarnation
            for s in self._knowledge.states.values()
        )

    def _frontier(self) -> tuple[int | None, str | None]:
        """The hlc up to which everything is final here, and the device that holds it back (P13.5)."""
        knowledge = self._knowledge
        own = knowledge.own_id
        found = find_frontier(knowledge.roster, knowledge.states, self._log.promises(), own)
        holder = None if found.held_by is None else self._names.get(self._device(found.held_by), found.held_by.hex())
        return found.hlc, holder

    def _warnings(self) -> list[str]:
        live, warnings = self._given.live, list[str]()
        shut_out = self._membership.shut_out or (live.shut_out if live is not None else "")
        if shut_out:
            warnings.append(_SHUT_OUT[shut_out])
        moving_to, trouble = self._moving_to(), self._given.trouble
        if moving_to is not None and not shut_out:
            warnings.append(_not_there(moving_to, trouble))
        if live is None:
            return warnings
        if live.own_clock_off_ms:
            warnings.append(f"this device's clock seems off by {live.own_clock_off_ms / 1_000:.0f} s")
        if live.too_large is not None:
            warnings.append(f"event {live.too_large} is too large for the mailbox: another device has to be online")
        if live.mailbox_refused:
            warnings.append("the broker refuses the mailbox: other devices have to be online at the same time")
        return warnings


def _not_there(broker: str, trouble: str) -> str:
    text = f"the group meets at {broker}, and this device is not there yet"
    how = f"hcom-replica relay move {broker} --username U --password-file F gives this device's credentials"
    return f"{text}: {trouble} ({how})" if trouble else text
