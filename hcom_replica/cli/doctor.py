"""`doctor`: what this broker, store, clock and hcom can and cannot do."""

from __future__ import annotations

from typing import Annotated, Final

from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import escape, flush, json_line, line, paint
from hcom_replica.cli.session import Session

_COLOURS: Final = {"ok": "green", "note": "dim", "warning": "yellow", "problem": "red"}


def doctor(
    session: Session,
    json: Annotated[bool, Opt("--json", help="print one object a line")] = False,
) -> int | None:
    """Look at folder, settings, store, clock, daemon, broker and hcom; exit 1 when something does not work."""
    from hcom_replica.api.checkup import examine

    worst = 0
    for found in examine(session.folder):
        worst = max(worst, int(found.state == "problem"))
        if json:
            json_line(found)
        else:
            state = paint(found.state.ljust(7), _COLOURS[found.state])
            hint = f" ({found.hint})" if found.hint else ""
            line(f"{state}  {found.check.ljust(7)}  {escape(found.text + hint)}")
        flush()
    return worst
