"""The filters of events, as every command declares them that reads events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import warn

if TYPE_CHECKING:
    from hcom_replica.api.names import Names

Kinds = Annotated[list[str], Opt("--kind", metavar="KIND", help="of this kind; may be repeated")]
Agents = Annotated[list[str], Opt("--agent", metavar="AGENT", help="luna, or luna:BOXE; may be repeated")]
Devices = Annotated[list[str], Opt("--device", metavar="NAME", help="written by it; may be repeated")]
Since = Annotated[str | None, Opt("--since", metavar="WHEN", help="from then on: ISO time, 10m, 2h, event id")]
Until = Annotated[str | None, Opt("--until", metavar="WHEN", help="up to then, included")]
ClaimedSince = Annotated[str | None, Opt("--claimed-since", metavar="WHEN", help="as --since, of the time shown")]
ClaimedUntil = Annotated[str | None, Opt("--claimed-until", metavar="WHEN", help="as --until, of the time shown")]
Grep = Annotated[str | None, Opt("--grep", metavar="TEXT", help="with this text in kind, agent or data")]
Where = Annotated[str | None, Opt("--where", metavar="EXPR", help="""like 'data.status == "blocked"'""")]
System = Annotated[bool, Opt("--system", help="also system events")]


def warn_unknown(devices: Iterable[str], names: Names) -> None:
    """Say which of the devices that were asked for are not known here."""
    for name in devices:
        if not names.known(name):
            warn(f"no device {name} is known here yet")
