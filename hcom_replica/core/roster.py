"""Which origins the stable order waits for, by the log, and where what came too late stands (protocol-v1 section 13).

A pure function of the `_roster` events held. It never depends on what slots or peers say: so it is the same wherever
the log is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hcom_replica.core.hello import Roster as Body
from hcom_replica.core.hello import read_system
from hcom_replica.core.origin import OriginState
from hcom_replica.ids import ORIGIN_BYTES, OriginId, order_key
from hcom_replica.wire.event import Event

START: Final = b""
"""The place at which the founder's origin enters: before everything."""

SystemEvents = Sequence[tuple[OriginId, int, Event]]


class Closing(NamedTuple):
    """A member says that it waits for an origin no more.

    Attributes:
        at: seq of the event that says so, in its writer's origin.
        seq: of the closed origin, the most that the writer holds.
        promise: nothing of the closed origin behind `seq` has an hlc at or below it.
    """

    at: int
    seq: int
    promise: int


class Entry(NamedTuple):
    """A member lets an origin in.

    Attributes:
        by: the origin of the event that says so.
        at: its seq.
        key: its place in the unified order.
    """

    by: OriginId
    at: int
    key: bytes


class Statement(NamedTuple):
    """A `_roster` event."""

    key: bytes
    origin: OriginId
    seq: int
    body: Body


@dataclass(frozen=True)
class Roster:
    """The judgement.

    Attributes:
        root: the founder's first origin; None while nothing of it is held.
        entries: origin -> place of the event that let it in, the first of several in the unified order.
        entered_by: origin -> all events that let it in.
        closings: origin -> who has closed it -> what it said first.
        closed: origin -> its cut, once all who had to close it have.
        late: origin -> (place, seq): up to which seq it stands at that place, places ascending.
    """

    root: OriginId | None = None
    entries: dict[OriginId, bytes] = field(default_factory=dict)
    entered_by: dict[OriginId, list[Entry]] = field(default_factory=dict)
    closings: dict[OriginId, dict[OriginId, Closing]] = field(default_factory=dict)
    closed: dict[OriginId, int] = field(default_factory=dict)
    late: dict[OriginId, list[tuple[bytes, int]]] = field(default_factory=dict)

    def place(self, origin: OriginId, seq: int, key: bytes) -> bytes | None:
        """The place of an event in the stable order; None while it has none.

        Args:
            origin: whose.
            seq: its seq.
            key: its place in the unified order; another one that is returned lies behind it.
        """
        found: bytes | None = None
        entry = self.entries.get(origin)
        if entry is not None and seq <= self.closed.get(origin, seq):
            found = max(key, entry)
        for place, upto in self.late.get(origin, ()):
            if seq <= upto:
                late = max(key, place)
                return late if found is None else min(found, late)
        return found

    def blocks(self) -> dict[bytes, list[OriginId]]:
        """Place -> origins of which events may stand there that belong before it."""
        found: dict[bytes, list[OriginId]] = {}
        for origin, place in self.entries.items():
            if place != START:
                found.setdefault(place, []).append(origin)
        for origin, lines in self.late.items():
            for place, _ in lines:
                found.setdefault(place, []).append(origin)
        return found

    def needed(self, origin: OriginId) -> set[OriginId]:
        """The origins that have to close an origin: let in by those of them that had not closed it yet."""
        closings = self.closings.get(origin, {})
        found = {self.root} if self.root is not None else set()
        grows = True
        while grows:
            grows = False
            for name, entries in self.entered_by.items():
                if name not in found and any(
                    entry.by in found and (entry.by not in closings or entry.at <= closings[entry.by].at)
                    for entry in entries
                ):
                    found.add(name)
                    grows = True
        return found


def read_roster(events: SystemEvents, states: Mapping[OriginId, OriginState], founder: bytes) -> Roster:
    """Judge.

    Args:
        events: all system events held, in unified order.
        states: all origins held.
        founder: 32-byte key.
    """
    statements = _statements(events)
    root = _root(states.values(), founder)
    if root is None:
        return Roster()
    closed: dict[OriginId, int] = {}
    seen: list[dict[OriginId, int]] = []
    while True:
        roster = _fold(statements, states, root, closed)
        after = _closed(roster)
        if after == closed or after in seen:
            return Roster(roster.root, roster.entries, roster.entered_by, roster.closings, after, roster.late)
        seen.append(closed)
        closed = after


def _statements(events: SystemEvents) -> list[Statement]:
    found = []
    for origin, seq, event in events:
        body = read_system(event.kind, event.body)
        if isinstance(body, Body):
            found.append(Statement(order_key(event.hlc, origin), origin, seq, body))
    return found


def _root(states: Iterable[OriginState], founder: bytes) -> OriginId | None:
    own = [state for state in states if state.key == founder and not state.forks and state.seq]
    return min(own, key=lambda state: (state.generation, state.id)).id if own else None


def _fold(
    statements: Iterable[Statement], states: Mapping[OriginId, OriginState], root: OriginId, closed: dict[OriginId, int]
) -> Roster:
    """Take down what counts: what an origin says after it was let in, up to its cut (P13.3)."""
    roster = Roster(root, {root: START})
    for statement in statements:
        origin, body = statement.origin, statement.body
        if statement.seq > closed.get(origin, statement.seq):
            continue
        if roster.entries.get(origin, statement.key) >= statement.key and not _alone(statement, states, roster, closed):
            continue
        for name in _origins(body.enter):
            if name != root:
                entry = Entry(origin, statement.seq, statement.key)
                roster.entered_by.setdefault(name, []).append(entry)
                roster.entries.setdefault(name, statement.key)
        for text, (seq, promise) in body.close.items():
            for name in _origins([text]):
                by = roster.closings.setdefault(name, {})
                by.setdefault(origin, Closing(statement.seq, seq, promise))
        for text, seq in body.late.items():
            for name in _origins([text]):
                roster.late.setdefault(name, []).append((statement.key, seq))
    return roster


def _alone(
    statement: Statement, states: Mapping[OriginId, OriginState], roster: Roster, closed: dict[OriginId, int]
) -> bool:
    """Whether an origin lets itself in, with nobody but earlier incarnations of its device there to do it (P13.3)."""
    origin = statement.origin
    if origin in roster.entries or origin not in _origins(statement.body.enter):
        return False
    key = states[origin].key
    return all(name in closed or (name in states and states[name].key == key) for name in roster.entries)


def _closed(roster: Roster) -> dict[OriginId, int]:
    """The cuts of the origins that are closed (P13.4)."""
    gone = sorted(_gone(roster))
    cuts: dict[OriginId, int] = {}
    while True:
        after = {origin: _cut(roster.closings[origin], gone, cuts) for origin in gone}
        if after == cuts:
            return cuts
        cuts = after


def _cut(closings: Mapping[OriginId, Closing], gone: Collection[OriginId], cuts: Mapping[OriginId, int]) -> int:
    """The most that counting events say is held: of those that are closed themselves, what lies within their cuts."""
    return max((said.seq for by, said in closings.items() if by not in gone or said.at <= cuts.get(by, 0)), default=0)


def _gone(roster: Roster) -> set[OriginId]:
    """The largest set of origins that all others which have to have closed."""
    gone = set(roster.closings) & set(roster.entries)
    needed = {origin: roster.needed(origin) for origin in gone}
    kept: set[OriginId] = set()
    while True:
        for origin in sorted(gone):
            if origin in kept or any(z not in gone and z not in roster.closings[origin] for z in needed[origin]):
                gone.discard(origin)
                break
        else:
            if not gone or len(gone) < len(roster.entries):
                return gone
            kept.add(min(gone, key=lambda origin: (roster.entries[origin], origin)))


def _origins(texts: Iterable[str]) -> list[OriginId]:
    found = []
    for text in texts:
        try:
            name = bytes.fromhex(text)
        except ValueError:
            continue
        if len(name) == ORIGIN_BYTES:
            found.append(OriginId(name))
    return found
