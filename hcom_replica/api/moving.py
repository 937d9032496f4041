"""`relay move`: the whole group to another broker (protocol-v1 section 16).

Owns the order: first the new broker shows that it takes and delivers messages, then the move goes into the log, then
this device says so at the present broker and goes. What a person says about credentials counts only after that: the
present broker has other ones.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from hcom_replica.api.access import Access, changes_of, credentials_of
from hcom_replica.api.appending import wall_ms
from hcom_replica.api.control import Control, reload, wake
from hcom_replica.api.keyepochs import current_token, membership_of
from hcom_replica.api.relay import need_group
from hcom_replica.api.replica import Replica
from hcom_replica.core.moves import move_draft, present_move
from hcom_replica.daemon.moving import settle
from hcom_replica.errors import BrokerError, DaemonError
from hcom_replica.folder.config import Value, load_config
from hcom_replica.folder.config_edit import change_config
from hcom_replica.folder.paths import Folder
from hcom_replica.transport.canary import probe
from hcom_replica.transport.url import BrokerAddress, parse_broker_url


class Moved(msgspec.Struct, frozen=True):
    """How a move went.

    Attributes:
        broker: where the group meets now.
        moved: False when it met there already: only this device's settings have changed.
        told: whether the broker before was told, so that the others find their way from there.
        token: with which others join, or follow.
    """

    broker: str
    moved: bool
    told: bool
    token: str


def move_group(folder: Folder, url: str, access: Access) -> Moved:
    """Move the group to another broker.

    Args:
        folder: its paths.
        url: of the new broker.
        access: this device's credentials there; without a user name those it has.

    Raises:
        ConfigError: the folder has no group, or an argument is not usable; nothing was changed.
        UsageError: this device may not move the group; nothing was changed.
        BrokerError: the new broker does not answer, or syncing is off; nothing was changed.
    """
    need_group(folder)
    address, changes = parse_broker_url(url), changes_of(folder, access)
    changes["relay.credentials_for"] = None
    if not load_config(folder.config).enabled:
        raise BrokerError("syncing is off", hint="hcom-replica relay on")
    with Replica.in_folder(folder) as replica:
        probe(address, credentials_of(folder, changes), prefix=replica.config.topic_path or "hr")
        moved = _say(replica, address)
        told = Control(replica.parts).move() if moved else True
    if not told:
        settle(folder, address.url)
    _change(folder, changes)
    with Replica.in_folder(folder) as replica:
        return Moved(address.url, moved, told, current_token(replica.parts).encode())


def _say(replica: Replica, address: BrokerAddress) -> bool:
    """Append the move; False when the group meets there already."""
    replica.introduce()
    membership, place = membership_of(replica.parts), replica.parts.token.brokers
    before = present_move(membership)
    meets_at = place if before is None else (before.broker,)
    if meets_at == (address.url,):
        return place != meets_at
    replica.log.append([move_draft(membership, address.url)], wall_ms())
    wake(replica.folder)
    return True


def _change(folder: Folder, changes: dict[str, Value]) -> None:
    """Change the settings, and have a running daemon read them."""
    change_config(folder.config, changes)
    with suppress(DaemonError):  # it has ended meanwhile
        reload(folder)
