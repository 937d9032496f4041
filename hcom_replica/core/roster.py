"""Which origins the stable order waits for, by the log, and where what came too late stands (protocol-v1 section 13).

A pure function of the `_roster` events held. It never depends on what slots or peers say: so it is the same wherever
the log is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Final, NamedTuple, TypeVar

import msgspec

from hcom_replica.core.hello import Roster as Body
from hcom_replica.core.hello import read_system
from hcom_replica.core.members import Members, SystemEvents, fold_members, newest_generation
from hcom_replica.core.membership import Viewer, judge
from hcom_replica.core.origin import OriginState
from hcom_replica.core.reader import LogReader
from hcom_replica.ids import ORIGIN_BYTES, OriginId, order_key

START: Final = b""
"""The place at which the founder's origin enters: before everything."""

T = TypeVar("T")


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
    """

    by: OriginId
    at: int


class Statement(NamedTuple):
    """A `_roster` event.

    Attributes:
        key: its place in the unified order.
        origin: whose it is.
        seq: its seq.
        enter: origins that it lets in.
        close: (origin, (seq, promise)) that it closes.
        late: (origin, seq) that came too late.
    """

    key: bytes
    origin: OriginId
    seq: int
    enter: tuple[OriginId, ...]
    close: tuple[tuple[OriginId, tuple[int, int]], ...]
    late: tuple[tuple[OriginId, int], ...]


class _Past(NamedTuple):
    """What else the judgement is made from.

    Attributes:
        root: the founder's first origin.
        ended: origins that nobody writes any more.
    """

    root: OriginId
    ended: Collection[OriginId]


class Roster(msgspec.Struct, frozen=True, dict=True):
    """The judgement.

    Attributes:
        root: the founder's first origin; None while nothing of it is held.
        entries: origin -> where it was let in: the first of the places of those events that did so.
        entered_by: origin -> all events that let it in.
        closings: origin -> who has closed it -> what it said first.
        closed: origin -> its cut, once all who had to close it have.
        late: origin -> (place, seq): up to which seq it stands at that place, places ascending.
    """

    root: OriginId | None = None
    entries: dict[OriginId, bytes] = msgspec.field(default_factory=dict)
    entered_by: dict[OriginId, list[Entry]] = msgspec.field(default_factory=dict)
    closings: dict[OriginId, dict[OriginId, Closing]] = msgspec.field(default_factory=dict)
    closed: dict[OriginId, int] = msgspec.field(default_factory=dict)
    late: dict[OriginId, list[tuple[bytes, int]]] = msgspec.field(default_factory=dict)

    def place_of(self, statement: Statement) -> bytes:
        """The place of a statement that counts: its own, or where its origin was let in, if that is behind it."""
        return max(statement.key, self.entries[statement.origin])

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

    def settled_before(self, origin: OriginId, place: bytes) -> int | None:
        """The seq up to which an origin's events stand before a place where late ones may; None when all of it does."""
        upto = [seq for at, seq in self.late.get(origin, ()) if at < place]
        entry = self.entries.get(origin)
        if entry is not None and entry < place:
            if origin not in self.closed:
                return None
            upto.append(self.closed[origin])
        return max(upto, default=0)

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

    def heeded(self, origin: OriginId) -> list[Closing]:
        """What those say of an origin's closing that have to close it."""
        needed, closings = self.needed(origin), self.closings.get(origin, {})
        return [closing for name, closing in closings.items() if name in needed]

    def surely_heeded(self, origin: OriginId, own: OriginId) -> list[Closing]:
        """The same where `own` has closed it, without those whom only what is behind its word of the origin let in.

        Once all have closed it that may be behind the cut, and what those said counts no more.
        """
        closings = self.closings.get(origin, {})
        word = closings[own]
        sure = self._reached({**closings, origin: word._replace(at=word.seq)})
        return [closing for name, closing in closings.items() if name in sure]

    def needed(self, origin: OriginId) -> frozenset[OriginId]:
        """The origins that have to close an origin: let in by those of them that had not closed it yet."""
        found = self._needed.get(origin)
        if found is None:
            found = self._needed[origin] = self._reached(self.closings.get(origin, {}))
        return found

    def _reached(self, closings: Mapping[OriginId, Closing]) -> frozenset[OriginId]:
        found = set(self._first)
        ahead = list(found)
        while ahead:
            by = ahead.pop()
            for name, at in self._let_in.get(by, ()):
                if name not in found and (by not in closings or at <= closings[by].at):
                    found.add(name)
                    ahead.append(name)
        return frozenset(found)

    @cached_property
    def _first(self) -> frozenset[OriginId]:
        """Those whom nobody else had to let in: the root, and who let themselves in."""
        alone = (name for name, entries in self.entered_by.items() if any(entry.by == name for entry in entries))
        return frozenset(alone) | ({self.root} if self.root is not None else frozenset())

    @cached_property
    def _needed(self) -> dict[OriginId, frozenset[OriginId]]:
        """What `needed` has found: it is asked for again and again, when all that is stated has been taken down."""
        return {}

    @cached_property
    def _let_in(self) -> dict[OriginId, list[tuple[OriginId, int]]]:
        """`entered_by` from the other end: origin -> whom it let in, and by which seq."""
        found: dict[OriginId, list[tuple[OriginId, int]]] = {}
        for name, entries in self.entered_by.items():
            for entry in entries:
                found.setdefault(entry.by, []).append((name, entry.at))
        return found


def logged_roster(log: LogReader, viewer: Viewer, states: Mapping[OriginId, OriginState]) -> Roster:
    """Judge by the log alone; `states` are all origins held."""
    events = log.system_events()
    return judge_roster(events, fold_members(states, events), states, viewer)


def judge_roster(
    events: SystemEvents, members: Members, states: Mapping[OriginId, OriginState], viewer: Viewer
) -> Roster:
    """Judge by the log alone: what was only heard has no part in it.

    Args:
        events: all system events held, in unified order.
        members: the fold of these.
        states: all origins held.
        viewer: on whose behalf.
    """
    left = judge(viewer, members.book, {state.key for state in states.values()}, members.retired).left
    return read_roster(events, states, viewer.founder, left)


def read_roster(
    events: SystemEvents, states: Mapping[OriginId, OriginState], founder: bytes, left: Collection[bytes] = ()
) -> Roster:
    """Judge.

    Args:
        events: all system events held, in unified order.
        states: all origins held.
        founder: 32-byte key.
        left: keys of devices that are retired or revoked, by the log.
    """
    statements = _statements(events)
    root = _root(states.values(), founder)
    if root is None:
        return Roster()
    ended = ended_origins(states.values(), left)
    gone = {name for one in statements for name, _ in one.close}
    while True:
        roster = _with_least_cuts(statements, _Past(root, ended), gone)
        staying = _staying(roster, gone)
        if not staying:
            return roster
        gone -= staying


def ended_origins(states: Iterable[OriginState], left: Collection[bytes]) -> set[OriginId]:
    """The origins that nobody writes any more: their devices have left, or have begun a later incarnation."""
    known = list(states)
    newest = newest_generation(known)
    return {state.id for state in known if state.key in left or state.generation < newest[state.device]}


def _statements(events: SystemEvents) -> list[Statement]:
    found = []
    for origin, seq, event in events:
        body = read_system(event.kind, event.body)
        if isinstance(body, Body):
            said = tuple(_origins(body.enter)), tuple(_named(body.close)), tuple(_named(body.late))
            found.append(Statement(order_key(event.hlc, origin), origin, seq, *said))
    return found


def _root(states: Iterable[OriginState], founder: bytes) -> OriginId | None:
    own = [state for state in states if state.key == founder and not state.forks and state.seq]
    return min((state.id for state in own if state.generation == 1), default=None)  # a later one may come first


def _fold(statements: Sequence[Statement], past: _Past, closed: dict[OriginId, int]) -> Roster:
    """Take down what counts: what origins that are let in say, up to their cuts (P13.3)."""
    counting = [one for one in statements if one.seq <= closed.get(one.origin, one.seq)]
    roster = Roster(past.root, {past.root: START}, closed=closed)
    entering = [one for one in counting if one.enter]
    while True:
        _let_in(roster, entering)
        alone = next((one for one in entering if _is_alone(one, past, roster)), None)
        if alone is None:
            break
        roster.entries[alone.origin] = alone.key
    for one in counting:
        if one.origin in roster.entries:
            _take_down(roster, one)
    for lines in roster.late.values():
        lines.sort()
    return roster


def _let_in(roster: Roster, statements: Sequence[Statement]) -> None:
    """Find the first place at which each origin is let in: one may be so by another that is let in behind it."""
    changed = True
    while changed:
        changed = False
        for one in statements:
            if one.origin in roster.entries:
                place = roster.place_of(one)
                for name in one.enter:
                    if name not in roster.entries or place < roster.entries[name]:
                        roster.entries[name] = place
                        changed = True


def _take_down(roster: Roster, statement: Statement) -> None:
    origin = statement.origin
    for name in statement.enter:
        roster.entered_by.setdefault(name, []).append(Entry(origin, statement.seq))
    for name, (seq, promise) in statement.close:
        by = roster.closings.setdefault(name, {})
        if origin not in by or statement.seq < by[origin].at:
            by[origin] = Closing(statement.seq, seq, promise)
    for name, seq in statement.late:
        roster.late.setdefault(name, []).append((roster.place_of(statement), seq))


def _is_alone(statement: Statement, past: _Past, roster: Roster) -> bool:
    """Whether an origin lets itself in, with nobody there to do it (P13.3)."""
    origin = statement.origin
    if origin in roster.entries or origin not in statement.enter:
        return False
    before = (name for name, place in roster.entries.items() if place < statement.key)
    return all(name in past.ended for name in before)


def _staying(roster: Roster, gone: Collection[OriginId]) -> set[OriginId]:
    """Of some origins that were taken for closed, those that are not; one reason at a time.

    Who is needed and has not closed an origin will be needed whatever else stays, so those come first; what seems
    never to have been let in may be so once others stay.
    """
    waited = {
        origin
        for origin in gone
        if any(name not in gone and name not in roster.closings.get(origin, {}) for name in roster.needed(origin))
    }
    unheard = {origin for origin in gone if origin not in roster.entries or not roster.heeded(origin)}
    everybody = set(gone) >= roster.entries.keys()
    first = {min(roster.entries, key=lambda name: (roster.entries[name], name))} if gone and everybody else set()
    return (waited & roster.entries.keys()) or first or unheard


def _with_least_cuts(statements: Sequence[Statement], past: _Past, gone: Collection[OriginId]) -> Roster:
    """Judge as if some origins were closed: what they say counts as far as those that stay say to hold it (P13.4).

    Where nobody stays but those whom they have let in, the first of these is believed: all others know it.
    """
    cuts = dict.fromkeys(gone, 0)
    while True:
        roster = _fold(statements, past, cuts)
        after = {name: max([cuts[name], *(one.seq for one in roster.heeded(name))]) for name in gone}
        if after == cuts and roster.entries.keys() <= cuts.keys():
            unheard = [
                (roster.entries.get(one.origin, one.key), one.seq, one.origin)
                for one in statements
                if one.enter
                and one.seq > cuts.get(one.origin, one.seq)
                and (one.origin in roster.entries or _is_alone(one, past, roster))
            ]
            if unheard:
                _, seq, origin = min(unheard)
                after[origin] = seq
        if after == cuts:
            return roster
        cuts = after


def _origins(texts: Iterable[str]) -> list[OriginId]:
    """Ids in hex; what is none is left out."""
    found = []
    for text in texts:
        with suppress(ValueError):
            found.append(OriginId(bytes.fromhex(text)))
    return [name for name in found if len(name) == ORIGIN_BYTES]


def _named(said: Mapping[str, T]) -> list[tuple[OriginId, T]]:
    return [(name, value) for text, value in said.items() for name in _origins([text])]
