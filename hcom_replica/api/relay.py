"""The relay commands: group, broker and daemon, brought together in the right order.

Owns the order: first the broker is asked whether it takes us, then the folder is changed, then the daemon is started.
So a mistyped broker or password changes nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from hcom_replica.api import groups
from hcom_replica.api.access import Access, Tried, changes_of, credentials_of, first_reachable
from hcom_replica.api.control import Control, ask
from hcom_replica.api.keyepochs import NewKey, change_key, current_token, membership_of
from hcom_replica.api.opening import open_parts
from hcom_replica.api.replica import Replica
from hcom_replica.core.status import BrokerStatus, DaemonStatus
from hcom_replica.daemon import process
from hcom_replica.daemon.client import DaemonClient
from hcom_replica.daemon.session import broker_settings
from hcom_replica.errors import BrokerError, ConfigError, TokenError
from hcom_replica.folder import keys
from hcom_replica.folder.config import load_config
from hcom_replica.folder.config_edit import change_config
from hcom_replica.folder.paths import Folder
from hcom_replica.transport.url import DEFAULT_BROKERS, BrokerAddress, parse_broker_url
from hcom_replica.wire.token import JoinToken, decode_token

_ANSWER_POLL_S: Final = 0.05
_NO_GROUP_HINT: Final = "hcom-replica relay new makes a group, relay connect TOKEN joins one"
_OLD: Final = "hcom-replica relay token, on a device that is a member, shows the one that counts"


@dataclass(frozen=True, slots=True)
class Made:
    """A group that was made. The token is not in the repr: it is as good as a private key."""

    token: str = field(repr=False)
    group: str
    device: str
    broker: str
    pid: int


class Joined(msgspec.Struct, frozen=True):
    """A group that was joined.

    Attributes:
        device: this device's name.
        group: 32 hex digits.
        broker: the one that answered.
        answered: whether anything of another member has been heard.
        peers: other devices known.
        reappended_events: written here before, under the folder's own group, and appended to the new one.
        pid: the daemon's.
    """

    device: str
    group: str
    broker: str
    answered: bool
    peers: int
    reappended_events: int
    pid: int


class PeerRow(msgspec.Struct, frozen=True):
    """Another device: its name, whether it is online (None: unknown), when it was last heard."""

    device: str
    online: bool | None
    last_seen: str | None


class RelayStatus(msgspec.Struct, frozen=True):
    """Whether this device syncs, and with whom; what is unknown is None."""

    enabled: bool
    device: str | None
    group: str | None
    broker: BrokerStatus | None
    daemon: DaemonStatus
    peers: list[PeerRow]


_NOT_SET_UP: Final = RelayStatus(
    enabled=False, device=None, group=None, broker=None, daemon=DaemonStatus(running=False, pid=None), peers=[]
)


def new_group(folder: Folder, access: Access, *, tried: Tried) -> Made:
    """Make a group on the first broker that answers, and start syncing.

    Raises:
        ConfigError: the folder has a group already, or an argument is not usable; nothing was changed.
        BrokerError: no broker answers; nothing was changed.
    """
    groups.refuse_second_group(folder)
    candidates = (parse_broker_url(access.broker),) if access.broker else DEFAULT_BROKERS
    changes = changes_of(folder, access)
    address = first_reachable(candidates, credentials_of(folder, changes), tried)
    folder.make()
    change_config(folder.config, {**changes, "relay.broker": address.url, "relay.enabled": True})
    token = groups.name_brokers(folder, (address.url,))
    device, pid = _start(folder)
    return Made(token.encode(), token.keys.group.hex(), device, address.url, pid)


def connect_group(folder: Folder, text: str, access: Access, *, timeout_s: float) -> Joined:
    """Join a group and start syncing.

    Args:
        folder: need not exist.
        text: the join token.
        access: as said.
        timeout_s: how long to wait for a sign of another member.

    Raises:
        TokenError: what is wrong with the token; nothing was changed.
        ConfigError: the folder belongs to another group, or an argument is not usable; nothing was changed.
        BrokerError: no broker answers; nothing was changed.
    """
    token = decode_token(text)
    groups.refuse_second_group(folder, token)
    candidates = _named_brokers(access, token)
    changes = changes_of(folder, access)
    address = first_reachable(candidates, credentials_of(folder, changes), lambda _why: None)
    if access.broker:
        changes["relay.broker"] = address.url
        token = token if token.brokers else JoinToken(token.keys, (address.url,), token.founder)
    elif _has_moved(folder, token):
        changes["relay.broker"] = address.url
    _refuse_old_token(folder, token)
    folder.make()
    process.stop(folder)
    moved = groups.join(folder, token)
    change_config(folder.config, {**changes, "relay.enabled": True})
    device, pid = _start(folder)
    peers = _await_member(folder, timeout_s)
    _refuse_shut_out(folder, token)
    return Joined(device, token.keys.group.hex(), address.url, peers > 0, peers, moved, pid)


def turn_on(folder: Folder) -> int:
    """Sync from now on; return the daemon's process id.

    Raises:
        ConfigError: the folder has no group to sync with; nothing was changed.
        DaemonError: the daemon did not come up.
    """
    need_group(folder)
    change_config(folder.config, {"relay.enabled": True})
    pid, _ = ask(folder)
    if pid is None:
        return _start(folder)[1]
    DaemonClient(folder.root).request("reload", bool)
    return pid


def turn_off(folder: Folder, *, everyone: bool) -> None:
    """Stop syncing; everything is kept.

    Args:
        folder: its paths.
        everyone: first ask every device that hears it to stop, too.

    Raises:
        ConfigError: the folder has no group.
        DaemonError: everyone is to be asked, and no daemon runs here; nothing was changed.
        BrokerError: everyone is to be asked, and there is no connection; nothing was changed.
    """
    need_group(folder)
    if everyone:
        with open_parts(folder) as parts:
            Control(parts).ask_off()
    change_config(folder.config, {"relay.enabled": False})
    process.stop(folder)


def forget_group(folder: Folder, *, force: bool) -> Path | None:
    """Leave the group: clear our slots on the broker, stop, put the log aside; return where it is kept.

    Args:
        folder: its paths.
        force: leave even if the broker cannot be told.

    Raises:
        ConfigError: the folder has no group; or it is in use by another command, and only syncing has stopped.
        BrokerError: the broker cannot be told; nothing was changed.
    """
    need_group(folder)
    try:
        with open_parts(folder) as parts:
            Control(parts).forget()
    except BrokerError as error:
        if not force:
            hint = f"{error.hint}; or --force, which leaves without clearing what the broker keeps of this device"
            raise BrokerError(error.message, hint=hint) from None
    process.stop(folder)
    kept = groups.leave(folder)
    change_config(folder.config, {"relay.broker": None, "relay.enabled": None})
    return kept


def join_token(folder: Folder) -> str:
    """The token with which others join.

    Raises:
        ConfigError: the folder has no group that others could join.
    """
    need_group(folder)
    with open_parts(folder) as parts:
        return current_token(parts).encode()


def change_group_key(folder: Folder, revoked: str | None = None) -> NewKey:
    """Begin a new key epoch, without the device called `revoked` if one is named.

    Raises:
        ConfigError: the folder has no group.
        UsageError: see `keyepochs.change_key`; nothing was changed.
    """
    need_group(folder)
    with Replica.in_folder(folder) as replica:
        return change_key(replica, revoked)


def relay_status(folder: Folder) -> RelayStatus:
    """Whether this device syncs, and with whom. Makes nothing."""
    config = load_config(folder.config)
    token = keys.group_token(folder)
    if token is None or not token.brokers:
        return _NOT_SET_UP
    with Replica.in_folder(folder) as replica:
        now = replica.status()
    peers: dict[str, PeerRow] = {}
    for row in now.devices:
        if row.device != now.device and "superseded" not in row.flags:
            peers[row.device] = PeerRow(row.device, row.online, row.last_seen)
    return RelayStatus(config.enabled, now.device, now.group, now.broker, now.daemon, list(peers.values()))


def need_group(folder: Folder) -> JoinToken:
    """The folder's group, if it is one that others could join.

    Raises:
        ConfigError: it has none.
    """
    token = keys.group_token(folder)
    if token is None or not token.brokers:
        raise ConfigError("this folder has no group to sync with yet", hint=_NO_GROUP_HINT)
    return token


def _has_moved(folder: Folder, token: JoinToken) -> bool:
    """Whether a token of the folder's own group names another broker than the folder does."""
    held = keys.group_token(folder)
    return held is not None and held.keys.group == token.keys.group and held.brokers not in ((), token.brokers)


def _named_brokers(access: Access, token: JoinToken) -> tuple[BrokerAddress, ...]:
    if access.broker:
        return (parse_broker_url(access.broker),)
    if not token.brokers:
        raise ConfigError("the token names no broker", hint="name it with --broker")
    return tuple(parse_broker_url(url) for url in token.brokers)


def _refuse_old_token(folder: Folder, token: JoinToken) -> None:
    """A token of an epoch that this very folder knows to be over.

    Raises:
        TokenError: it is one; nothing was changed.
    """
    held = keys.group_token(folder)
    if held is None or held.keys.group != token.keys.group or not folder.log.exists():
        return
    with open_parts(folder) as parts:
        current = membership_of(parts).current
    if current.epoch > token.keys.epoch:
        raise TokenError(f"the token is of key epoch {token.keys.epoch}, the group is in {current.epoch}", hint=_OLD)


def _refuse_shut_out(folder: Folder, token: JoinToken) -> None:
    """What a member has told the daemon that was just started.

    Raises:
        TokenError: the group has another key by now; the daemon is stopped.
    """
    info = ask(folder)[1]
    if info is not None and info.live.shut_out:
        process.stop(folder)
        change_config(folder.config, {"relay.enabled": False})
        raise TokenError(f"the token is of key epoch {token.keys.epoch}, and the group's key was changed", hint=_OLD)


def _start(folder: Folder) -> tuple[str, int]:
    """Introduce this device in its log, start the daemon anew; return the device's name and the daemon's process id."""
    process.stop(folder)
    with Replica.in_folder(folder) as replica:
        broker_settings(replica.config, replica.parts.token)
        replica.introduce()
        device = replica.device
    return device, process.start(folder)


def _await_member(folder: Folder, timeout_s: float) -> int:
    """Wait for a sign of another member; return how many other devices are known."""
    deadline = time.monotonic() + timeout_s
    with Replica.in_folder(folder) as replica:
        while True:
            info = ask(folder)[1]
            known = {row.device for row in replica.status().devices if row.device != replica.device}
            if known or (info is not None and info.live.shut_out) or time.monotonic() >= deadline:
                return len(known)
            time.sleep(_ANSWER_POLL_S)
