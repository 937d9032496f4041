"""An event as one line of JSON: the same bytes on every device.

Owns the form of that line (keys are only ever added). Whole histories are written so: it is put together from bytes,
not from a dict: the body as it is stored, and texts that come again and again (who wrote it, its kind and agent, the
hour), each encoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from hcom_replica.api.body import as_json_lines, disarmed, spliced
from hcom_replica.api.times import iso_us
from hcom_replica.core.hlc import millis
from hcom_replica.ids import OriginId, order_key
from hcom_replica.store.schema import StoredEvent
from hcom_replica.wire.event import Event, RedactedEvent, is_system, sound_events

_GONE: Final = b'"data":null,"redacted":true'
_DATA: Final = b'"data":'
_END: Final = b"}\n"
_DAY_US: Final = 86_400_000_000
_HOUR_MS: Final = 3_600_000
_MILLIS: Final = tuple(f'{ms:03}Z"' for ms in range(1_000))

_Whose = tuple[str, str, str]

_json = msgspec.json.Encoder().encode


def open_line(origin: OriginId, seq: int, event: Event, device: str) -> bytes:
    """The object of an event without its closing brace: what is local may follow.

    Args:
        origin: short id.
        seq: of the event.
        event: decoded.
        device: name that its device is shown by.
    """
    head = _head(order_key(event.hlc, origin), seq, event, _whose(origin, device))
    return head + (_GONE if isinstance(event, RedactedEvent) else spliced(event.body))


def sound_lines(rows: Sequence[StoredEvent], shown: Callable[[OriginId], str], *, system: bool) -> bytes | None:
    """The lines of many events, each with its newline, where nothing has to be looked at one by one.

    Args:
        rows: as they are stored.
        shown: origin -> name that its device is shown by.
        system: also system events.

    Returns:
        None when one of them is damaged, redacted or has a body that is no line of JSON.
    """
    events = sound_events([row.record for row in rows])
    bodies = None if events is None else as_json_lines([event.body for event in events])
    if events is None or bodies is None:
        return None
    parts: list[bytes] = []
    whose: dict[OriginId, _Whose] = {}
    for row, event, body in zip(rows, events, bodies, strict=True):
        if system or not is_system(event.kind):
            origin = row.origin
            if origin not in whose:
                whose[origin] = _whose(origin, shown(origin))
            parts += (_head(row.key, row.seq, event, whose[origin]), _DATA, body, _END)
    return b"".join(parts)


def _head(key: bytes, seq: int, event: Event, whose: _Whose) -> bytes:
    hlc, time_us = event.hlc, event.time
    head, middle, device = whose
    time = _time(millis(hlc) * 1_000 if time_us is None else time_us)
    said = _said(event.kind, event.agent, device)
    return f'{head}{seq}{middle}{seq},"hlc":{hlc},"order":"{key.hex()}","time":{time},{said},'.encode()


@lru_cache(maxsize=1_024)
def _whose(origin: bytes, device: str) -> _Whose:
    """What stands before an event's seq, both times, and who that is."""
    name = origin.hex()
    return f'{{"id":"{name}:', f'","origin":"{name}","device":{_text(device)},"seq":', device


@lru_cache(maxsize=4_096)
def _said(kind: str, agent: str | None, device: str) -> str:
    full = None if agent is None else f"{agent}:{device}"
    return f'"kind":{_text(kind)},"agent":{_text(agent)},"name":{_text(full)}'


def _text(text: str | None) -> str:
    return disarmed(_json(text)).decode()


def _time(us: int) -> str:
    """What `times.iso_us` writes, as JSON."""
    ms, beyond_ms = divmod(us, 1_000)
    hour, in_hour_ms = divmod(ms, _HOUR_MS)
    shown = _hour(hour)
    if not shown:
        return "null"
    second, in_second_ms = divmod(in_hour_ms, 1_000)
    if beyond_ms:
        return f'{shown}{_second(second)}{in_second_ms:03}{beyond_ms:03}Z"'
    return f"{shown}{_second(second)}{_MILLIS[in_second_ms]}"


@lru_cache(maxsize=1_024)
def _hour(hour: int) -> str:
    day, in_day = divmod(hour, 24)
    date = _date(day)
    return f"{date}{in_day:02}:" if date else ""


@lru_cache(maxsize=1_024)
def _date(day: int) -> str:
    shown = iso_us(day * _DAY_US)
    return "" if shown is None else f'"{shown[: -len("00:00:00.000Z")]}'


@lru_cache(maxsize=3_600)
def _second(second: int) -> str:
    return f"{second // 60:02}:{second % 60:02}."
