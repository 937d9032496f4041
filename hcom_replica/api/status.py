"""Status: the core's answer, fed with the log and, when one runs, with what the daemon knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hcom_replica.api.appending import wall_ms
from hcom_replica.api.times import iso_ms
from hcom_replica.core.status import DaemonStatus, Status, StatusInput, build_status
from hcom_replica.daemon.session import broker_settings
from hcom_replica.errors import ConfigError

if TYPE_CHECKING:
    from hcom_replica.api.replica import Replica

__all__ = ["Status", "read_status"]


def read_status(replica: Replica) -> Status:
    """Where the device of an open folder stands."""
    parts = replica.parts
    pid, info = replica.control.ask()
    url, problem = _broker(replica)
    given = StatusInput(
        group=parts.token.keys.group,
        device_key=parts.device.public,
        name=parts.name,
        notes=parts.log.peers(),
        now_ms=wall_ms(),
        events=parts.log.event_count(),
        own_tip=parts.log.own_tip(),
        daemon=DaemonStatus(running=pid is not None, pid=pid),
        broker_url=info.broker if info is not None and info.broker else url,
        live=None if info is None else info.live,
        iso=iso_ms,
    )
    status = build_status(parts.log, given)
    said = [text for text in (problem, info.problem if info is not None else "") if text]
    return msgspec.structs.replace(status, warnings=[*said, *status.warnings])


def _broker(replica: Replica) -> tuple[str | None, str]:
    """The URL of the first configured broker, and what is wrong with the settings."""
    try:
        brokers, _ = broker_settings(replica.config, replica.parts.token)
    except ConfigError as error:
        return None, error.message
    return (brokers[0].url if brokers else None), ""
