"""`list`, `state` and `subscriptions`: what the group's history adds up to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from hcom_replica.cli.options import Arg, Opt
from hcom_replica.cli.print import escape, json_line, line, note, table
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError

if TYPE_CHECKING:
    from hcom_replica.ids import EventId

_DOING_CHARS: Final = 60

Json = Annotated[bool, Opt("--json", help="print JSON")]
Key = Annotated[str, Arg("KEY", help="a name in the shared state")]
Item = Annotated[str, Arg("ITEM", help="a member of the set")]
Expression = Annotated[str, Arg("EXPR", help="""like 'kind == "status" and data.status == "blocked"'""")]


def list_(
    session: Session,
    json: Annotated[bool, Opt("--json", help="print one object a line")] = False,
) -> int | None:
    """List the agents of all devices, and what each is doing."""
    from hcom_replica.api.replica import Replica
    from hcom_replica.api.summary import shortened
    from hcom_replica.api.views import list_agents
    from hcom_replica.cli.progress import Progress

    with Replica.in_folder(session.folder) as replica, Progress() as progress:
        rows = list_agents(replica, progress)
    if json:
        for row in rows:
            json_line(row)
        return 0
    table(
        ("agent", "status", "since", "doing"),
        [
            (
                row.agent if row.here else row.name,
                row.status,
                row.since,
                shortened(" ".join(part for part in (row.context, row.detail) if part), _DOING_CHARS),
            )
            for row in rows
        ],
    )
    return 0


def state(session: Session, json: Json = False) -> int | None:
    """List the names in the shared state."""
    from hcom_replica.api.replica import Replica
    from hcom_replica.api.views import state_names

    with Replica.in_folder(session.folder) as replica:
        names = state_names(replica)
    if json:
        json_line(names)
        return 0
    one = {"values": "value", "sets": "set", "counters": "counter"}
    table(("key", "kind"), [(name, one[kind]) for kind, found in names.items() for name in found])
    return 0


def get(session: Session, key: Key, json: Json = False) -> int | None:
    """Print a value, the members of a set, or a counter. Exit status 1 when there is none of that name."""
    import msgspec

    from hcom_replica.api.replica import Replica
    from hcom_replica.api.views import read_state

    with Replica.in_folder(session.folder) as replica:
        found = read_state(replica, key)
    if json:
        json_line(found)
    else:
        if found.is_set:
            line(escape(msgspec.json.encode(found.value).decode()))
        for item in found.members:
            line(escape(item))
        if found.count is not None:
            line(str(found.count))
        if not found.is_known:
            note(escape(f"nothing is called {key}"))
    return 0 if found.is_known else 1


def set_(
    session: Session,
    key: Key,
    value: Annotated[str, Arg("VALUE", help="JSON; what is none is taken as text")],
    json: Json = False,
) -> int | None:
    """Set a value; of two set at once all devices keep the same one."""
    from contextlib import suppress
    from typing import Any

    import msgspec

    from hcom_replica.api.replica import Replica
    from hcom_replica.api.views import set_value

    parsed: Any = value
    with suppress(msgspec.DecodeError):
        parsed = msgspec.json.decode(value)
    with Replica.in_folder(session.folder) as replica:
        return _said(set_value(replica, key, parsed), json=json)


def add(session: Session, key: Key, item: Item, json: Json = False) -> int | None:
    """Add to a set; an addition that a removal did not see stands."""
    from hcom_replica.api.replica import Replica
    from hcom_replica.api.views import add_member

    with Replica.in_folder(session.folder) as replica:
        return _said(add_member(replica, key, item), json=json)


def remove(session: Session, key: Key, item: Item, json: Json = False) -> int | None:
    """Remove from a set. Exit status 1 when it is not in it, as far as it is known here."""
    from hcom_replica.api.replica import Replica
    from hcom_replica.api.views import remove_member

    with Replica.in_folder(session.folder) as replica:
        return _said(remove_member(replica, key, item), json=json)


def incr(
    session: Session,
    key: Key,
    by: Annotated[str, Opt("--by", metavar="N", help="how much; below zero counts down")] = "1",
    json: Json = False,
) -> int | None:
    """Add to a counter; what all devices add is summed."""
    from hcom_replica.api.replica import Replica
    from hcom_replica.api.views import count_up

    if not by.lstrip("-").isdecimal() or len(by) > 17:
        raise UsageError(f"--by takes a whole number, not {by!r}")
    with Replica.in_folder(session.folder) as replica:
        return _said(count_up(replica, key, int(by)), json=json)


def subscriptions(session: Session, json: Json = False) -> int | None:
    """List what scripts of the group listen for: the set `subscriptions` of the shared state."""
    from hcom_replica.api.replica import Replica
    from hcom_replica.api.views import SUBSCRIPTIONS, read_state

    with Replica.in_folder(session.folder) as replica:
        found = read_state(replica, SUBSCRIPTIONS).members
    if json:
        json_line({"subscriptions": found})
    else:
        for expression in found:
            line(escape(expression))
    return 0


def subscribe(session: Session, expression: Expression, json: Json = False) -> int | None:
    """Tell the group what a script listens for, as an expression like that of `events --where`."""
    from hcom_replica.api.replica import Replica
    from hcom_replica.api.views import subscribe as begin

    with Replica.in_folder(session.folder) as replica:
        return _said(begin(replica, expression), json=json)


def unsubscribe(session: Session, expression: Expression, json: Json = False) -> int | None:
    """Take that back. Exit status 1 when nobody listens for it, as far as it is known here."""
    from hcom_replica.api.replica import Replica
    from hcom_replica.api.views import SUBSCRIPTIONS, remove_member

    with Replica.in_folder(session.folder) as replica:
        return _said(remove_member(replica, SUBSCRIPTIONS, expression), json=json)


def _said(event: EventId | None, *, json: bool) -> int:
    if json:
        json_line({"id": None if event is None else str(event)})
    elif event is not None:
        line(str(event))
    else:
        note("it is not there")
    return 1 if event is None else 0
