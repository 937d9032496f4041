"""The devices of the group, as the log has them, and the event that retires one."""

from __future__ import annotations

import msgspec

from hcom_replica.api.appending import wall_ms
from hcom_replica.api.control import wake
from hcom_replica.api.incarnations import story
from hcom_replica.api.keyepochs import membership_of
from hcom_replica.api.replica import Replica
from hcom_replica.api.times import iso_ms
from hcom_replica.core.hello import RETIRE, Retire, system_draft
from hcom_replica.core.hlc import millis
from hcom_replica.core.incarnations import Incarnation, read_incarnations
from hcom_replica.core.members import read_members
from hcom_replica.core.origin import OriginState
from hcom_replica.errors import UsageError
from hcom_replica.wire.signing import device_id


class IncarnationRow(msgspec.Struct, frozen=True):
    """One incarnation of a device.

    Attributes:
        origin: 16 hex digits.
        began: hlc time of its first event.
        reason: why it was begun, as the device says: first, rolled back, copied, forked ...
        fetched_back_events: events of the incarnation before it that came back after it was begun.
    """

    origin: str
    began: str | None
    reason: str
    fetched_back_events: int


class DeviceRow(msgspec.Struct, frozen=True):
    """One device.

    Attributes:
        device: its name, as it is shown.
        id: 16 hex digits that stand for it in all its incarnations.
        origins: its incarnations, oldest first.
        events: held here, system events left out.
        last_written: hlc time of its newest event held here; None when there is none.
        flags: `this`, `retired`, `revoked`, `not admitted`, `name claimed twice`, `forked`, `asks to replace NAME`.
        incarnations: why each was begun, oldest first; those whose first event is held here.
        note: what happened to its folder when the newest was begun, for people; empty for nothing of note.
    """

    device: str
    id: str
    origins: list[str]
    events: int
    last_written: str | None
    flags: list[str]
    incarnations: list[IncarnationRow]
    note: str


def list_devices(replica: Replica) -> list[DeviceRow]:
    """All devices known here, by name."""
    by_device = _states(replica)
    members, begun = read_members(replica.log), _incarnations(replica)
    membership = membership_of(replica.parts)
    revoked = {device_id(key) for key in membership.revoked}
    strangers = {device_id(key) for key in membership.unadmitted()} if any(replica.parts.token.founder) else set()
    rows = []
    for device, shown in replica.names.all().items():
        states = by_device.get(device, [])
        name = replica.device if device == replica.names.own else shown
        flags = ["this"] if device == replica.names.own else []
        flags += ["retired"] if device in members.retired else []
        flags += ["revoked"] if device in revoked else []
        flags += ["not admitted"] if device in strangers else []
        flags += ["name claimed twice"] if members.names.get(device, shown) != shown else []
        asked = members.replacing.get(device, b"")
        waits = asked in replica.names.all() and asked not in members.retired
        flags += [f"asks to replace {replica.names.all()[asked]}"] if waits else []
        flags += ["forked"] if any(state.forks for state in states) else []
        newest = max((state.hlc for state in states), default=0)
        rows.append(
            DeviceRow(
                name,
                device.hex(),
                [state.id.hex() for state in states],
                sum(state.seq - state.base - state.system for state in states),
                iso_ms(millis(newest)) if newest else None,
                flags,
                [_row(one) for one in begun.get(device, [])],
                story(begun[device][-1], "its folder") if device in begun else "",
            )
        )
    return sorted(rows, key=lambda row: (row.device, row.id))


def retire_device(replica: Replica, name: str) -> dict[str, int]:
    """Append the event that retires a device; return the last seq that counts of each of its origins.

    Raises:
        UsageError: no device, or more than one, is called so, or it is this one; nothing was appended.
    """
    device = replica.names.find(name)
    if device == replica.names.own:
        raise UsageError(
            "this device cannot retire itself", hint="run it on another device; relay forget leaves the group"
        )
    last = {state.id.hex(): state.seq for state in _states(replica).get(device, [])}
    replica.log.append([system_draft(RETIRE, Retire(device.hex(), last))], wall_ms())
    replica.names.refresh()
    wake(replica.folder)
    return last


def _incarnations(replica: Replica) -> dict[bytes, list[Incarnation]]:
    found: dict[bytes, list[Incarnation]] = {}
    for one in read_incarnations(replica.log):
        found.setdefault(one.state.device, []).append(one)
    return found


def _row(one: Incarnation) -> IncarnationRow:
    return IncarnationRow(one.state.id.hex(), iso_ms(millis(one.hlc)), one.reason, one.fetched_events)


def _states(replica: Replica) -> dict[bytes, list[OriginState]]:
    found: dict[bytes, list[OriginState]] = {}
    for state in sorted(replica.log.origins(), key=lambda state: state.generation):
        found.setdefault(state.device, []).append(state)
    return found
