"""`redact`: taking the body of an own event away, on every device."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from hcom_replica.cli.options import Arg, Opt
from hcom_replica.cli.print import escape, json_line, line, note
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError
from hcom_replica.ids import EventId, parse_event_id

if TYPE_CHECKING:
    from hcom_replica.api.replica import Replica

_SHOWN_BYTES = 200


def redact(
    session: Session,
    event: Annotated[str, Arg("EVENT", help="id of an event that this device wrote, as events --json prints it")],
    yes: Annotated[bool, Opt("--yes", help="do not ask")] = False,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Take the body of an event away for good, here and on every device that syncs. What was read stays read."""
    from hcom_replica.api.replica import Replica

    name = parse_event_id(event)
    with Replica.in_folder(session.folder) as replica:
        if replica.log.is_to_redact(name) and not yes and not _confirmed(replica, name):
            note("nothing was changed")
            return 1
        said = replica.redact(name)
    if json:
        json_line({"id": str(name), "already": said is None, "event": None if said is None else str(said)})
    elif said is None:
        line(f"{name} had been redacted already")
    else:
        line(f"redacted {name}; event {said} tells the other devices")
        note("what was read before cannot be unread: if it was a secret, change it")
    return 0


def _confirmed(replica: Replica, name: EventId) -> bool:
    """Show the event and ask; no transaction is open meanwhile."""
    if not sys.stdin.isatty():
        raise UsageError("redact asks before it takes a body away, and nobody is there to answer", hint="add --yes")
    shown = replica.event(name)
    if shown is not None:
        body = escape(shown.body[:_SHOWN_BYTES].decode("utf-8", "backslashreplace"))
        note(f"{shown.time or '-'}  {escape(shown.name or '-')}  {escape(shown.kind)}  {body}")
    sys.stderr.write("redact it on every device, for good? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
