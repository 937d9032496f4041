"""Status: the core's answer, fed with the log and, when one runs, with what the daemon knows."""

from __future__ import annotations

import msgspec

from hcom_replica.api.appending import wall_ms
from hcom_replica.api.control import ask
from hcom_replica.api.incarnations import WARNED_MS, own_story
from hcom_replica.api.opening import Parts
from hcom_replica.api.replacing import requests
from hcom_replica.api.times import iso_ms
from hcom_replica.core.status import DaemonStatus, Status, StatusInput, build_status
from hcom_replica.errors import ConfigError
from hcom_replica.transport.url import parse_broker_url

__all__ = ["Status", "read_status"]


def read_status(parts: Parts) -> Status:
    """Where the device of an open folder stands."""
    pid, info = ask(parts.folder)
    url, problem = _broker(parts)
    given = StatusInput(
        viewer=parts.viewer,
        name=parts.name,
        notes=parts.log.peers(),
        now_ms=wall_ms(),
        events=parts.log.event_count(),
        daemon=DaemonStatus(running=pid is not None, pid=pid),
        broker_url=info.broker if info is not None and info.broker else url,
        live=None if info is None else info.live,
        iso=iso_ms,
        place=parts.token.brokers,
        arriving=parts.folder.moved_from.exists(),
        trouble="" if info is None else info.first_problem,
    )
    status = build_status(parts.log, given)
    told, since_ms = own_story(parts.log)
    recent = told if given.now_ms - since_ms < WARNED_MS else ""
    said = [text for text in (problem, info.problem if info is not None and info.enabled else "", recent) if text]
    asked = requests(parts.log, parts.device.public)
    return msgspec.structs.replace(status, warnings=[*said, *asked, *status.warnings])


def _broker(parts: Parts) -> tuple[str | None, str]:
    """The URL of the first configured broker, and what is wrong with it."""
    urls = parts.config.brokers or parts.token.brokers
    try:
        return (parse_broker_url(urls[0]).url if urls else None), ""
    except ConfigError as error:
        return None, parts.config.refuse("relay.broker", error).message
