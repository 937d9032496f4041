"""Storing verified runs of remote events in one transaction (storage-v1 T5.2, protocol-v1 4.5, 4.6, 7.2).

Never refuses an event for its time. Keeps, for every derived origin held, the proof of its fork: an origin of the same
incarnation that has the smaller c at the first differing seq.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

import msgspec

from hcom_replica.core.append import Writer
from hcom_replica.core.hlc import drift_ms, merge, pack
from hcom_replica.core.origin import CommitRow, OriginState, fresh_origin
from hcom_replica.core.place import Fork, Gap, Held, Misfit, New, Placement, place
from hcom_replica.core.report import ForkFound, IngestReport, Outcome, Refused
from hcom_replica.core.verify import Run
from hcom_replica.ids import OriginId
from hcom_replica.limits import DRIFT_MS_MAX
from hcom_replica.store.commits import Point, add_commits, base_point, commit_below, point_at, servable, write_anchor
from hcom_replica.store.forks import cut, derived_origin, move_branch
from hcom_replica.store.kv import Table, WriteTxn
from hcom_replica.store.ledger import Ledger
from hcom_replica.store.meta import own_origin, read_number, read_state, read_states, write_number, write_state
from hcom_replica.store.redactions import Redactions
from hcom_replica.store.schema import Meta, pack_commit, seq_key
from hcom_replica.store.writer import open_incarnation
from hcom_replica.wire.event import encoded_bytes
from hcom_replica.wire.signing import root_hash, short

FORKED: Final = "forked"
AHEAD: Final = "rolled back or cloned"


class Ingest:
    """One ingest transaction: `add` each run, then `close`.

    Args:
        txn: the transaction.
        group: 16 bytes.
        now_ms: its wall clock.
    """

    def __init__(self, txn: WriteTxn, group: bytes, now_ms: int) -> None:
        self._txn = txn
        self._group = group
        self._now_ms = now_ms
        self._ledger = Ledger(txn, now_ms)
        self._redactions = Redactions(txn, group)
        self._high_water = self._high_water_before = read_number(txn, Meta.HIGH_WATER)
        self._states: dict[OriginId, OriginState] = {}
        self._changed: dict[OriginId, None] = {}
        self._forks: list[ForkFound] = []
        self._outcomes: list[Outcome] = []
        self._own = own_origin(txn)
        self._reopen = ""

    def add(self, run: Run) -> None:
        """Place a run and store what is new of it; what it proves to be redacted loses its body, wherever it stands."""
        self._outcomes.append(self._add(run))
        if run.redactions:
            self._flush()
            for redaction in run.redactions:
                self._redactions.note(redaction)

    def close(self, writer: Writer | None, nonce: bytes) -> IngestReport:
        """Write what is left; open a new incarnation if the own origin asks for it and there is a writer."""
        events = self._ledger.added
        self._flush()
        if self._high_water != self._high_water_before:  # a transaction without changes costs nothing
            write_number(self._txn, Meta.HIGH_WATER, self._high_water)
        reopened = None
        if self._reopen and writer is not None:
            reopened = open_incarnation(self._txn, self._ledger, writer, self._now_ms, nonce, self._reopen)
        self._ledger.close()
        states = [self._states[origin] for origin in self._changed]
        return IngestReport(tuple(self._outcomes), events, tuple(states), tuple(self._forks), reopened)

    def _add(self, run: Run) -> Outcome:
        held = self._state(run.origin)
        if held is None and run.descriptor.forks:
            return self._add_unknown_branch(run)
        if held is None:
            held = fresh_origin(self._group, run.descriptor)
        placement = self._put(held, run)
        branch = self._branch_before(run) if isinstance(placement, Misfit) else None
        return Outcome(run.origin, placement if branch is None else self._put(branch, run._replace(origin=branch.id)))

    def _branch_before(self, run: Run) -> OriginState | None:
        """The branch that holds what stands before a run: whoever sent it may not know of its fork yet (P4.6)."""
        before = run.first - 1
        held = [state for state in self._siblings(run) if state.forks and state.base < before <= state.seq]
        return next((state for state in held if point_at(self._txn, state, before).tip == run.prev), None)

    def _add_unknown_branch(self, run: Run) -> Outcome:
        """A derived origin is taken only against the origin that it forks from: else more of that one is needed first.

        Otherwise anybody could split an honest origin in two by giving a part of it another name.
        """
        if len(run.descriptor.forks) != 1:
            return Outcome(run.origin, Refused("hello"))
        base = run.base
        if run.first > base + 1:
            return Outcome(run.origin, Gap(base + 1))
        for sibling in self._siblings(run):
            other_fork = sibling.base < base or not sibling.forks  # not a branch of the very same fork
            if other_fork and isinstance(self._place(sibling, run), Fork):
                return Outcome(run.origin, self._put(sibling, run._replace(origin=sibling.id)))
        root = short(root_hash(self._group, run.descriptor.key, run.descriptor.incarnation))
        parent = self._state(root)
        missing = Gap(1 if parent is None else parent.seq + 1)
        return Outcome(root, missing if parent is None or parent.seq <= base else Misfit(base))

    def _siblings(self, run: Run) -> list[OriginState]:
        self._flush()
        key, incarnation = run.descriptor.key, run.descriptor.incarnation
        return [state for state in read_states(self._txn) if state.key == key and state.incarnation == incarnation]

    def _put(self, held: OriginState, run: Run) -> Placement | Refused:
        """Store a run where it belongs: in `held`, or from a fork on in the branch that it goes on, or in a new one."""
        found: Fork | None = None
        while True:
            placement = self._place(held, run)
            if not isinstance(placement, Fork):
                break
            found = found or placement
            self._notice_own(held, FORKED)
            trunk = self._trunk(held, placement.seq - 1)
            fault = _fault(trunk, run, placement.seq - run.first)
            if fault is not None:
                return fault
            if placement.theirs < placement.ours:
                return self._take_over(held, trunk, run, placement)
            held, run = self._branch_off(held, run, placement)
        if isinstance(placement, New):
            fault = _fault(held, run, placement.skip)
            if fault is not None:
                return fault
            self._extend(held, run, placement.skip)
            self._notice_own(held, AHEAD)
        elif isinstance(placement, Held):
            self._keep_last(held, run.commits[-1])
        return found or placement

    def _place(self, held: OriginState, run: Run) -> Placement:
        def tip_at(seq: int) -> bytes:
            self._ledger.flush()
            return point_at(self._txn, held, seq).tip

        return place(held, run, tip_at)

    def _extend(self, held: OriginState, run: Run, skip: int) -> None:
        """Store the run behind its first `skip` records, which are held."""
        records, hlcs = (run.records[skip:], run.hlcs[skip:]) if skip else (run.records, run.hlcs)
        system = [seq for seq in run.system if seq > held.seq]
        rows = [row for row in run.commits if row.seq > held.seq] if skip else run.commits
        kept = self._redactions.without_bodies(held, held.seq + 1, records, run.tips[skip:])
        self._ledger.add(held.id, held.seq + 1, kept, hlcs, system)
        add_commits(self._txn, held, rows)
        self._merge(hlcs)
        names = [name for seq, name in run.names if seq > held.seq]
        last = rows[-1]
        self._set(
            msgspec.structs.replace(
                held,
                seq=last.seq,
                hlc=last.hlc,
                tip=last.tip,
                cum=last.cum,
                system=held.system + len(system),
                name=names[-1] if names else held.name,
                drift_ms=max(held.drift_ms, drift_ms(hlcs[-1], self._now_ms)),
            )
        )

    def _merge(self, hlcs: list[int]) -> None:
        """Merge the newest hlc that does not drift (P3.4)."""
        newest = hlcs[-1]
        if drift_ms(newest, self._now_ms):
            bound = pack(self._now_ms + DRIFT_MS_MAX + 1)
            within = bisect_right(hlcs, bound - 1)
            newest = hlcs[within - 1] if within else 0
        self._high_water = merge(self._high_water, newest, self._now_ms)

    def _trunk(self, held: OriginState, seq: int) -> OriginState:
        self._flush()
        return cut(self._txn, held, seq)

    def _branch_off(self, held: OriginState, run: Run, fork: Fork) -> tuple[OriginState, Run]:
        """The run's first difference has the larger c: from there on it is a run of the derived origin (P4.6)."""
        fresh = derived_origin(self._txn, self._group, held, fork.seq - 1, fork.theirs)
        branch = self._state(fresh.id)
        if branch is None:
            write_anchor(self._txn, fresh)
            self._redactions.look_again()
            self._forks.append(ForkFound(held.id, fresh.id, fresh.base))
        return branch or fresh, _tail(run, fresh)

    def _take_over(self, held: OriginState, trunk: OriginState, run: Run, fork: Fork) -> Placement:
        """The run's first difference has the smaller c: it takes the id, and what is held there moves (P4.6, T6.1)."""
        if not self._joins(trunk, run):
            return Misfit(run.first - 1)
        branch = derived_origin(self._txn, self._group, held, trunk.seq, fork.ours)
        self._set(move_branch(self._txn, held, branch))
        self._ledger.look_again()
        self._redactions.look_again()
        self._keep_commits(trunk, run)
        self._extend(trunk, run, fork.seq - run.first)
        self._forks.append(ForkFound(held.id, branch.id, trunk.seq))
        return fork

    def _joins(self, trunk: OriginState, run: Run) -> bool:
        """Whether the run's commits go on, within bounds, from what is kept of the trunk."""
        start = self._kept(trunk)
        following = next(row for row in run.commits if row.seq > start.seq)
        return servable(start, following)

    def _kept(self, trunk: OriginState) -> Point:
        row = commit_below(self._txn, trunk, trunk.seq)
        return base_point(self._txn, trunk) if row is None else Point(row.seq, row.tip, row.cum)

    def _keep_last(self, held: OriginState, row: CommitRow) -> None:
        """Keep the commit that a held run ends with: a branch that goes on from there may have to join it (T6.1)."""
        key = seq_key(held.id, row.seq)
        if self._txn.get(Table.COMMITS, key) is None:
            self._txn.put(Table.COMMITS, key, pack_commit(row))

    def _keep_commits(self, trunk: OriginState, run: Run) -> None:
        """Keep those of the run's commits that fall in the trunk and were thinned here."""
        start = self._kept(trunk)
        rows = [row for row in run.commits if start.seq < row.seq <= trunk.seq]
        if rows:
            add_commits(self._txn, trunk, rows)

    def _notice_own(self, held: OriginState, reason: str) -> None:
        own = self._own
        if own is not None and (held.key, held.incarnation) == (own.key, own.incarnation) and not self._reopen:
            self._reopen = reason

    def _state(self, origin: OriginId) -> OriginState | None:
        state = self._states.get(origin)
        if state is None:
            state = read_state(self._txn, origin)
            if state is not None:
                self._states[origin] = state
        return state

    def _set(self, state: OriginState) -> None:
        self._states[state.id] = state
        self._changed[state.id] = None

    def _flush(self) -> None:
        """Make rows and states visible to the transaction's own reads."""
        self._ledger.flush()
        for origin in self._changed:
            write_state(self._txn, self._states[origin])


def _fault(before: OriginState, run: Run, skip: int) -> Refused | None:
    """Check what no run shows by itself: that it goes on in time, and in bytes, from what is held before it."""
    if run.hlcs[skip] <= before.hlc:
        return Refused("order")
    if run.cum + encoded_bytes(run.records[:skip]) != before.cum:
        return Refused("chain")
    return None


def _tail(run: Run, branch: OriginState) -> Run:
    """The run's part behind a derived origin's base, as a run of that origin."""
    skip = branch.base + 1 - run.first
    first = branch.base + 1
    return run._replace(
        origin=branch.id,
        descriptor=branch.descriptor,
        first=first,
        prev=branch.tip,
        cum=branch.cum,
        records=run.records[skip:],
        hlcs=run.hlcs[skip:],
        tips=run.tips[skip:],
        system=[seq for seq in run.system if seq >= first],
        commits=[row for row in run.commits if row.seq >= first],
        names=[(seq, name) for seq, name in run.names if seq >= first],
    )
