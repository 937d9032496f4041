"""`flush` and `wait`: is everything of ours safe elsewhere, is everything known here?"""

from __future__ import annotations

from typing import Annotated

from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import escape, json_line, line, note
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError


def flush(
    session: Session,
    timeout: Annotated[
        float | None, Opt("--timeout", metavar="S", help="give up after so many seconds, exit 1")
    ] = None,
    device: Annotated[str | None, Opt("--device", metavar="D", help="this device must have it")] = None,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Wait until everything written here is safe elsewhere. May I close the lid?"""
    from hcom_replica.api.replica import Replica

    _check(timeout)
    with Replica.in_folder(session.folder) as replica:
        done = replica.flush(timeout, device)
    if json:
        json_line({"safe": done.safe, "safe_in": done.safe_in, "reason": done.reason or None})
    elif done.safe:
        where = "another device has it" if done.safe_in == "device" else "the mailbox on the broker holds it"
        line(f"safe: {where}")
    else:
        note(f"not safe: {escape(done.reason)}")
    return 0 if done.safe else 1


def wait(
    session: Session,
    timeout: Annotated[
        float | None, Opt("--timeout", metavar="S", help="give up after so many seconds, exit 1")
    ] = None,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Wait until nothing known is missing here, judged only by what is heard from now on."""
    from hcom_replica.api.replica import Replica

    _check(timeout)
    with Replica.in_folder(session.folder) as replica:
        done = replica.wait(timeout)
    if json:
        json_line({"complete": done.complete, "missing_events": done.missing_events})
    elif done.complete:
        line("nothing known is missing here")
    else:
        note(f"{done.missing_events:,} events are missing here")
    return 0 if done.complete else 1


def _check(timeout: float | None) -> None:
    if timeout is not None and not 0 <= timeout <= 1e9:
        raise UsageError("--timeout takes 0 or more seconds")
