"""The rows of status: where each origin of another device stands, as far as is known here.

What a row says is judged from the log and from signed words alone; a running machine adds who is online, and whose
clock is off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from hcom_replica.core.effects import Now
from hcom_replica.core.hlc import millis
from hcom_replica.core.info import LiveInfo
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.membership import Membership
from hcom_replica.core.origin import OriginState
from hcom_replica.core.peer import Peer
from hcom_replica.core.ring import runs_of
from hcom_replica.ids import OriginId
from hcom_replica.wire.signing import device_id


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
        flags: of drifting, clock_ahead, clock_behind, forked, retired, revoked, superseded.
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


class Rows:
    """Makes the rows.

    Args:
        knowledge: what is held, and what others say.
        membership: who is a member.
        names: device id -> name as shown.
        now: the time.
        live: of a running machine; None without a daemon.
        iso: formats wall ms; None for what no year up to 9999 holds.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        membership: Membership,
        names: Mapping[bytes, str],
        now: Now,
        live: LiveInfo | None,
        iso: Callable[[int], str | None],
    ) -> None:
        self._knowledge = knowledge
        self._membership = membership
        self._names = names
        self._now = now
        self._live = live
        self._iso = iso
        self._own_system = self._system_of_own()

    def all(self) -> list[OriginRow]:
        """A row for each origin that is known of, but the one that is written here; by name."""
        return [self._row(origin) for origin in self._origins()]

    def device(self, origin: OriginId) -> bytes:
        """The 8-byte id of an origin's device; empty when it is not known."""
        state, peer = self._knowledge.states.get(origin), self._knowledge.peers.get(origin)
        if state is not None:
            return state.device
        return peer.device if peer is not None else b""

    def _origins(self) -> list[OriginId]:
        knowledge = self._knowledge
        own = knowledge.own.id if knowledge.own is not None else None
        known = set(knowledge.states) | {peer.origin for peer in knowledge.peers} | set(knowledge.members.linked)
        return sorted(known - {own}, key=lambda origin: (self._names.get(self.device(origin), ""), origin))

    def _row(self, origin: OriginId) -> OriginRow:
        knowledge, live = self._knowledge, self._live
        state, peer, device = knowledge.states.get(origin), knowledge.peers.get(origin), self.device(origin)
        have, target = knowledge.have(origin), knowledge.target(origin)
        head = peer.head if peer is not None else None
        missing = Missing(have + 1, target) if target > have else None
        hidden = (head.system if head is not None else 0) - (state.system if state is not None else 0)
        held_cum, held_hlc = (state.cum, state.hlc) if state is not None else (0, 0)
        past = missing is not None and head is not None
        behind_s = (millis(head.hlc) - millis(held_hlc)) / 1_000 if past and head is not None and held_hlc else 0.0
        if past and head is not None and not held_hlc:
            behind_s = max(0, self._now.wall_ms - millis(head.hlc)) / 1_000
        return OriginRow(
            self._names.get(device, origin.hex()[:8]),
            origin.hex(),
            origin in live.online if live is not None and live.connected else None,
            self._iso(peer.heard_ms) if peer is not None and peer.heard_ms else None,
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
        return [(origin, seq) for origin, seq, _ in self._knowledge.log.system_events() if origin in own]

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
        knowledge, live = self._knowledge, self._live
        flags: list[str] = []
        off = live.clock_off_ms.get(origin, 0) if live is not None else 0
        if off or (state is not None and state.drift_ms):
            flags.append("drifting")
        if off:
            flags.append("clock_ahead" if off > 0 else "clock_behind")
        if state is not None and self._forked(state):
            flags.append("forked")
        if self.device(origin) in knowledge.members.retired:
            flags.append("retired")
        if any(device_id(key) == self.device(origin) for key in self._membership.revoked):
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
