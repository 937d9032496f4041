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
from hcom_replica.core.membership import Viewer, read_membership
from hcom_replica.core.moves import present_move
from hcom_replica.core.peers import Peers
from hcom_replica.core.reader import LogReader
from hcom_replica.core.settings import Settings
from hcom_replica.core.statusrows import OriginRow, Rows
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
        self._membership = knowledge.membership or read_membership(log, given.viewer)
        self._rows = Rows(knowledge, self._membership, self._names, self._now, given.live, given.iso)

    def build(self) -> Status:
        """The answer; times are as `given.iso` prints them."""
        given, knowledge = self._given, self._knowledge
        rows = self._rows.all()
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

    def _moving_to(self) -> str | None:
        """Where the group meets, while this device is not there."""
        given, move = self._given, present_move(self._membership)
        if given.live is not None and given.live.bound_for:
            return given.live.bound_for
        if move is not None and given.place not in ((), (move.broker,)):
            return move.broker
        return given.place[0] if given.arriving and given.place else None

    def _frontier(self) -> tuple[int | None, str | None]:
        """The hlc up to which everything is final here, and the device that holds it back (P13.5)."""
        knowledge = self._knowledge
        found = find_frontier(knowledge.roster, knowledge.states, self._log.promises(), knowledge.own_id)
        held_by = found.held_by
        holder = None if held_by is None else self._names.get(self._rows.device(held_by), held_by.hex())
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
