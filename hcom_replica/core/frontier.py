"""The stable frontier: how far this device knows that nothing can come any more (protocol-v1 section 13).

What stands below it, in the stable order, is final and the same on every device. How far it has come differs from
device to device; what stands below it does not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from hcom_replica.core.origin import OriginState
from hcom_replica.core.roster import Closing, Roster
from hcom_replica.ids import OriginId, order_key

States = Mapping[OriginId, OriginState]
Promises = Mapping[OriginId, int]

_NOBODY: Final = OriginId(bytes(8))
_HLC_MAX: Final = (1 << 64) - 1
_EVERYTHING: Final = b"\xff" * 16


class Frontier(NamedTuple):
    """How far the stable order has come here.

    Attributes:
        key: what has its place below this is stable: 16 bytes, hlc || origin; None while this device is not let in.
        held_by: the origin that holds it back; None where `key` is None and the founder's log is lacked.
    """

    key: bytes | None
    held_by: OriginId | None

    @property
    def hlc(self) -> int | None:
        """The hlc up to which, included, everything is stable; None for none."""
        return None if self.key is None else max(0, int.from_bytes(self.key[:8], "big") - 1)


def find_frontier(roster: Roster, states: States, promises: Promises, own: OriginId | None) -> Frontier:
    """Find it (P13.5).

    Args:
        roster: by the log.
        states: all origins held.
        promises: origin -> nothing of it behind what is held has an hlc at or below that; an origin that is not named
            has promised nothing beyond its newest event.
        own: the origin that this device writes.
    """
    if own is None or own not in roster.entries or own in roster.closed:
        return Frontier(None, roster.root)
    key, held_by = _EVERYTHING, own
    for origin, entry in sorted(roster.entries.items(), key=lambda item: item[1]):
        if entry >= key:
            break
        reached = max(entry, _reached(roster, states, promises, own, origin))
        if reached < key:
            key, held_by = reached, _holder(roster, origin)
    for origin, lines in roster.late.items():
        for place, upto in lines:
            if place < key and not _is_held(states, origin, upto):
                key, held_by = place, origin
    return Frontier(key, held_by)


def _reached(roster: Roster, states: States, promises: Promises, own: OriginId, origin: OriginId) -> bytes:
    """The place below which an origin is known to be complete."""
    state, closings = states.get(origin), roster.closings.get(origin, {})
    if origin in roster.closed and _is_held(states, origin, roster.closed[origin]):
        return _EVERYTHING
    said = 0 if state is None else max(state.hlc, promises.get(origin, 0))
    if closings:
        is_open = origin not in roster.closed
        heeded = roster.surely_heeded(origin, own) if is_open and own in closings else roster.heeded(origin)
        stated = _as_closed(states, origin, heeded)
        frozen = is_open and (own in closings or own not in roster.needed(origin))
        said = stated if frozen else max(said, stated)
    return order_key(min(said + 1, _HLC_MAX), _NOBODY)


def _as_closed(states: States, origin: OriginId, closings: Collection[Closing]) -> int:
    """What may be believed of an origin that is being closed: no more than who has closed it said (P13.4)."""
    state = states.get(origin)
    if state is None:
        return 0
    said = max((one.promise for one in closings if _is_held(states, origin, one.seq)), default=0)
    return max(said, state.hlc) if state.seq <= max((one.seq for one in closings), default=0) else said


def _is_held(states: States, origin: OriginId, seq: int) -> bool:
    """Whether an origin is held up to a seq, be it under the name that a fork has moved that to."""
    state = states.get(origin)
    if state is None:
        return not seq
    if state.seq >= seq:
        return True
    history = (state.key, state.incarnation)
    return any(one.forks and (one.key, one.incarnation) == history and one.seq >= seq for one in states.values())


def _holder(roster: Roster, origin: OriginId) -> OriginId:
    """Whom an incomplete origin waits for: itself, or whoever has to close it and has not."""
    if origin not in roster.closings or origin in roster.closed:
        return origin
    missing = roster.needed(origin) - roster.closings[origin].keys() - {origin}
    return min(missing, default=origin)
