"""`relay connect --name BOXE --replace`: taking over the name of a device that is gone.

Owns the request. It changes nothing by itself: another member confirms it by retiring the old device, and from then on
the name is this device's alone. So whoever has the token cannot take a name in silence.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from hcom_replica.api.appending import wall_ms
from hcom_replica.api.control import wake
from hcom_replica.api.names import Names
from hcom_replica.core.hello import REPLACE, Replace, system_draft
from hcom_replica.core.members import Members, read_members
from hcom_replica.core.reader import LogReader
from hcom_replica.folder.paths import Folder

if TYPE_CHECKING:
    from hcom_replica.api.replica import Replica

_POLL_S: Final = 0.05


class Namesake(NamedTuple):
    """Another device that claims this one's name, as it is shown, and what confirms that it is gone."""

    device: str
    confirm: str


def confirmation(shown: str, device: bytes) -> str:
    """The command that retires a device; by its id where its name could mean something to a shell."""
    safe = shown.isascii() and shown.replace("-", "").isalnum() and not shown.startswith("-")
    return f"hcom-replica devices retire {shown if safe else device.hex()}"


def ask_to_replace(folder: Folder, *, timeout_s: float) -> list[Namesake]:
    """Ask the other members to retire the device that has this one's name.

    Args:
        folder: of a device that has joined.
        timeout_s: how long to wait until one is heard of.

    Returns:
        Nobody when none is known (it may have been retired already); one that was asked for; or several, of which a
        person has to say which is gone: then nothing was asked.

    Raises:
        StoreError: nothing was appended.
    """
    deadline = time.monotonic() + timeout_s
    from hcom_replica.api.replica import Replica  # noqa: PLC0415 - `status` only asks who waits

    with Replica.in_folder(folder) as replica:
        while not (found := list(_namesakes(replica))) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        if len(found) == 1 and read_members(replica.log).replacing.get(replica.names.own) != found[0]:
            replica.log.append([system_draft(REPLACE, Replace(found[0].hex()))], wall_ms())
            wake(folder)
        replica.names.refresh()
        shown = replica.names.all()
        return [Namesake(shown[device], confirmation(shown[device], device)) for device in found]


def requests(log: LogReader, own_key: bytes) -> list[str]:
    """What is asked of members and not confirmed yet, a sentence each; this device's own request, too."""
    names = Names(log, own_key)
    shown = names.all()
    asked = [pair for pair in _open(read_members(log)) if {*pair} <= {*shown}]
    return [
        f"this device takes the place of {shown[old]} once another member confirms it: {confirmation(shown[old], old)}"
        if asker == names.own
        else f"{shown[asker]} asks to take the place of {shown[old]}; if that one is gone, confirm it: "
        + confirmation(shown[old], old)
        for asker, old in asked
    ]


def _open(members: Members) -> Iterator[tuple[bytes, bytes]]:
    """(who asks, who is to be retired) of the requests that nobody has confirmed."""
    for asker, old in members.replacing.items():
        if asker != old and not {asker, old} & {*members.retired}:
            yield asker, old


def _namesakes(replica: Replica) -> Iterator[bytes]:
    """Other devices that claim the name of this one and were not retired."""
    members, own = read_members(replica.log), replica.names.own
    for device, name in members.names.items():
        if device != own and name == replica.parts.name and device not in members.retired:
            yield device
