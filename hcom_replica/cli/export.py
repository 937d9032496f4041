"""`export` and `import-bundle`: a sealed file of everything, or rows for other programs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from hcom_replica.cli.filters import warn_damaged
from hcom_replica.cli.options import Arg, Opt
from hcom_replica.cli.print import escape, json_line, line, note, warn
from hcom_replica.cli.progress import Progress
from hcom_replica.cli.session import Session

if TYPE_CHECKING:
    from hcom_replica.api.bundles import Exported
    from hcom_replica.api.exports.driver import RowsExported


def export(
    session: Session,
    file: Annotated[str, Arg("FILE", help="to be made; for parquet a folder")],
    form: Annotated[str, Opt("--format", metavar="FORMAT", help="bundle, sqlite, jsonl or parquet")] = "bundle",
    system: Annotated[bool, Opt("--system", help="also system events; a bundle has them anyway")] = False,
    force: Annotated[bool, Opt("--force", help="replace what is there")] = False,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Seal everything that this device holds into a file; or export what is new as rows, for other programs."""
    from hcom_replica.api.replica import Replica

    with Replica.in_folder(session.folder) as replica, Progress() as progress:
        if form == "bundle":
            from hcom_replica.api.bundles import export_bundle

            sealed = export_bundle(replica, Path(file), force=force, progress=progress)
            tell: Callable[[], None] = partial(_tell_sealed, file, sealed)
            done: Any = sealed
        else:
            from hcom_replica.api.exports.driver import export_rows

            rows = export_rows(replica, Path(file), form, system=system, force=force, progress=progress)
            tell, done = partial(_tell_rows, file, rows), rows
            warn_damaged(replica)
    if json:
        json_line(done)
    else:
        tell()
    return 0


def _tell_sealed(file: str, done: Exported) -> None:
    origins = f"{done.origins:,} origin{'s' if done.origins != 1 else ''}"
    line(f"sealed {done.events:,} events of {origins} into {escape(file)}, {done.size_bytes:,} bytes")
    note("whoever holds the group's join token can read it; no key and no token is in it")


def _tell_rows(file: str, done: RowsExported) -> None:
    line(f"exported {done.events:,} events into {escape(file)}, which has {done.total_events:,} now")
    if done.redacted_since:
        warn(f"{done.redacted_since:,} events were redacted since the last export; {file} may still have their bodies")
        note("hint: export it anew with --force")


def import_bundle(
    session: Session,
    file: Annotated[str, Arg("FILE|-", help="a bundle of this group; - reads stdin")],
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Store what a bundle holds and this device lacks, checked as if it had come from the network."""
    import sys

    from hcom_replica.api.bundles import import_bundle as take
    from hcom_replica.api.importing import open_file, spooled
    from hcom_replica.api.replica import Replica

    with (
        spooled(sys.stdin.buffer) if file == "-" else open_file(Path(file)) as source,
        Replica.in_folder(session.folder) as replica,
        Progress() as progress,
    ):
        done = take(replica, source, progress=progress)
    if json:
        json_line(done)
        return 0
    line(f"stored {done.stored_events:,} events, {done.held_events:,} were here already")
    line(f"made by {escape(done.device)}, {done.made_at or '-'}")
    if done.left_out_events:
        line(f"left out {done.left_out_events:,} events of revoked devices, written after they were shut out")
    for origin in done.forks:
        line(f"origin {origin} has two different histories; both are kept")
    for origin in done.not_placed:
        line(f"something of origin {origin} does not fit what is held here; the other devices will bring it")
    if done.incarnation:
        line(
            f"it held more of this device's own log than this folder, which writes under origin {done.incarnation} now"
        )
    return 0
