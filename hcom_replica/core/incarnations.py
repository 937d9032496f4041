"""Why a device began each of its incarnations, by the log: what a person is told of restored and copied folders.

A pure fold over the hellos held. On the wire reasons are free text (protocol-v1 3.6); those known here get a sentence.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hcom_replica.core.continuity import COPIED, ROLLED_BACK
from hcom_replica.core.hello import Hello, read_system
from hcom_replica.core.origin import OriginState
from hcom_replica.core.reader import LogReader
from hcom_replica.ids import ORIGIN_BYTES, OriginId

_RESTORED: Final = "was restored from an older copy"
_TWICE: Final = "was restored from an older copy, or a copy of it is in use"

_STORIES: Final = {
    ROLLED_BACK: _RESTORED,
    COPIED: "is a copy of another, or was moved to another disk",
    "forked": "was written on in two copies; both branches are kept",
    "rolled back or cloned": _TWICE,
    "the broker holds more of our log than we do": _TWICE,
    "our slot was written by somebody else": _TWICE,
    "a later incarnation of this device exists": _TWICE,
}
"""What happened to the folder of the device that gave this reason."""

_FETCHES: Final = frozenset(_STORIES) - {COPIED, "forked"}


class Incarnation(NamedTuple):
    """One incarnation of a device.

    Attributes:
        state: what is held of it.
        reason: why it was begun, as its hello says.
        hlc: of its hello.
        linked: the incarnation before it, and the seq that was held of that; None for a device's first.
        fetched_events: events behind that seq that have come back since, system events left out.
    """

    state: OriginState
    reason: str
    hlc: int
    linked: tuple[OriginId, int] | None
    fetched_events: int

    @property
    def story(self) -> str:
        """What happened to its device's folder, as a clause without its subject; empty for nothing of note."""
        return _STORIES.get(self.reason, "")


def read_incarnations(log: LogReader) -> list[Incarnation]:
    """All incarnations whose hello is held, by generation, then by hlc."""
    states = {state.id: state for state in log.origins()}
    system = log.system_events()
    found = []
    for origin, seq, event in system:
        stated = read_system(event.kind, event.body)
        if seq == 1 and isinstance(stated, Hello) and origin in states:
            linked = _linked(stated)
            fetched = 0
            if linked is not None and stated.reason in _FETCHES and linked[0] in states:
                before = states[linked[0]]
                hidden = sum(1 for name, number, _ in system if name == before.id and number > linked[1])
                fetched = max(0, before.seq - linked[1] - hidden)
            found.append(Incarnation(states[origin], stated.reason, event.hlc, linked, fetched))
    return sorted(found, key=lambda one: (one.state.generation, one.hlc))


def _linked(hello: Hello) -> tuple[OriginId, int] | None:
    if hello.link is None:
        return None
    try:
        origin = bytes.fromhex(hello.link.origin)
    except ValueError:
        return None
    return (OriginId(origin), hello.link.seq) if len(origin) == ORIGIN_BYTES else None
