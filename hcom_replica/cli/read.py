"""`events`: the log, filtered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

from hcom_replica.api.event import Event
from hcom_replica.cli.filters import (
    Agents,
    ClaimedSince,
    ClaimedUntil,
    Devices,
    Grep,
    Kinds,
    Since,
    Stable,
    System,
    Until,
    Where,
    warn_damaged,
    warn_nothing_final,
    warn_unknown,
)
from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import escape, flush, line, paint, raw
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError

if TYPE_CHECKING:
    from hcom_replica.api.filters import Query
    from hcom_replica.api.replica import Order, Replica


def events(
    session: Session,
    kind: Kinds = (),  # type: ignore[assignment]
    agent: Agents = (),  # type: ignore[assignment]
    device: Devices = (),  # type: ignore[assignment]
    since: Since = None,
    until: Until = None,
    claimed_since: ClaimedSince = None,
    claimed_until: ClaimedUntil = None,
    grep: Grep = None,
    where: Where = None,
    newest: Annotated[str, Opt("-n", "--newest", metavar="N", help="the newest N, or all")] = "20",
    follow: Annotated[bool, Opt("--follow", "-f", help="go on with what arrives")] = False,
    cursor: Annotated[
        str | None, Opt("--cursor", metavar="NAME", help="with --follow: go on where a follower of this name stopped")
    ] = None,
    as_of: Annotated[
        str | None, Opt("--as-of", metavar="WHEN", help="what had arrived here by then, or before an event id came")
    ] = None,
    order: Annotated[str, Opt("--order", metavar="ORDER", help="canonical or arrival")] = "canonical",
    stable: Stable = False,
    system: System = False,
    json: Annotated[bool, Opt("--json", help="print one object a line")] = False,
) -> int | None:
    """Print the newest events, oldest first."""
    from hcom_replica.api.filters import Query
    from hcom_replica.api.replica import Replica

    limit = _limit(newest)
    query = Query(kind, agent, device, since, until, claimed_since, claimed_until, grep, where, system)
    if cursor is not None and not follow:
        raise UsageError("--cursor goes with --follow")
    if stable and (cursor is not None or as_of is not None or order != "canonical"):
        raise UsageError("--stable has an order of its own", hint="leave out --order, --cursor and --as-of")
    if as_of is not None and follow:
        raise UsageError("--as-of shows what was, and --follow what comes: give one of them")
    with Replica.in_folder(session.folder) as replica:
        warn_unknown(device, replica.names)
        if stable:
            _final(replica, query, limit, follow=follow, json=json)
            return 0
        printer = _Printer(None if json else replica.device, order=_order(order))
        begin: int | None = None
        seen: set[object] = set()
        if cursor is None:
            begin = replica.log.last_arrival()
            seen = printer.page(replica.find(query, order=printer.order, newest=limit, as_of=as_of), keep=follow)
            flush()
            warn_damaged(replica)
        if follow:
            for event in replica.follow(cursor, after=begin, query=query):
                if event.id not in seen:
                    printer.one(event)
                    flush()
    return 0


def _final(replica: Replica, query: Query, limit: int | None, *, follow: bool, json: bool) -> None:
    """Print the newest of what is final, then what becomes so."""
    from collections import deque

    from hcom_replica.api.final import FinalReader

    warn_nothing_final(replica)
    printer = _Printer(None if json else "", order="canonical")
    reader = FinalReader(replica, query)
    printer.page(reader.read() if limit is None else deque(reader.read(), limit), keep=False)
    flush()
    if follow:
        for event in reader.follow():
            printer.one(event)
            flush()


class _Printer:
    """Prints events; as JSON when no own device is given.

    Args:
        own: this device's name, whose agents are printed without it, "" for none; None prints JSON.
        order: arrival prints how events came here, too.
    """

    def __init__(self, own: str | None, *, order: Order) -> None:
        self._own = own
        self.order: Order = order
        self._widths = (4, 4)

    def page(self, events: Iterable[Event], *, keep: bool) -> set[object]:
        """Print events; return their ids if they are to be kept."""
        seen: set[object] = set()
        for chunk in _chunks(iter(events)):
            names = [self._name(event) for event in chunk] if self._own is not None else []
            if names:
                self._widths = (
                    max(self._widths[0], *map(len, names)),
                    max(self._widths[1], *(len(escape(e.kind)) for e in chunk)),
                )
            for event in chunk:
                self.one(event)
                if keep:
                    seen.add(event.id)
        return seen

    def one(self, event: Event) -> None:
        """Print one event."""
        if self._own is None:
            raw(event.json(arrival=self.order == "arrival"))
            return
        name, kind = self._name(event).ljust(self._widths[0]), escape(event.kind).ljust(self._widths[1])
        body = "(redacted)" if event.redacted else escape(event.body.decode("utf-8", "backslashreplace"))
        arrival = event.arrival if self.order == "arrival" else None
        came_late = event.late or (arrival is not None and arrival.late)
        late = paint("late", "yellow") + "  " if came_late else ""
        number = f"{arrival.number:>8}  " if arrival is not None else ""
        line(f"{number}{event.time or '-':<24}  {paint(name, 'bold')}  {kind}  {late}{body}")

    def _name(self, event: Event) -> str:
        if event.agent is None:
            return escape(f":{event.device}") if event.device != self._own else "-"
        return escape(event.agent if event.device == self._own else f"{event.agent}:{event.device}")


def _chunks(events: Iterator[Event]) -> Iterator[list[Event]]:
    from itertools import islice

    while chunk := list(islice(events, 500)):
        yield chunk


def _limit(newest: str) -> int | None:
    if newest == "all":
        return None
    if not newest.isascii() or not newest.isdigit():
        raise UsageError(f"-n takes a number or all, not {newest!r}")
    return int(newest)


def _order(order: str) -> Order:
    if order == "canonical":
        return "canonical"
    if order == "arrival":
        return "arrival"
    raise UsageError(f"no order {order!r}", hint="--order canonical, the same on every device, or --order arrival")
