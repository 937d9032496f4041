"""`devices`: who is in the group, retiring and renaming."""

from __future__ import annotations

from typing import Annotated

from hcom_replica.cli.options import Arg, Opt
from hcom_replica.cli.print import escape, json_line, line, note, table
from hcom_replica.cli.session import Session


def devices(
    session: Session,
    json: Annotated[bool, Opt("--json", help="print one object a line")] = False,
) -> int | None:
    """List the devices of the group, as the log has them."""
    from hcom_replica.api.devices import list_devices
    from hcom_replica.api.replica import Replica

    with Replica.in_folder(session.folder) as replica:
        rows = list_devices(replica)
    if json:
        for row in rows:
            json_line(row)
        return 0
    table(
        ("device", "id", "events", "incarnations", "last written", ""),
        [(row.device, row.id, row.events, len(row.origins), row.last_written, ", ".join(row.flags)) for row in rows],
    )
    for row in rows:
        if row.note:
            note(escape(f"{row.device}: {row.note}"))
    return 0


def retire(
    session: Session,
    name: Annotated[str, Arg("NAME", help="the device that will not come back")],
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Say that a device is gone: what nobody has of it is lost, not missing, and nobody waits for it any more."""
    from hcom_replica.api.devices import retire_device
    from hcom_replica.api.replica import Replica

    with Replica.in_folder(session.folder) as replica:
        last = retire_device(replica, name)
    if json:
        json_line({"device": name, "last": last})
    else:
        line(
            f"retired {escape(name)}; of its events count: "
            + ", ".join(f"{origin} up to {seq}" for origin, seq in last.items())
        )
    return 0


def rename(
    session: Session,
    name: Annotated[str, Arg("NAME", help="2 to 16 of A-Z 0-9 -")],
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Give this device another name, here and in the group."""
    from hcom_replica.api.control import wake
    from hcom_replica.api.replica import Replica

    with Replica.open(session.place.path, name=name) as replica:
        replica.introduce()
        wake(replica.folder)
        shown = replica.device
    if json:
        json_line({"device": shown})
    else:
        line(f"this device is {escape(shown)}")
    return 0
