"""The stable stream: what is final, in the same order and with the same bytes on every device, now and later.

Owns how names are shown in it: an event carries the name that its device had at that place, so that a later rename or a
second claim of a name changes nothing that was printed before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hcom_replica.api.event import Event
from hcom_replica.api.filters import Filter
from hcom_replica.api.names import Names
from hcom_replica.api.opening import Parts
from hcom_replica.core.frontier import find_frontier
from hcom_replica.core.kept import RosterKeeper
from hcom_replica.core.members import Members, display_names, note_member
from hcom_replica.core.origin import OriginState
from hcom_replica.core.roster import Roster
from hcom_replica.ids import EventId, OriginId
from hcom_replica.store.log import Log
from hcom_replica.store.stable import StableEvent, StablePlace, stable_events
from hcom_replica.wire.event import decode_event, is_system

__all__ = ["Stable", "StableFrontier", "StablePlace", "StableStream"]


class StableFrontier(NamedTuple):
    """How far the stable order has come on this device.

    Attributes:
        key: 16 bytes, hlc || origin: what has its place below this is stable; None while nothing is, because this
            device has not been let in yet (a member that is online does so within seconds).
        hlc: up to which, included, everything is stable; None where `key` is.
        held_by: name of the device that holds it back; None when nothing of the founder is known.
    """

    key: bytes | None
    hlc: int | None
    held_by: str | None


class Stable(NamedTuple):
    """An event of the stable stream.

    Attributes:
        event: itself.
        late: it came when the stream had passed where it belongs by its hlc, and stands where it was let in.
        place: where it stands; a later stream can begin behind it.
    """

    event: Event
    late: bool
    place: StablePlace


class StableStream:
    """The stable order of one log, as it was when it was looked at last.

    What is read again and again is kept between the looks: the roster, until something has come that may change it,
    and what devices are called where the last reading has ended.

    Args:
        parts: of an open folder.
        names: of its devices.

    Attributes:
        frontier: how far it has come.
    """

    def __init__(self, parts: Parts, names: Names) -> None:
        self._log = parts.log
        self._names = names
        self._keeper = RosterKeeper(parts.log, parts.viewer)
        self._naming: _Naming | None = None
        self.look()

    def look(self) -> None:
        """Look at the log again."""
        log = self._log
        own, promises = log.own_origin(), log.promises()
        self._states = {state.id: state for state in log.origins()}
        self._roster = self._keeper.roster(self._states)
        found = find_frontier(self._roster, self._states, promises, own.id if own is not None else None)
        holder = None
        if found.held_by is not None:
            known = found.held_by in self._states
            holder = self._names.shown(found.held_by) if known else found.held_by.hex()
        self.frontier = StableFrontier(found.key, found.hlc, holder)

    def events(self, accept: Filter, after: StablePlace | None = None) -> Iterator[Stable]:
        """Yield the accepted events up to the frontier, in stable order.

        Args:
            accept: which events; its bounds in time are those of an event's own hlc, wherever it stands.
            after: begin behind this place.
        """
        key, roster = self.frontier.key, self._roster
        if key is None:
            return
        naming = self._named_behind(after)
        for found in stable_events(self._log, roster, key, after):
            row, decoded = found.event, decode_event(found.event.record)
            naming.place = found.place
            if is_system(decoded.kind):
                naming.note(found)
            event = Event(row.id, decoded, naming.shown(row.origin))
            if accept.accepts(event):
                yield Stable(event, found.late, found.place)
        self._naming = naming

    def _named_behind(self, after: StablePlace | None) -> _Naming:
        """What devices are called behind a place; known where a reading goes on that has ended there."""
        naming, self._naming = self._naming, None  # it belongs to one reading at a time
        if naming is None or naming.place != after:
            naming = _Naming(after)
            if after is not None:
                naming.catch_up(self._log, self._states, self._roster, after)
        naming.states = self._states
        return naming


class _Naming:
    """What devices are called at each place of the stable order.

    Attributes:
        place: behind which.
        states: all origins held.
    """

    def __init__(self, place: StablePlace | None) -> None:
        self.place = place
        self.states: dict[OriginId, OriginState] = {}
        self._members = Members()
        self._shown: dict[bytes, str] = {}
        self._met: set[bytes] = set()

    def note(self, found: StableEvent) -> None:
        """A system event is passed."""
        state = self.states.get(found.event.origin)
        if state is not None:
            self._met.add(state.device)
            note_member(self._members, self.states, state, found.event.seq, decode_event(found.event.record))
            self._shown = {}

    def shown(self, origin: OriginId) -> str:
        """The name of an origin's device."""
        device = self.states[origin].device
        if device not in self._shown:
            self._met.add(device)
            self._shown = display_names(self._members, self._met)
        return self._shown[device]

    def catch_up(self, log: Log, states: dict[OriginId, OriginState], roster: Roster, after: StablePlace) -> None:
        """Note what was said up to a place, without reading all that lies before it."""
        self.states = states
        said = []
        for origin, seq, _ in log.system_events():
            row = log.event(EventId(origin, seq))
            place = None if row is None else roster.place(origin, seq, row.key)
            if row is not None and place is not None:
                late = row.key if place != row.key else b""
                said.append(StableEvent(StablePlace(place, late), row))
        for found in sorted(said):
            if found.place <= after:
                self.note(found)
