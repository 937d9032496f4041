"""What the group's history adds up to: agents, subscriptions, and the shared state of scripts.

Owns how a change is made from what is seen. Every read first brings the views up to date; every change is one event,
which other devices take in like any other.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

import msgspec

from hcom_replica.api.appending import append_drafts, wall_ms
from hcom_replica.api.body import from_object
from hcom_replica.api.progress import Progress
from hcom_replica.api.replica import Replica
from hcom_replica.api.times import iso_us
from hcom_replica.api.where import compile_where
from hcom_replica.core.crdt import agents, shared
from hcom_replica.core.crdt.agents import AgentRow
from hcom_replica.core.crdt.shared import Change
from hcom_replica.core.hlc import millis
from hcom_replica.errors import UsageError
from hcom_replica.ids import EventId
from hcom_replica.wire.event import Draft

SUBSCRIPTIONS: Final = "subscriptions"
"""The set of the shared state that holds what scripts of the group listen for."""

_TAG_BYTES: Final = 8


class Agent(msgspec.Struct, frozen=True):
    """One agent.

    Attributes:
        name: in full, `luna:BOXE`.
        agent: as its device writes it.
        device: its device's name.
        here: it is one of this device.
        status: the status it stated last; `stopped` once it has ended; null when it has stated none.
        since: when it did so; null for never.
        context: what the status is about; null for nothing.
        detail: the same.
    """

    name: str
    agent: str
    device: str
    here: bool
    status: str | None
    since: str | None
    context: str | None
    detail: str | None


class Shared(msgspec.Struct, frozen=True):
    """What the shared state holds under a name.

    Attributes:
        key: the name.
        value: of the register; null when it was never set, too.
        is_set: whether the register was ever set.
        members: of the set, sorted.
        count: of the counter; null when nothing was counted.
    """

    key: str
    value: Any
    is_set: bool
    members: list[str]
    count: int | None

    @property
    def is_known(self) -> bool:
        """Whether anything is there."""
        return self.is_set or bool(self.members) or self.count is not None


def list_agents(replica: Replica, progress: Progress | None = None) -> list[Agent]:
    """All agents that any device has told of, this device's first, then by name."""
    shown, own = replica.names.all(), replica.names.own
    with replica.log.views(_told(progress)) as rows:
        found = [
            _agent(name, replica.device if device == own else shown.get(device, device.hex()), row, here=device == own)
            for device, name, row in agents.agents(rows)
        ]
    return sorted(found, key=lambda one: (not one.here, one.agent, one.device))


def _agent(name: str, device: str, row: AgentRow, *, here: bool) -> Agent:
    said = row.life if row.is_gone else row.status
    if said is None:
        return Agent(f"{name}:{device}", name, device, here, None, None, None, None)
    time_us = millis(said.hlc) * 1_000 if said.time_us is None else said.time_us
    word = "stopped" if row.is_gone else said.word
    return Agent(
        f"{name}:{device}", name, device, here, word, iso_us(time_us), said.context or None, said.detail or None
    )


def read_state(replica: Replica, key: str) -> Shared:
    """What the shared state holds under a name.

    Raises:
        UsageError: it is no name.
    """
    _check_name(key)
    with replica.log.views() as rows:
        held = shared.value(rows, key)
        value = None if held is None else msgspec.json.decode(held.value)
        return Shared(key, value, held is not None, shared.members(rows, key), shared.count(rows, key))


def state_names(replica: Replica) -> dict[str, list[str]]:
    """`values`, `sets` and `counters` -> the names in use."""
    with replica.log.views() as rows:
        return shared.names(rows)


def set_value(replica: Replica, key: str, value: Any) -> EventId:
    """Set a register; of two values set at once, all devices keep the same one.

    Raises:
        UsageError: it is no name, or the value has no JSON form; nothing was appended.
    """
    _check_name(key)
    with replica.log.views() as rows:
        held = shared.value(rows, key)
    seen = 0 if held is None else held.stamp + 1
    stamp = min(max(seen, replica.log.high_water() + 1, wall_ms() << 16), shared.STAMP_MAX)
    return _append(replica, Change("set", key, _tag(), value=msgspec.Raw(from_object(value)), stamp=stamp))


def add_member(replica: Replica, key: str, item: str) -> EventId:
    """Add to a set; an addition that a removal did not see stands.

    Raises:
        UsageError: they are no name and no item; nothing was appended.
    """
    _check_name(key)
    _check_item(item)
    return _append(replica, Change("add", key, _tag(), item=item))


def remove_member(replica: Replica, key: str, item: str) -> EventId | None:
    """Remove from a set, as far as it is known here; None when it is not in it, and nothing was appended.

    Raises:
        UsageError: they are no name and no item; nothing was appended.
    """
    _check_name(key)
    _check_item(item)
    with replica.log.views() as rows:
        seen = shared.member(rows, key, item).live
    return _append(replica, Change("remove", key, _tag(), item=item, seen=seen)) if seen else None


def count_up(replica: Replica, key: str, by: int = 1) -> EventId:
    """Add to a counter; what all devices add is summed.

    Raises:
        UsageError: it is no name, or the number is too large; nothing was appended.
    """
    _check_name(key)
    if abs(by) > shared.AMOUNT_MAX:
        raise UsageError(f"a counter is changed by at most {shared.AMOUNT_MAX} at once")
    return _append(replica, Change("incr", key, _tag(), by=by))


def subscribe(replica: Replica, expression: str) -> EventId:
    """Tell the group that its scripts listen for events like these.

    Raises:
        UsageError: the expression cannot be read; nothing was appended.
    """
    compile_where(expression)
    return add_member(replica, SUBSCRIPTIONS, expression)


def _append(replica: Replica, change: Change) -> EventId:
    return append_drafts(replica.parts, [Draft(shared.KIND, None, None, msgspec.json.encode(change))])[0]


def _tag() -> str:
    return secrets.token_hex(_TAG_BYTES)


def _check_name(key: str) -> None:
    if not 0 < len(key.encode("utf-8", "surrogatepass")) <= shared.NAME_BYTES_MAX or not key.isprintable():
        raise UsageError(f"a name in the shared state is 1 to {shared.NAME_BYTES_MAX} bytes of printable text")


def _check_item(item: str) -> None:
    if not 0 < len(item.encode("utf-8", "surrogatepass")) <= shared.ITEM_BYTES_MAX or not item.isprintable():
        raise UsageError(f"a member of a set is 1 to {shared.ITEM_BYTES_MAX} bytes of printable text")


def _told(progress: Progress | None) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress("folded", done, total)
