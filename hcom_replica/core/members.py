"""Who belongs to the group, by the log: names, links between incarnations, devices that have left.

A pure fold over the system events in unified order, so that it is the same on every device that holds the same log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from hcom_replica.core.book import Book
from hcom_replica.core.hello import Hello, Link, Rename, Replace, Retire, Return, read_system
from hcom_replica.core.origin import OriginState
from hcom_replica.core.reader import LogReader
from hcom_replica.ids import ORIGIN_BYTES, EventId, OriginId
from hcom_replica.wire.event import Event
from hcom_replica.wire.names import name_of, suffix_of

SystemEvents = Sequence[tuple[OriginId, int, Event]]
"""(origin, seq, event), as `LogReader.system_events` gives them."""


class Members(msgspec.Struct, frozen=True):
    """The fold.

    Attributes:
        names: device id -> the name it last stated.
        retired: device id -> origin -> last seq that counts, for devices that have left.
        retirements: device id -> id of a `_retire` event that counts -> the last seqs that it states.
        answered: ids of those that count no more.
        replacing: device id -> the one whose place it asks to take.
        linked: origin -> (seq, c) that later incarnations of its device state to have held of it.
        book: what is said of epochs.
    """

    names: dict[bytes, str] = msgspec.field(default_factory=dict)
    retired: dict[bytes, dict[OriginId, int]] = msgspec.field(default_factory=dict)
    retirements: dict[bytes, dict[str, dict[str, int]]] = msgspec.field(default_factory=dict)
    answered: set[str] = msgspec.field(default_factory=set)
    linked: dict[OriginId, set[tuple[int, bytes]]] = msgspec.field(default_factory=dict)
    book: Book = msgspec.field(default_factory=Book)
    replacing: dict[bytes, bytes] = msgspec.field(default_factory=dict)

    def cap(self, origin: OriginId) -> int | None:
        """The last seq of an origin that counts, when its device has left; None when there is no such bound."""
        if not self.retired:
            return None
        caps = [last[origin] for last in self.retired.values() if origin in last]
        return max(caps) if caps else None


def read_members(log: LogReader) -> Members:
    """Fold all system events held."""
    return fold_members({state.id: state for state in log.origins()}, log.system_events())


def fold_members(states: Mapping[OriginId, OriginState], events: SystemEvents) -> Members:
    """Fold system events.

    Args:
        states: all origins held.
        events: all system events held, in unified order.
    """
    members = Members()
    for origin, seq, event in events:
        state = states.get(origin)
        if state is not None:
            note_member(members, states, state, seq, event)
    return members


def note_member(
    members: Members, states: Mapping[OriginId, OriginState], state: OriginState, seq: int, event: Event
) -> None:
    """Take down one more system event.

    Args:
        members: the fold of those before it.
        states: all origins held.
        state: of its origin.
        seq: its seq.
        event: itself.
    """
    stated, device = read_system(event.kind, event.body), state.device
    members.book.note(state, seq, stated, event.hlc)
    if isinstance(stated, Hello | Rename):
        members.names[device] = stated.name
    if isinstance(stated, Hello) and stated.link is not None and state.generation > 1:  # P2.2
        linked = OriginId(_hex(stated.link.origin))
        if linked not in states or states[linked].device == device:  # nobody speaks for the length of another's log
            _note_link(members, linked, stated.link)
    elif isinstance(stated, Retire):
        name = str(EventId(state.id, seq))
        if name not in members.answered:
            members.retirements.setdefault(_hex(stated.device), {})[name] = stated.last
            _judge_retired(members, _hex(stated.device))
    elif isinstance(stated, Return):
        _note_return(members, stated)
    elif isinstance(stated, Replace):
        members.replacing[device] = _hex(stated.device)


def display_names(members: Members, devices: Iterable[bytes]) -> dict[bytes, str]:
    """The name of each device as it is shown: while two live devices claim one name, both carry a suffix.

    Args:
        members: the fold.
        devices: ids of all devices to be named; those without a stated name get the one made from their id.
    """
    names = {device: members.names.get(device) or name_of(device) for device in devices}
    claims: dict[str, list[bytes]] = {}
    for device, name in names.items():
        if device not in members.retired:
            claims.setdefault(name, []).append(device)
    for name, claimants in claims.items():
        if len(claimants) > 1:
            names.update({device: f"{name}-{suffix_of(device)}" for device in claimants})
    return names


def newest_generation(states: Iterable[OriginState]) -> dict[bytes, int]:
    """Device id -> the generation of its newest incarnation."""
    newest: dict[bytes, int] = {}
    for state in states:
        newest[state.device] = max(newest.get(state.device, 0), state.generation)
    return newest


def _note_link(members: Members, linked: OriginId, link: Link) -> None:
    if len(linked) == ORIGIN_BYTES:
        members.linked.setdefault(linked, set()).add((link.seq, _hex(link.c)))


def _note_return(members: Members, stated: Return) -> None:
    """Take back what it answers; one that names nothing answers all that stands before it."""
    device = _hex(stated.device)
    counting = members.retirements.get(device, {})
    for name in stated.answers or list(counting):
        members.answered.add(name)
        counting.pop(name, None)
    _judge_retired(members, device)


def _judge_retired(members: Members, device: bytes) -> None:
    members.retired.pop(device, None)
    for stated in members.retirements.get(device, {}).values():
        last = members.retired.setdefault(device, {})
        for text, seq in stated.items():
            origin = OriginId(_hex(text))
            last[origin] = max(last.get(origin, 0), seq)


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
