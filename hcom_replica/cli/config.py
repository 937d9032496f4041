"""`config`: every setting, its value, and where it comes from."""

from __future__ import annotations

from typing import Annotated

from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import escape, json_line, line, note, table
from hcom_replica.cli.session import Session


def config(
    session: Session,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Show every setting, its value and where it comes from. Edit config.toml to change one."""
    from hcom_replica.api.settings import effective

    shown = effective(session.folder)
    if json:
        values = [
            {"key": name, "value": value, "source": source, "meaning": meaning}
            for name, value, source, meaning in shown
        ]
        json_line({"folder": str(session.place.path), "folder_source": session.place.source, "values": values})
        return 0
    table(("key", "value", "source"), [(name, _text(value), source) for name, value, source, _ in shown])
    line()
    line(escape(f"folder  {session.place.path} ({session.place.source})"))
    note(f"edit {escape(str(session.folder.config))} to change one; the meaning of each: hcom-replica config --json")
    return 0


def _text(value: object) -> str | None:
    if isinstance(value, tuple):
        return ", ".join(value) or None
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
