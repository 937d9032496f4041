"""What this broker, store, clock and hcom can and cannot do: the checks of `doctor`.

Owns one function a check; each looks without changing anything, answers within seconds, and says what to do. A check
that fails never keeps the next one from running.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Final, Literal

import msgspec

from hcom_replica.api.hcom_bridge import look
from hcom_replica.api.incarnations import own_story
from hcom_replica.api.opening import name_and_source
from hcom_replica.api.replica import Replica
from hcom_replica.core.continuity import ROLLED_BACK
from hcom_replica.daemon.session import broker_settings
from hcom_replica.errors import ReplicaError
from hcom_replica.folder import keys
from hcom_replica.folder.access import warnings
from hcom_replica.folder.config import load_config
from hcom_replica.folder.paths import Folder
from hcom_replica.limits import MESSAGE_BYTES_MAX, MIB
from hcom_replica.ports import Capabilities
from hcom_replica.store.continuity import Finding as Continuity
from hcom_replica.transport.canary import probe, reachable
from hcom_replica.transport.url import BrokerAddress, Credentials

State = Literal["ok", "note", "warning", "problem"]
_FREE_BYTES_MIN: Final = 256 * MIB
_PROBE_S: Final = 8.0
_NO_MARKER_HINT: Final = (
    "a backup written into the same files is noticed at the next contact only; see HCOM_REPLICA_STATE"
)


class Finding(msgspec.Struct, frozen=True):
    """One line of `doctor`.

    Attributes:
        check: what was looked at.
        state: ok; note (fine, and worth knowing); warning (works, with less); problem (does not work).
        text: what was found.
        hint: what to do; empty when there is nothing to do.
    """

    check: str
    state: State
    text: str
    hint: str = ""


def examine(folder: Folder) -> Iterator[Finding]:
    """Run all checks, one after the other."""
    for name, check in _CHECKS.items():
        try:
            yield from check(folder)
        except ReplicaError as error:
            yield Finding(name, "problem", error.message, error.hint)


def _folder(folder: Folder) -> Iterator[Finding]:
    if not folder.exists():
        yield Finding("folder", "note", f"{folder.root} is not there yet", "the first emit, or relay new, makes it")
        return
    found = warnings(folder)
    for warning in found:
        yield Finding("folder", "warning", warning)
    if not found:
        yield Finding("folder", "ok", f"{folder.root}, for its user alone")


def _config(folder: Folder) -> Iterator[Finding]:
    config = load_config(folder.config)
    changed = sum(setting.source != "default" for setting in config.settings.values())
    yield Finding("config", "ok", f"{changed} settings differ from the default")


def _device(folder: Folder) -> Iterator[Finding]:
    if not folder.device_key.exists():
        return
    name, source = name_and_source(folder, load_config(folder.config), keys.device_key(folder))
    with Replica.in_folder(folder) as replica:
        shown = replica.device
    if shown != name and replica.names.own_stated == name:
        yield Finding(
            "device", "warning", f"{shown}: another live device is called {name}, too", "devices rename, on one of them"
        )
    else:
        yield Finding("device", "ok", f"{shown} ({source})")


def _store(folder: Folder) -> Iterator[Finding]:
    if not folder.device_key.exists():
        return
    with Replica.in_folder(folder) as replica:
        events, durable = replica.log.event_count(), replica.log.durable
    yield Finding("store", "ok", f"{events:,} events")
    yield from _continuity(folder)
    if not durable:
        yield Finding(
            "store", "warning", "log.sync is off: a power cut may lose the newest events", "set [log] sync = true"
        )
    free = shutil.disk_usage(folder.root).free
    if free < _FREE_BYTES_MIN:
        yield Finding(
            "store",
            "warning",
            f"only {free // MIB:,} MiB are free on this disk",
            "make room: a full disk refuses appends",
        )


def _continuity(folder: Folder) -> Iterator[Finding]:
    """Whether this log is the newest that was written here, and what happened when it was not."""
    with Replica.in_folder(folder) as replica:
        found, (told, _), durable = replica.log.continuity(), own_story(replica.log), replica.log.durable
    if told:
        yield Finding("store", "note", told)
    if found is None:
        return
    if found.doubt is not None:
        yield Finding(
            "store",
            "warning",
            f"this folder {_what_happened(found, durable=durable)}; nothing was written to it since",
            "nothing to do: the next event begins a new incarnation, and what is missing is fetched back",
        )
    elif found.trouble:
        yield Finding("store", "note", f"no continuity marker is kept: {found.trouble}", _NO_MARKER_HINT)


def _what_happened(found: Continuity, *, durable: bool) -> str:
    doubt, mark, here = found.doubt, found.mark, found.here
    if doubt is None or doubt.reason != ROLLED_BACK:
        return "is a copy of another, or was moved to another disk"
    if mark is not None and mark.boot != here.boot and not durable:
        return "lost its newest events when the machine stopped (log.sync is off), or was restored from an older copy"
    elsewhere = mark is not None and mark.machine != here.machine
    return "was restored from an older copy" + (", which was written to on another machine" if elsewhere else "")


def _clock(folder: Folder) -> Iterator[Finding]:
    if not folder.device_key.exists():
        return
    with Replica.in_folder(folder) as replica:
        now = replica.status()
    off = [warning for warning in now.warnings if "clock" in warning]
    for warning in off:
        yield Finding("clock", "warning", warning, "set the clock; nothing is lost meanwhile, only the order suffers")
    for row in now.devices:
        if "drifting" in row.flags:
            yield Finding("clock", "note", f"{row.device} ({row.origin[:8]}) wrote with a clock that was ahead")
    if not off:
        yield Finding(
            "clock", "ok", "no other device contradicts it" if now.daemon.running else "nobody to compare it with"
        )


def _daemon(folder: Folder) -> Iterator[Finding]:
    token = keys.group_token(folder)
    if token is None or not token.brokers:
        yield Finding(
            "daemon", "note", "not needed: this folder syncs with nobody", "relay new, or relay connect TOKEN"
        )
        return
    with Replica.in_folder(folder) as replica:
        now = replica.status()
        enabled = replica.config.enabled
    if not enabled:
        yield Finding("daemon", "note", "syncing is off", "hcom-replica relay on")
    elif not now.daemon.running:
        yield Finding("daemon", "problem", "no daemon runs, nothing is synced", "hcom-replica relay daemon start")
    else:
        yield Finding("daemon", "ok", f"running, pid {now.daemon.pid}")


def _broker(folder: Folder) -> Iterator[Finding]:
    token = keys.group_token(folder)
    config = load_config(folder.config)
    addresses, shown = broker_settings(config, token) if token is not None else ((), Credentials())
    if not addresses:
        yield Finding("broker", "note", "none is set up", "relay new, or relay connect TOKEN")
        return
    for address in addresses:
        try:
            round_trip_ms = reachable(address, shown)
            prefix = "hr" if config.topic_path is None else config.topic_path
            found = probe(address, shown, prefix=prefix, timeout_s=_PROBE_S)
        except ReplicaError as error:
            yield Finding("broker", "problem", error.message, error.hint)
            continue
        yield Finding(
            "broker",
            "ok",
            f"{address.url} answers in {round_trip_ms:.0f} ms, MQTT {'5' if found.version == 5 else '3.1.1'}",
        )
        yield from _abilities(address, found)


def _abilities(address: BrokerAddress, found: Capabilities) -> Iterator[Finding]:
    if not address.tls:
        yield Finding(
            "broker", "note", "the connection is plain: events are sealed, who talks to the broker is visible"
        )
    if not found.retain:
        yield Finding(
            "broker", "warning", "it keeps no retained messages: devices sync only while they are online together",
            "use a broker that keeps them, or `hcom-replica broker`",
        )  # fmt: skip
    elif not found.retain_wildcard:
        yield Finding(
            "broker", "warning", "it gives no retained messages to wildcard subscriptions: who is away is found late",
            "use another broker if you can",
        )  # fmt: skip
    size = found.packet_bytes_max
    if size is not None and size < MESSAGE_BYTES_MAX:
        yield Finding("broker", "warning", f"it takes messages of {size:,} bytes only: more of them are needed")


def _hcom(folder: Folder) -> Iterator[Finding]:
    now = look(folder)
    if now.hcom_version is None and not now.set_up:
        yield Finding("hcom", "note", "not on the path; it is not needed")
    elif not now.set_up:
        yield Finding("hcom", "note", f"hcom {now.hcom_version}, {now.hcom_dir}: not connected", "bridge hcom --setup")
    for text in now.notes:
        yield Finding("hcom", "note", text, "update hcom-replica when there is a newer one")
    for problem in now.problems if now.set_up else ():
        yield Finding("hcom", "problem", problem)
    if now.set_up and not now.problems:
        waiting = now.waiting_events + now.under_way_events
        told = f"{waiting:,} events on their way" if waiting else "up to date"
        yield Finding("hcom", "ok", f"hcom {now.hcom_version}, {now.hcom_dir}: connected, {told}")


_CHECKS: Final[dict[str, Callable[[Folder], Iterator[Finding]]]] = {
    "folder": _folder,
    "config": _config,
    "device": _device,
    "store": _store,
    "clock": _clock,
    "daemon": _daemon,
    "broker": _broker,
    "hcom": _hcom,
}
