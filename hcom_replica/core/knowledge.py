"""What this device knows: what is held, what is missing, who holds it, and who lacks what is written here.

Claims count only as far as they are signed (P6.4): a head or a link by the origin's own device sets the target; a
vector of somebody else is a hint, which may be asked for and is never shown as lag.
"""

from __future__ import annotations

from hcom_replica.core.effects import Now
from hcom_replica.core.members import Members, read_members
from hcom_replica.core.origin import OriginState
from hcom_replica.core.peers import Peer, Peers
from hcom_replica.core.reader import LogReader
from hcom_replica.ids import OriginId
from hcom_replica.wire.signing import short

_TIPS_KEPT = 4096


class Knowledge:
    """The log's states in memory, beside what the peers say.

    Args:
        log: the store.
        peers: all authors.
        lease_ms: a device not heard from for so long is no longer waited for by mailboxes.
    """

    def __init__(self, log: LogReader, peers: Peers, lease_ms: int) -> None:
        self.log = log
        self.peers = peers
        self._lease_ms = lease_ms
        self.states: dict[OriginId, OriginState] = {}
        self.own: OriginState | None = None
        self.members = Members()
        self._branches: dict[OriginId, list[OriginState]] = {}
        self._group = peers.group
        self._system = -1
        self._tips: dict[tuple[OriginId, int], bytes] = {}
        self.reload()

    def reload(self) -> None:
        """Read all origins again, after the log has moved.

        The own one is named first: another process may open an incarnation between the two reads, never take one away.
        """
        own = self.log.own_origin()
        self.states = {state.id: state for state in self.log.origins()}
        self.own = self.states[own.id] if own is not None else None
        derived = sum(map(len, self._branches.values()))
        self._branches = {}
        for state in self.states.values():
            if state.forks:
                self._branches.setdefault(short(state.root(self._group)), []).append(state)
        if derived != sum(map(len, self._branches.values())):
            self._tips.clear()  # a fork may have moved what was held to another name
        system = sum(state.system for state in self.states.values())
        if system != self._system:
            self._system = system
            self.members = read_members(self.log)

    def have(self, origin: OriginId) -> int:
        """Highest contiguous seq held; 0 when nothing is."""
        state = self.states.get(origin)
        return state.seq if state is not None else 0

    def target(self, origin: OriginId) -> int:
        """The highest seq that signed knowledge says exists and counts."""
        peer = self.peers.get(origin)
        stated = set(self.members.linked.get(origin, ()))
        if peer is not None and peer.head is not None:
            stated.add((peer.head.seq, peer.head.tip))
        known = max((seq for seq, tip in stated if not self._elsewhere(origin, seq, tip)), default=0)
        cap = self.members.cap(origin)
        return known if cap is None else min(known, max(cap, self.have(origin)))

    def _claimed(self, origin: OriginId) -> int:
        """What vectors claim of an origin that has branches, those not counted that are held under another name."""
        acks = [peer.acks[origin] for peer in self.peers.current(self.own) if origin in peer.acks]
        return max((ack.seq for ack in acks if not self._elsewhere(origin, ack.seq, ack.digest)), default=0)

    def _elsewhere(self, origin: OriginId, seq: int, tip: bytes) -> bool:
        """Whether a prefix that is stated of an origin is a branch of it that has another name by now, and is held."""
        if seq <= self.have(origin):
            return False
        branches = [state for state in self._branches.get(origin, ()) if state.base < seq <= state.seq]
        return any(self.tip(branch, seq).startswith(tip) for branch in branches)

    def behind(self) -> dict[OriginId, int]:
        """Origins of which something is missing by signed knowledge -> how many seqs."""
        named = [*(peer.origin for peer in self.peers if peer.head is not None), *self.members.linked]
        known = dict.fromkeys(named)  # in an order that is the same in every process: a seed names a run
        missing = {origin: self.target(origin) - self.have(origin) for origin in known}
        return {origin: count for origin, count in missing.items() if count > 0}

    def wanted(self) -> dict[OriginId, int]:
        """Origins to ask for -> the highest seq claimed by anybody, hints included; retired ones up to their cap."""
        wanted = {origin: self.target(origin) for origin in self.behind()}
        for origin, hinted in self.peers.claims(self.own).items():
            cap = self.members.cap(origin)
            claimed = self._claimed(origin) if origin in self._branches else hinted
            seq = claimed if cap is None else min(claimed, cap)
            if seq > max(self.have(origin), wanted.get(origin, 0)):
                wanted[origin] = seq
        return wanted

    def active(self, now: Now) -> list[Peer]:
        """Current peers that have not left and were heard from within the lease."""
        return [
            peer
            for peer in self.peers.current(self.own)
            if peer.device not in self.members.retired and now.wall_ms - peer.heard_ms < self._lease_ms
        ]

    def acked(self, peer: Peer, origin: OriginId) -> int:
        """The seq of an origin that a peer's vector acknowledges: its bytes must equal ours; 0 when none."""
        ack = peer.acks.get(origin)
        state = self.states.get(origin)
        if ack is None or state is None or not state.base < ack.seq <= state.seq:
            return state.base if ack is not None and state is not None and ack.seq == state.base else 0
        if any(not page.durable for page in peer.pages.values()):
            return 0
        return ack.seq if self.tip(state, ack.seq)[:8] == ack.digest else 0

    def tip(self, state: OriginState, seq: int) -> bytes:
        """c[seq] of a held origin; remembered, because acknowledgements name the same ones again."""
        if seq == state.seq:
            return state.tip
        found = self._tips.get((state.id, seq))
        if found is None:
            found = self.log.tip_at(state.id, seq)
            if len(self._tips) >= _TIPS_KEPT:
                self._tips.clear()
            self._tips[state.id, seq] = found
        return found

    def own_origins(self) -> list[OriginState]:
        """All origins written by this device's key, the current one last."""
        if self.own is None:
            return []
        key, current = self.own.key, self.own.id
        return [s for s in self.states.values() if s.key == key and s.id != current] + [self.states[current]]
