"""The agents of other devices, as hcom is shown them (hcom-bridge-v1 B4.3): a fold over events, newest counts."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hcom_replica.bridge.delivery import plain_name
from hcom_replica.bridge.ledger import BridgeLog, Key, Shelved
from hcom_replica.bridge.rows import AGENT
from hcom_replica.bridge.snapshot import Agent
from hcom_replica.core.hlc import millis
from hcom_replica.wire.event import Event

AGENTS_MAX: Final = 100
"""Agents of one device that are shown: those whose state is newest."""

_BLANK: Final[Agent] = {
    "enabled": True,
    "status": "inactive",
    "context": "",
    "detail": "",
    "status_time": 0,
    "parent": None,
    "directory": None,
    "transcript": None,
    "wait_timeout": 86_400,
    "last_stop": 0,
    "tcp_mode": False,
    "tag": None,
    "tool": "adhoc",
    "background": False,
}
_TEXT_CHARS_MAX: Final = 512
_FLAGS: Final = ("tcp_mode", "background")
_NUMBERS: Final = ("status_time", "last_stop", "wait_timeout")


class _Kept(msgspec.Struct):
    """Of one agent: hlc of what was told last of it, and of its status; None for one that is gone."""

    hlc: int
    status_hlc: int
    fields: Agent | None


_pack = msgspec.msgpack.encode
_unpack = msgspec.msgpack.Decoder(_Kept).decode


class Roster:
    """The agents of all other devices.

    Args:
        log: on whose shelf they are kept.
        key: under which keys.
    """

    def __init__(self, log: BridgeLog, key: Key = Key.REMOTE_AGENT) -> None:
        self._key = key
        self._devices: dict[bytes, dict[str, _Kept]] = {}
        for key_, value in log.shelf.page(*key.all(), limit=1 << 16):
            self._devices.setdefault(key_[1:9], {})[key_[9:].decode()] = _unpack(value)

    def told(self, device: bytes, event: Event) -> list[Shelved]:
        """Take what an event says of its agent; return what is to be kept of that."""
        name = plain_name(event.agent or "")
        if not name or event.kind not in (AGENT, "status"):
            return []
        try:
            said = msgspec.json.decode(event.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return []
        agents = self._devices.setdefault(device, {})
        before = agents.get(name)
        kept = _agent(before, event, said) if event.kind == AGENT else _status(before, event, said)
        if kept is None:
            return []
        agents[name] = kept
        return [(self._key.of(device, name.encode()), _pack(kept))]

    def has(self, device: bytes, name: str) -> bool:
        """Whether a device has an agent of a name."""
        kept = self._devices.get(device, {}).get(name)
        return kept is not None and kept.fields is not None

    def shown(self, device: bytes, *, away: str, not_before_s: float) -> dict[str, Agent]:
        """The agents of a device for a snapshot.

        Args:
            device: its id.
            away: what is said instead of their status while the device is away; empty when it is online.
            not_before_s: hcom drops agents whose status is older than this.
        """
        known = [(kept.status_hlc, name, kept.fields) for name, kept in self._devices.get(device, {}).items()]
        newest = sorted(
            ((hlc, name, fields) for hlc, name, fields in known if fields is not None), reverse=True, key=_at
        )
        shown: dict[str, Agent] = {}
        for _, name, fields in newest[:AGENTS_MAX]:
            agent = {**_BLANK, **fields}
            agent["status_time"] = max(agent["status_time"], not_before_s)
            if away:  # one that has ended stays so: hcom tells it by its context, and writes to it no more
                ended = agent["context"] if agent["context"].startswith("exit") else ""
                agent.update(status="inactive", context=ended, detail=away)
            shown[name] = agent
        return shown


def _at(item: tuple[int, str, Agent]) -> tuple[int, str]:
    return item[:2]


def _agent(before: _Kept | None, event: Event, said: Any) -> _Kept | None:
    if not isinstance(said, dict) or (before is not None and before.hlc > event.hlc):
        return None
    if said.get("gone"):
        return _Kept(event.hlc, event.hlc, None)
    return _Kept(event.hlc, event.hlc, _checked({name: said.get(name) for name in _BLANK if name != "enabled"}))


def _status(before: _Kept | None, event: Event, said: Any) -> _Kept | None:
    if before is None or before.fields is None or before.status_hlc > event.hlc or not isinstance(said, dict):
        return None
    at_s = (event.time / 1e6) if event.time is not None else millis(event.hlc) / 1e3
    status = {name: said.get(name) for name in ("status", "context", "detail")} | {"status_time": int(at_s)}
    return _Kept(before.hlc, event.hlc, {**before.fields, **_checked(status)})


def _checked(fields: Agent) -> Agent:
    """Only what hcom takes for each field."""
    return {name: _value(name, value) for name, value in fields.items()}


def _value(name: str, value: Any) -> Any:
    if name in _NUMBERS:
        usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 52
        return value if usable else _BLANK[name]
    if name in _FLAGS:
        return bool(value)
    return value if isinstance(value, str) and len(value) <= _TEXT_CHARS_MAX else _BLANK[name]
