"""Setting the bridge to hcom up, looking at it, and taking it down.

Owns the order of these steps: `bridge.json`, which keeps hcom's own relay settings, is on disk before these change,
and is removed only after they were put back. Cut short anywhere, the same command finishes it.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar
from uuid import uuid4

import msgspec

from hcom_replica.api import bridge_daemon
from hcom_replica.api.control import ask, reload
from hcom_replica.api.hcom_legacy import LegacyStatus, legacy_status
from hcom_replica.api.hcom_program import NEWEST, HcomProgram
from hcom_replica.api.opening import name_and_source
from hcom_replica.api.replica import Replica
from hcom_replica.bridge.database import KNOWN_VERSIONS
from hcom_replica.bridge.filed import encode_file
from hcom_replica.bridge.relay_config import in_a_group, pointed
from hcom_replica.bridge.settings import BridgeSettings, decode_settings
from hcom_replica.bridge.token import fingerprint
from hcom_replica.daemon.client import DaemonClient
from hcom_replica.daemon.messages import BridgeInfo
from hcom_replica.errors import BridgeError, ReplicaError
from hcom_replica.folder import keys
from hcom_replica.folder.config import load_config
from hcom_replica.folder.config_edit import change_config
from hcom_replica.folder.files import read_bytes, replace
from hcom_replica.folder.paths import Folder

T = TypeVar("T")

WORKER_S: Final = 15.0
_UNTRIED: Final = "this hcom is newer than what was tried: what is known of its database is read"
_LOOK_S: Final = 0.05


class BridgeStatus(msgspec.Struct, frozen=True):
    """How the bridge to hcom stands.

    Attributes:
        set_up: this folder has a bridge.
        device: name of this device in the group.
        hcom_dir: hcom's folder.
        hcom_version: of the program; None when it cannot be asked.
        database_version: of its database; None when it cannot be read.
        hcom_device: the letters by which hcom shows this device; None before its relay ran.
        endpoint: URL that hcom connects to.
        key: what `hcom relay status` shows as Key.
        relay_points_here: hcom's relay settings lead to the endpoint.
        daemon: a daemon runs on this folder, and bridges.
        worker: hcom's relay worker is connected to it.
        waiting_events: arrivals that hcom was not given yet.
        under_way_events: given to hcom, and not seen in its database yet.
        refused_connections: to the endpoint, turned away or cut off.
        notes: what is worth knowing.
        problems: what is wrong, for people, each with what to do.
        legacy: the group of hcom's own relay that was joined, for machines that run only hcom; null when none was.
    """

    set_up: bool
    device: str
    hcom_dir: str
    hcom_version: str | None = None
    database_version: int | None = None
    hcom_device: str | None = None
    endpoint: str | None = None
    key: str | None = None
    relay_points_here: bool = False
    daemon: bool = False
    worker: bool = False
    waiting_events: int = 0
    under_way_events: int = 0
    refused_connections: int = 0
    notes: list[str] = []
    problems: list[str] = []
    legacy: LegacyStatus | None = None


def set_up(folder: Folder, hcom_dir: str | None, *, force: bool = False) -> BridgeStatus:
    """Connect an hcom to this folder's log: point its relay at an endpoint of the daemon, and start both.

    Args:
        folder: the data folder; its daemon is started.
        hcom_dir: see `HcomProgram`.
        force: also when hcom's relay is in a group of its own; `take_down` puts it back.

    Raises:
        BridgeError: hcom is missing, too old, not known, or in a group; nothing was changed.
        ConfigError: a file cannot be written.
        DaemonError: the daemon does not start.
    """
    program = HcomProgram(hcom_dir, os.environ)
    program.version()
    program.call("relay", "status")  # a new hcom makes its database and settings by that
    program.database_version()
    before = _stored(folder)
    relay = program.relay()
    ours = before is not None and relay.get("id") == before.relay_id
    if in_a_group(relay) and not ours and not force:
        raise BridgeError(
            f"hcom's relay is in a group of its own, at {relay.get('url') or 'a public broker'}",
            hint="--force puts the bridge in its place; bridge hcom --remove puts the group back",
        )
    settings = _settings(folder, program, before if ours else None, relay)
    folder.make()
    replace(folder.bridge, encode_file(settings))
    program.set_relay(pointed(settings))
    bridge_daemon.start(folder)
    with suppress(BridgeError):  # the daemon tries again; what is wrong is in the status
        program.call("relay", "daemon", "restart")
    _wait_for_worker(folder)
    _take_name(folder, program)
    return look(folder, hcom_dir)


def look(folder: Folder, hcom_dir: str | None = None) -> BridgeStatus:
    """Tell how the bridge stands; also with no daemon."""
    settings = _stored(folder)
    program = HcomProgram(settings.hcom_dir if settings is not None else hcom_dir, os.environ)
    problems: list[str] = []
    version = _tried(lambda: ".".join(map(str, program.version())), problems)
    database = _tried(program.database_version, problems)
    letters = _tried(program.letters, []) if database is not None else None
    notes = [_UNTRIED] if _is_untried(version, database) else []
    _, info = ask(folder)
    if settings is None:
        apart: list[str] = []
        return BridgeStatus(
            set_up=False,
            device=_name(folder),
            hcom_dir=str(program.folder),
            hcom_version=version,
            notes=notes,
            legacy=legacy_status(folder, info, apart),
            problems=apart,
        )
    relay = _tried(program.relay, problems)
    points = relay is not None and relay.get("id") == settings.relay_id and in_a_group(relay)
    if relay is not None and not points:
        problems.append("hcom's relay does not lead here any more (bridge hcom --setup points it here again)")
    bridge = info.bridge if info is not None else None
    problems += _daemon_problems(bridge, running=info is not None)
    return BridgeStatus(
        set_up=True,
        device=_name(folder),
        hcom_dir=settings.hcom_dir,
        hcom_version=version,
        database_version=database,
        hcom_device=letters,
        endpoint=settings.url,
        key=fingerprint(settings.key_bytes),
        relay_points_here=points,
        daemon=bridge is not None,
        worker=bridge is not None and bridge.worker,
        waiting_events=bridge.waiting_events if bridge is not None else 0,
        under_way_events=bridge.under_way_events if bridge is not None else 0,
        refused_connections=bridge.refused if bridge is not None else 0,
        notes=notes,
        legacy=legacy_status(folder, info, problems),
        problems=problems,
    )


def take_down(folder: Folder) -> BridgeStatus:
    """Put hcom's own relay settings back, and bridge no more. The log keeps what it has; so does hcom.

    Raises:
        BridgeError: there is no bridge.
        ConfigError: hcom's settings cannot be written; the bridge stands.
    """
    settings = _stored(folder)
    if settings is None:
        raise BridgeError("this folder has no bridge", hint="hcom-replica bridge hcom --setup makes one")
    program = HcomProgram(settings.hcom_dir, os.environ)
    if program.relay().get("id") == settings.relay_id:
        program.set_relay(settings.before)
        with suppress(BridgeError):
            program.call("relay", "daemon", "restart" if in_a_group(settings.before) else "stop")
    folder.bridge.unlink(missing_ok=True)
    reload(folder)
    return look(folder, settings.hcom_dir)


def refill(folder: Folder) -> BridgeStatus:
    """Give hcom again whatever of the log it does not have, after `hcom reset` has emptied it.

    Raises:
        BridgeError: there is no bridge, or no daemon that bridges.
    """
    settings = _stored(folder)
    pid, _ = ask(folder)
    if settings is None or pid is None or not DaemonClient(folder.root).request("refill", bool):
        raise BridgeError("no daemon bridges this folder", hint="hcom-replica bridge hcom --setup")
    return look(folder)


def found_unbridged(folder: Folder) -> bool:
    """Whether there is an hcom here, and no bridge to it yet: then it is worth telling of the bridge."""
    program = HcomProgram(None, os.environ)
    return program.path is not None and program.folder.is_dir() and not folder.bridge.exists()


def _is_untried(version: str | None, database: int | None) -> bool:
    """Whether this hcom is newer than any that was tried."""
    newer = version is not None and tuple(map(int, version.split("."))) > NEWEST
    return newer or (database is not None and database not in KNOWN_VERSIONS)


# --- the steps ---------------------------------------------------------------------------------------------


def _stored(folder: Folder) -> BridgeSettings | None:
    data = read_bytes(folder.bridge)
    return None if data is None else decode_settings(data, str(folder.bridge))


def _settings(
    folder: Folder, program: HcomProgram, before: BridgeSettings | None, relay: dict[str, Any]
) -> BridgeSettings:
    """The settings of before, on a port that is free; or new ones, which keep hcom's own."""
    place, path = str(program.folder), program.need()
    if before is not None:
        port = before.port if _is_ours(folder, before.port) or _is_free(before.port) else _free_port()
        return msgspec.structs.replace(before, hcom_dir=place, program=path, port=port)
    return BridgeSettings(
        place, path, _free_port(), str(uuid4()), secrets.token_hex(32), secrets.token_urlsafe(24), relay
    )


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def _is_ours(folder: Folder, port: int) -> bool:
    """Whether this folder's daemon listens on a port."""
    _, info = ask(folder)
    return info is not None and info.bridge is not None and not info.bridge.trouble and info.bridge.port == port


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _wait_for_worker(folder: Folder) -> None:
    deadline = time.monotonic() + WORKER_S
    while time.monotonic() < deadline:
        _, info = ask(folder)
        if info is not None and info.bridge is not None and (info.bridge.worker or info.bridge.trouble):
            return
        time.sleep(_LOOK_S)


def _take_name(folder: Folder, program: HcomProgram) -> None:
    """Call this device as hcom does, unless somebody has named it."""
    letters = program.letters()
    _, source = name_and_source(folder, load_config(folder.config), keys.device_key(folder))
    if letters is None or not source.startswith("made"):
        return
    change_config(folder.config, {"device.name": letters})
    with Replica.in_folder(folder) as replica:
        replica.introduce()


def _name(folder: Folder) -> str:
    """The name that this device has, or will have, in the group."""
    if not folder.device_key.exists():
        return ""
    return name_and_source(folder, load_config(folder.config), keys.device_key(folder))[0]


def _daemon_problems(bridge: BridgeInfo | None, *, running: bool) -> list[str]:
    if not running:
        return ["no daemon runs: hcom is not connected (hcom-replica relay daemon start)"]
    if bridge is None:
        return ["the daemon does not bridge (hcom-replica relay daemon restart)"]
    if bridge.trouble:
        return [f"{bridge.trouble} ({bridge.hint})" if bridge.hint else bridge.trouble]
    if not bridge.worker:
        return ["hcom's relay worker is not connected (hcom relay daemon restart)"]
    return []


def _tried(action: Callable[[], T], problems: list[str]) -> T | None:
    try:
        return action()
    except ReplicaError as error:
        problems.append(f"{error.message} ({error.hint})" if error.hint else error.message)
        return None
