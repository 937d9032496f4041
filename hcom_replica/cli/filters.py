"""The filters of events, as every command declares them that reads events."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import note, warn

if TYPE_CHECKING:
    from hcom_replica.api.names import Names
    from hcom_replica.api.replica import Replica

_LISTED: Final = 5

Kinds = Annotated[list[str], Opt("--kind", metavar="KIND", help="of this kind; may be repeated")]
Agents = Annotated[list[str], Opt("--agent", metavar="AGENT", help="luna, or luna:BOXE; may be repeated")]
Devices = Annotated[list[str], Opt("--device", metavar="NAME", help="written by it; may be repeated")]
Since = Annotated[str | None, Opt("--since", metavar="WHEN", help="from then on: ISO time, 10m, 2h, event id")]
Until = Annotated[str | None, Opt("--until", metavar="WHEN", help="up to then, included")]
ClaimedSince = Annotated[str | None, Opt("--claimed-since", metavar="WHEN", help="as --since, of the time shown")]
ClaimedUntil = Annotated[str | None, Opt("--claimed-until", metavar="WHEN", help="as --until, of the time shown")]
Grep = Annotated[str | None, Opt("--grep", metavar="TEXT", help="with this text in kind, agent or data")]
Where = Annotated[str | None, Opt("--where", metavar="EXPR", help="""like 'data.status == "blocked"'""")]
Stable = Annotated[bool, Opt("--stable", help="only what is final: the same bytes on every device, now and later")]
System = Annotated[bool, Opt("--system", help="also system events")]


def warn_unknown(devices: Iterable[str], names: Names) -> None:
    """Say which of the devices that were asked for are not known here."""
    for name in devices:
        if not names.known(name):
            warn(f"no device {name} is known here yet")


def warn_nothing_final(replica: Replica) -> None:
    """Say why the stable stream is empty, if it is."""
    if replica.stable_frontier().key is None:
        note("nothing is final here yet: a member that is online has to let this device in")


def warn_damaged(replica: Replica) -> None:
    """Say which events could not be read, if any; all others were."""
    if replica.damaged:
        listed = ", ".join(str(name) for name in islice(replica.damaged, _LISTED))
        more = f" and {len(replica.damaged) - _LISTED:,} more" if len(replica.damaged) > _LISTED else ""
        warn(f"damaged on this disk and left out: {listed}{more}; the disk may be failing")
