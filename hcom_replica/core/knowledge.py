"""What this device knows: what is held, what is missing, who holds it, and who lacks what is written here.

Claims count only as far as they are signed (P6.4): a head or a link by the origin's own device sets the target; a
vector of somebody else is a hint, which may be asked for and is never shown as lag.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from hcom_replica.core.effects import Now
from hcom_replica.core.kept import Basis, KeptRoster, basis_of
from hcom_replica.core.members import Members, fold_members
from hcom_replica.core.membership import Membership, Viewer, judge
from hcom_replica.core.origin import OriginState
from hcom_replica.core.peer import Peer
from hcom_replica.core.peers import Peers
from hcom_replica.core.reader import LogReader
from hcom_replica.core.redacted import RedactedPlaces
from hcom_replica.core.roster import Roster, judge_roster
from hcom_replica.ids import OriginId
from hcom_replica.wire.epoch import EpochRecord, Notice
from hcom_replica.wire.messages import Ack
from hcom_replica.wire.signing import short

_TIPS_KEPT = 4096
_HEARD_KEPT = 4


class Knowledge:
    """The log's states in memory, beside what the peers say.

    Args:
        log: the store.
        peers: all authors.
        lease_ms: a device not heard from for so long is no longer waited for by mailboxes.
        viewer: on whose behalf members and epochs are judged; None for a group without a founder, which has no epochs.

    Attributes:
        redacted: the places of all redactions known.
        roster: which origins the stable order waits for; nothing in a group without a founder.
        version: grows when the roster, or what has no place in it, may have changed.
    """

    def __init__(self, log: LogReader, peers: Peers, lease_ms: int, viewer: Viewer | None = None) -> None:
        self.log = log
        self.peers = peers
        self.redacted = RedactedPlaces(log)
        self._lease_ms = lease_ms
        self.states: dict[OriginId, OriginState] = {}
        self.own: OriginState | None = None
        self.own_id: OriginId | None = None
        self.members = Members()
        self.membership: Membership | None = None
        self.roster = Roster()
        self.version = 0
        self._viewer = viewer
        self._heard: dict[bytes, Notice] = {}
        self._branches: dict[OriginId, list[OriginState]] = {}
        self._group = peers.group
        self._basis = Basis(b"", -1, 0)
        self._tips: dict[tuple[OriginId, int], bytes] = {}
        self._own_origins: list[OriginState] | None = None
        self._own_ids: frozenset[OriginId] = frozenset()
        self._behind: dict[OriginId, int] = {}
        self._wanted: dict[OriginId, int] = {}
        self._stale: dict[OriginId, None] | None = None
        self.reload()

    def reload(self) -> None:
        """Read all origins again, after the log has moved.

        The own one is named first: another process may open an incarnation between the two reads, never take one away.
        """
        own = self.log.own_origin()
        self.states = {state.id: state for state in self.log.origins()}
        self.own_id = own.id if own is not None else None
        self.own = self.states[self.own_id] if self.own_id is not None else None
        derived = sum(map(len, self._branches.values()))
        self._branches = {}
        for state in self.states.values():
            if state.forks:
                self._branches.setdefault(short(state.root(self._group)), []).append(state)
        if derived != sum(map(len, self._branches.values())):
            self._tips.clear()  # a fork may have moved what was held to another name
        basis = basis_of(self._viewer.founder if self._viewer is not None else b"", self.states.values())
        self.version += 1
        if basis != self._basis:
            self._basis = basis
            self._read_system()
        self._own_origins = self._stale = None
        self.redacted.refresh()

    def _read_system(self) -> None:
        events = self.log.system_events()
        self.members = fold_members(self.states, events)
        self._judge_members()
        if self._viewer is not None:
            kept = self.log.kept_roster(self._basis)
            self.roster = kept if kept is not None else judge_roster(events, self.members, self.states, self._viewer)

    def kept_roster(self) -> KeptRoster | None:
        """The roster with what it was judged from; None in a group without a founder."""
        return KeptRoster(self._basis, self.roster) if self._viewer is not None else None

    def hear(self, notice: Notice) -> bool:
        """Take a notice from anyone; return whether it changes anything (P12.14).

        Of one author the newest few records are kept, as clones may have made epochs of one number, and those that
        say who is revoked.
        """
        before = self.membership
        fresh = [] if before is None else [record for record in notice.records if not before.is_noted(record)]
        fresh = [record for record in fresh if record.encoded not in self._heard]
        if before is None or not fresh:
            return False
        self._heard.update((record.encoded, Notice((record,), notice.certificates)) for record in fresh)
        self._judge_members()
        if self._drop_old():
            self._judge_members()
        self._stale = None
        after = self.membership
        return after is not None and (before.current, before.revoked, before.shut_out) != (
            after.current,
            after.revoked,
            after.shut_out,
        )

    def _drop_old(self) -> bool:
        """Keep of what was heard what counts; of valid records few of an author, those of the highest numbers.

        Returns:
            Whether anything was dropped.
        """
        before, kept = len(self._heard), Counter[bytes]()
        telling = self.membership.telling if self.membership is not None else ()
        others = [notice.record for notice in self._heard.values() if notice.record not in telling]
        for record in sorted(others, key=lambda record: -record.number):
            kept[record.author] += 1
            if not self.counts(record) or kept[record.author] > _HEARD_KEPT:
                del self._heard[record.encoded]
        return len(self._heard) < before

    def counts(self, record: EpochRecord) -> bool:
        """Whether a record is among the valid ones."""
        return self.membership is not None and record in self.membership.records

    def _judge_members(self) -> None:
        if self._viewer is not None:
            keys = {state.key for state in self.states.values()}
            heard = self._heard.values()
            self.membership = judge(self._viewer, self.members.book, keys, self.members.retired, heard)

    def is_revoked(self, key: bytes) -> bool:
        """Whether a device is shut out of the group."""
        return self.membership is not None and key in self.membership.revoked

    def cut(self, origin: OriginId, key: bytes | None = None) -> int | None:
        """The last seq of a revoked device's origin that is taken; None when it has no such bound (P12.11).

        Args:
            origin: whose.
            key: its device's, when nothing is held of it yet.
        """
        if self.membership is None or not self.membership.revoked:
            return None
        state, peer = self.states.get(origin), self.peers.get(origin)
        if state is not None or peer is not None:
            key = state.key if state is not None else peer.author.key if peer is not None else key
        return None if key is None else self.membership.cut(key, origin)

    def bound(self, origin: OriginId) -> int | None:
        """The last seq of an origin that counts, when its device has left or is revoked; None when there is none."""
        bounds = (self.cut(origin), self.members.cap(origin))
        return min((one for one in bounds if one is not None), default=None)

    def update(self, states: Iterable[OriginState]) -> None:
        """Take over the origins that a transaction has changed; all is read again only where more may have changed."""
        self.redacted.refresh()
        for state in states:
            before = self.states.get(state.id)
            if not self._is_simple(before, state):
                self.reload()
                return
            if before is None:
                self._basis = self._basis._replace(
                    system=self._basis.system + state.system, origins=self._basis.origins + 1
                )
                self.members.names[state.device] = state.name
            self.states[state.id] = state
            if state.id in self.roster.closed or state.id not in self.roster.entries:
                self.version += 1
            if self._stale is not None:
                self._stale[state.id] = None

    def _is_simple(self, before: OriginState | None, state: OriginState) -> bool:
        """Whether an origin has grown by plain events, or is the first of a new device, with nothing but its hello."""
        if state.forks or state.id in self._branches or (self.own is not None and state.key == self.own.key):
            return False
        if before is None and self._viewer is not None:
            return False
        if before is not None:
            return state.system == before.system
        return state.system == 1 and state.generation == 1 and state.device not in self.members.names

    def have(self, origin: OriginId) -> int:
        """Highest contiguous seq held; 0 when nothing is."""
        state = self.states.get(origin)
        return state.seq if state is not None else 0

    def target(self, origin: OriginId) -> int:
        """The highest seq that signed knowledge says exists and counts."""
        peer = self.peers.get(origin)
        head = peer.head if peer is not None else None
        if origin in self.members.linked or origin in self._branches:
            stated = set(self.members.linked.get(origin, ()))
            if head is not None:
                stated.add((head.seq, head.tip))
            known = max((seq for seq, tip in stated if not self._elsewhere(origin, seq, tip)), default=0)
        else:
            known = head.seq if head is not None else 0
        cap = self.bound(origin)
        return known if cap is None else min(known, max(cap, self.have(origin)))

    def _claimed(self, origin: OriginId) -> int:
        """What vectors claim of an origin that has branches, those not counted that are held under another name."""
        acks = [peer.acks[origin] for peer in self.peers.current(self.own) if origin in peer.acks]
        return max((ack.seq for ack in acks if not self._elsewhere(origin, ack.seq, ack.digest)), default=0)

    def holds(self, state: OriginState, ack: Ack) -> bool:
        """Whether a claim about a held seq is true of what is held, under the origin's name or a branch's."""
        branches = self._branches.get(state.id, ())
        if ack.seq == state.seq and state.tip.startswith(ack.digest):
            return True
        held = [name for name in (state, *branches) if name.base < ack.seq <= name.seq]
        return any(self.tip(name, ack.seq).startswith(ack.digest) for name in held)

    def agrees(self, peer: Peer, origin: OriginId) -> bool:
        """Whether what a peer's vector says of an origin is held here, by that name or as a branch of it."""
        ack, state = peer.acks.get(origin), self.states.get(origin)
        return ack is not None and state is not None and self.holds(state, ack)

    def is_disputed(self, origin: OriginId, cleared: Collection[OriginId]) -> bool:
        """Whether a current device, other than those `cleared`, claims of what is held that it is something else."""
        state = self.states.get(origin)
        claims = ((p, p.acks[origin]) for p in self.peers.current(self.own) if origin in p.acks)
        return state is not None and any(
            peer.origin not in cleared and state.base < ack.seq <= state.seq and not self.holds(state, ack)
            for peer, ack in claims
        )

    def is_forked(self, origin: OriginId) -> bool:
        """Whether branches of an origin are held: what others call by its name may be one of them."""
        return origin in self._branches

    def _elsewhere(self, origin: OriginId, seq: int, tip: bytes) -> bool:
        """Whether a prefix that is stated of an origin is a branch of it that has another name by now, and is held."""
        if seq <= self.have(origin):
            return False
        branches = [state for state in self._branches.get(origin, ()) if state.base < seq <= state.seq]
        return any(self.tip(branch, seq).startswith(tip) for branch in branches)

    def behind(self) -> dict[OriginId, int]:
        """Origins of which something is missing by signed knowledge -> how many seqs. Not to be changed."""
        self._judge_moved()
        return self._behind

    def wanted(self) -> dict[OriginId, int]:
        """Origins to ask for -> the highest seq claimed by anybody, hints included; revoked ones up to their cut.

        Of a retired one, too: what somebody else says to hold is not lost.

        Not to be changed.
        """
        self._judge_moved()
        return self._wanted

    def _judge_moved(self) -> None:
        """Judge those origins again of which something was said or stored since the last time."""
        claims = self.peers.claims(self.own)
        moved, stale = self.peers.take_moved(), self._stale
        if moved is None or stale is None:
            self._behind, self._wanted = {}, {}
            heads = [peer.origin for peer in self.peers if peer.head is not None]
            moved, stale = dict.fromkeys([*heads, *self.members.linked]), dict.fromkeys(claims)
        self._stale = {}
        for origin in {**moved, **stale}:  # in an order that is the same in every process: a seed names a run
            self._judge(origin, claims.get(origin, 0))

    def _judge(self, origin: OriginId, hinted: int) -> None:
        have, target, cap = self.have(origin), self.target(origin), self.cut(origin)
        claimed = self._claimed(origin) if origin in self._branches else hinted
        wanted = max(target, claimed if cap is None else min(claimed, cap))
        _set(self._behind, origin, target - have)
        _set(self._wanted, origin, wanted if wanted > have else 0)

    def active(self, now: Now) -> list[Peer]:
        """Current peers that have not left, are not revoked, and were heard from within the lease."""
        return [
            peer
            for peer in self.peers.current(self.own)
            if peer.device not in self.members.retired
            and not self.is_revoked(peer.author.key)
            and now.wall_ms - peer.heard_ms < self._lease_ms
        ]

    def acked(self, peer: Peer, origin: OriginId) -> int:
        """The seq of an origin that a peer's vector acknowledges: its bytes must equal ours; 0 when none."""
        ack = peer.acks.get(origin)
        if ack is None:
            return 0
        state = self.states.get(origin)
        if state is None or not state.base < ack.seq <= state.seq:
            return state.base if state is not None and ack.seq == state.base else 0
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

    def root_of(self, origin: OriginId) -> OriginId:
        """The origin that is not derived, of one that may be; itself where nothing is held of it."""
        state = self.states.get(origin)
        return origin if state is None or not state.forks else short(state.root(self._group))

    def own_origins(self) -> list[OriginState]:
        """All origins written by this device's key, the current one last. Not to be changed."""
        if self._own_origins is None:
            own = self.own
            mine = [] if own is None else [state for state in self.states.values() if state.key == own.key]
            self._own_origins = sorted(mine, key=lambda state: own is not None and state.id == own.id)
            self._own_ids = frozenset(state.id for state in mine)
        return self._own_origins

    def is_own(self, origin: OriginId | bytes) -> bool:
        """Whether an origin is one of `own_origins`."""
        self.own_origins()
        return origin in self._own_ids


def _set(numbers: dict[OriginId, int], origin: OriginId, number: int) -> None:
    """Note a number above zero, or that there is none."""
    if number > 0:
        numbers[origin] = number
    else:
        numbers.pop(origin, None)
