"""Letting origins into the stable order, and out of it (protocol-v1 section 13): what a device does about it, and when.

Judging is the affair of `roster`. What is decided here goes into the log first, and counts because it stands there.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from hcom_replica.core.effects import AppendSystem, Now
from hcom_replica.core.hello import RETIRE, RETURN, ROSTER, Retire, Return, Roster, system_draft
from hcom_replica.core.hlc import millis
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.members import newest_generation
from hcom_replica.core.membership import Membership
from hcom_replica.core.origin import OriginState
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.rekey import Rekey
from hcom_replica.core.roster import ended_origins
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.event import Draft
from hcom_replica.wire.signing import device_id

_AT_ONCE: Final = 256
"""Origins of which one event speaks in one way."""

_LOOK_MS: Final = 60_000


class Usher:
    """Decides which system events the own log needs next for the stable order's sake.

    Attributes:
        pending: something was decided, and the log does not say so yet.
    """

    def __init__(self, outbox: Outbox, settings: Settings, knowledge: Knowledge, rekey: Rekey) -> None:
        self._outbox = outbox
        self._settings = settings
        self._knowledge = knowledge
        self._rekey = rekey
        self._version = -1
        self._closing: dict[OriginId, tuple[int, int]] = {}
        self._entering: list[OriginId] = []
        self._late: dict[OriginId, int] = {}
        self._looked_ms: int | None = None
        self.pending = False

    def settled(self) -> None:
        """The log has moved, or the link has: what was decided is in the log, or is decided anew."""
        self.pending = False

    @property
    def is_out(self) -> bool:
        """Whether others wait for the own origin no more: a new incarnation is to be let in (P13.7)."""
        own, members = self._knowledge.own, self._knowledge.members
        if own is None or self._knowledge.membership is None:
            return False
        return bool(self._knowledge.roster.closings.get(own.id)) or own.id in members.retired.get(own.device, ())

    def tick(self, now: Now, *, is_open: bool) -> None:
        """Decide.

        Args:
            now: the time.
            is_open: own slots may be written, so others are heard.
        """
        knowledge, membership = self._knowledge, self._knowledge.membership
        own = knowledge.own
        if not is_open or self.pending or membership is None or own is None or knowledge.roster.root is None:
            return
        if own.device in knowledge.members.retired:
            answers = list(knowledge.members.retirements[own.device])
            self._append(system_draft(RETURN, Return(own.device.hex(), answers)))
        elif own.key in membership.ranks and not self.is_out:
            self._usher(now, membership, own)

    def _usher(self, now: Now, membership: Membership, own: OriginState) -> None:
        self._look(membership, own)
        inside = own.id in self._knowledge.roster.entries
        if not inside and not self._is_left_to(membership, own):
            return
        due = not inside or bool(self._entering or self._late)
        if self._rekey.is_turn(now, "roster", membership, due=due):
            self._state(self._entering if inside else [own.id, *self._entering], self._late, own)
        elif inside and self._closing:
            self._state([], {}, own)
        elif inside:
            self._retire_lapsed(now, membership)

    def _state(self, entering: list[OriginId], late: dict[OriginId, int], own: OriginState) -> None:
        closing = {**self._closing, **self._said(self._superseded(entering, own))}
        body = Roster(
            [origin.hex() for origin in entering[:_AT_ONCE]],
            {origin.hex(): said for origin, said in islice(closing.items(), _AT_ONCE)},
            {origin.hex(): seq for origin, seq in islice(late.items(), _AT_ONCE)},
        )
        self._append(system_draft(ROSTER, body))

    def _append(self, draft: Draft) -> None:
        self.pending = True
        self._version = -1
        self._outbox.emit(AppendSystem((draft,)))

    # --- what there is to say ------------------------------------------------------------------------------------

    def _look(self, membership: Membership, own: OriginState) -> None:
        """Look again, if anything has changed that counts here."""
        knowledge = self._knowledge
        if self._version == knowledge.version:
            return
        self._version = knowledge.version
        states = knowledge.states.values()
        newest = newest_generation(states)
        self._entering = sorted(
            state.id
            for state in states
            if self._may_enter(membership, state) and state.generation == newest[state.device] and state.id != own.id
        )
        self._closing = self._to_close(membership, own)
        self._late = {state.id: state.seq for state in states if self._is_late(membership, state, own)}

    def _may_enter(self, membership: Membership, state: OriginState) -> bool:
        roster, key = self._knowledge.roster, state.key
        return (
            not state.forks and state.id not in roster.entries and key in membership.members & membership.ranks.keys()
        )

    def _to_close(self, membership: Membership, own: OriginState) -> dict[OriginId, tuple[int, int]]:
        """Origins that are waited for no more, and that this device has to say so of (P13.4)."""
        knowledge, found = self._knowledge, list[OriginId]()
        superseded = self._superseded(list(knowledge.roster.entries), own)
        for origin in knowledge.roster.entries:
            state = knowledge.states.get(origin)
            gone = state is not None and (state.device in knowledge.members.retired or state.key in membership.revoked)
            if (gone or origin in superseded or origin in knowledge.roster.closings) and self._owes(origin, own):
                found.append(origin)
        return self._said(found)

    def _superseded(self, entering: list[OriginId], own: OriginState) -> list[OriginId]:
        """Origins that are followed by a later incarnation that is let in, and that this device has to close."""
        states = self._knowledge.states
        later = newest_generation(states[origin] for origin in entering if origin in states)
        found = []
        for origin in self._knowledge.roster.entries:
            state = states.get(origin)
            if state is not None and state.generation < later.get(state.device, 0) and self._owes(origin, own):
                found.append(origin)
        return found

    def _owes(self, origin: OriginId, own: OriginState) -> bool:
        roster = self._knowledge.roster
        if origin == own.id or origin in roster.closed or own.id in roster.closings.get(origin, {}):
            return False
        return own.id not in roster.entries or own.id in roster.needed(origin)

    def _said(self, origins: list[OriginId]) -> dict[OriginId, tuple[int, int]]:
        """What is said of origins that are closed: the seq held, and the hlc up to which nothing can follow it."""
        if not origins:
            return {}
        states, promises = self._knowledge.states, self._knowledge.log.promises()
        return {
            origin: (states[origin].seq, max(states[origin].hlc, promises.get(origin, 0)))
            if origin in states
            else (0, 0)
            for origin in origins
        }

    def _is_late(self, membership: Membership, state: OriginState, own: OriginState) -> bool:
        """Whether more of an origin is held than has, or is going to have, a place (P13.6)."""
        roster, base = self._knowledge.roster, state.base
        if state.id in roster.entries:
            if state.id not in roster.closed:
                return False
            base = roster.closed[state.id]
        elif state.id in self._entering or state.id == own.id or state.key in membership.unadmitted():
            return False
        return state.seq > max([base, *(upto for _, upto in roster.late.get(state.id, ()))])

    def _is_left_to(self, membership: Membership, own: OriginState) -> bool:
        """Whether nobody is there to let the own origin in, and this device is the most senior that stays (P13.3)."""
        roster = self._knowledge.roster
        ended = ended_origins(self._knowledge.states.values(), membership.left)
        senior = min((key for key in membership.members if key in membership.ranks), key=membership.ranks.__getitem__)
        return senior == own.key and ended.issuperset(roster.entries)

    def _retire_lapsed(self, now: Now, membership: Membership) -> None:
        """Retire a device that nobody has heard of for the time of the lease (P13.8)."""
        if self._looked_ms is None:
            self._looked_ms = now.mono_ms  # others are to be heard first
        if now.mono_ms - self._looked_ms < _LOOK_MS:
            return
        self._looked_ms = now.mono_ms
        lapsed = sorted(key for key in membership.members if self._is_lapsed(now, key))
        if self._rekey.is_turn(now, "lease", membership, due=bool(lapsed), step_ms=2 * _LOOK_MS):
            device = device_id(lapsed[0])
            last = {s.id.hex(): s.seq for s in self._knowledge.states.values() if s.device == device}
            self._append(system_draft(RETIRE, Retire(device.hex(), last)))

    def _is_lapsed(self, now: Now, key: bytes) -> bool:
        knowledge = self._knowledge
        if knowledge.own is None or key == knowledge.own.key:
            return False
        heard = [peer.heard_ms for peer in knowledge.peers if peer.author.key == key]
        wrote = [millis(state.hlc) for state in knowledge.states.values() if state.key == key]
        return now.wall_ms - max([0, *heard, *wrote]) > self._settings.frontier_lease_ms
