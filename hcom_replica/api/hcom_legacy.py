"""Joining a group of hcom's own relay, for machines that run only hcom; leaving it; and how that stands.

Owns the order of these steps: `legacy.json` is removed only after our devices were taken off the peers' broker and the
log says so. Cut short anywhere, the same command finishes it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import msgspec

from hcom_replica.api import bridge_daemon
from hcom_replica.api.control import ask, reload
from hcom_replica.bridge.filed import encode_file
from hcom_replica.bridge.legacy.settings import LegacySettings, decode_legacy
from hcom_replica.bridge.token import decode_token
from hcom_replica.daemon.client import DaemonClient
from hcom_replica.daemon.messages import DaemonInfo, LegacyInfo
from hcom_replica.errors import BridgeError, BrokerError, ConfigError
from hcom_replica.folder.config import load_config
from hcom_replica.folder.files import read_bytes, read_password, replace
from hcom_replica.folder.paths import Folder
from hcom_replica.transport.url import parse_broker_url

CONNECT_S: Final = 8.0
LEAVE_MS: Final = 20_000
FORCED_MS: Final = 3_000
_LOOK_S: Final = 0.05


class LegacyPeerRow(msgspec.Struct, frozen=True):
    """A machine that runs only hcom.

    Attributes:
        device: its name in our group.
        here: it is there.
        agents: of it.
    """

    device: str
    here: bool
    agents: list[str]


class LegacyStatus(msgspec.Struct, frozen=True):
    """How a group of hcom's own relay that was joined stands.

    Attributes:
        broker: URL.
        connected: the daemon is connected to it.
        carries: this device is the one that carries between the groups.
        carrier: name of the device that does; null when none is known to.
        peers: machines of that group.
        waiting_events: what they were not given yet, at most.
        dropped_messages: that were malformed.
    """

    broker: str
    connected: bool = False
    carries: bool = False
    carrier: str | None = None
    peers: list[LegacyPeerRow] = []
    waiting_events: int = 0
    dropped_messages: int = 0


def join(folder: Folder, token: str, password_file: str | None = None) -> None:
    """Join a group of hcom's own relay.

    Args:
        folder: the data folder; its daemon is started.
        token: as `hcom relay token` prints it.
        password_file: its first line is the broker's password; None for a broker that asks for none.

    Raises:
        TokenError: it is no token of hcom's, or an old one.
        BridgeError: another such group was joined already.
        ConfigError: a file cannot be read or written; or the folder is in no group of ours.
        DaemonError: the daemon does not start.
    """
    said = decode_token(token)
    address = parse_broker_url(said.broker)
    before = _stored(folder)
    if before is not None and (before.relay_id, before.key) != (said.relay_id, said.key.hex()):
        raise BridgeError(
            f"this device has joined a group of hcom's already, at {before.broker}",
            hint="hcom-replica bridge hcom --leave leaves it",
        )
    password = ""
    if password_file is not None:
        password = read_password(Path(os.path.expanduser(password_file)))  # noqa: PTH111 - as every path is read
    ca_file = load_config(folder.config).ca_file
    settings = LegacySettings(said.relay_id, said.key.hex(), address.url, password, str(ca_file or ""))
    folder.make()
    replace(folder.legacy, encode_file(settings))
    bridge_daemon.start(folder)
    _wait(folder)


def leave(folder: Folder, *, force: bool = False) -> None:
    """Take our devices off the peers' broker, and leave. The log keeps what it has.

    Args:
        folder: the data folder; its daemon is started when none runs.
        force: leave even when the broker does not answer: there, our devices are shown until they count as gone.

    Raises:
        BridgeError: no such group was joined.
        BrokerError: the broker does not answer; nothing was changed.
    """
    if _stored(folder) is None:
        raise BridgeError("this device has joined no group of hcom's", hint="hcom-replica bridge hcom --join TOKEN")
    bridge_daemon.start(folder)
    client = DaemonClient(folder.root)
    left = client.request("leave", bool, timeout_s=None, timeout_ms=FORCED_MS if force else LEAVE_MS)
    if not left and not force:
        raise BrokerError(
            "the broker of hcom's group does not answer: our devices are still shown there",
            hint="try again later, or leave all the same: --leave --force",
        )
    folder.legacy.unlink(missing_ok=True)
    reload(folder)


def legacy_status(folder: Folder, info: DaemonInfo | None, problems: list[str]) -> LegacyStatus | None:
    """Tell how it stands; what is wrong is put to `problems`. None when no such group was joined."""
    try:
        settings = _stored(folder)
    except ConfigError as error:
        problems.append(f"{error.message} ({error.hint})")
        return None
    if settings is None:
        return None
    legacy = None if info is None else info.legacy
    if legacy is None:
        problems.append("machines with hcom only are not connected: no daemon runs (hcom-replica relay daemon start)")
        return LegacyStatus(settings.broker)
    if not legacy.connected:
        problems.append(_why(legacy))
    rows = [LegacyPeerRow(peer.name, peer.here, peer.agents) for peer in legacy.peers]
    return LegacyStatus(
        settings.broker,
        legacy.connected,
        legacy.carries,
        legacy.carrier or None,
        rows,
        legacy.waiting_events,
        legacy.dropped,
    )


def _why(legacy: LegacyInfo) -> str:
    told = f"hcom's group at {legacy.broker} is not connected"
    why = f": {legacy.trouble}" if legacy.trouble else ""
    return told + why + (f" ({legacy.hint})" if legacy.hint else "")


def _stored(folder: Folder) -> LegacySettings | None:
    data = read_bytes(folder.legacy)
    return None if data is None else decode_legacy(data, str(folder.legacy))


def _wait(folder: Folder) -> None:
    """Wait until it is connected, or why it cannot be is known."""
    deadline = time.monotonic() + CONNECT_S
    while time.monotonic() < deadline:
        _, info = ask(folder)
        legacy = None if info is None else info.legacy
        if legacy is not None and (legacy.carries or legacy.trouble or (legacy.connected and legacy.carrier)):
            return
        time.sleep(_LOOK_S)
