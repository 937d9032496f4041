"""Events as text that other programs read: JSON lines, CSV, CloudEvents.

Owns these forms (columns and keys are only ever added). Each is a pure function of the event, so that two devices write
the same bytes for the same events.
"""

from __future__ import annotations

import csv
import io
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final

import msgspec

from hcom_replica.api.body import disarmed, is_json_line
from hcom_replica.api.escaping import escape
from hcom_replica.api.event import Event
from hcom_replica.api.summary import summary

CSV_COLUMNS: Final = (
    "time",
    "device",
    "agent",
    "kind",
    "summary",
    "data",
    "data_b64",
    "redacted",
    "id",
    "origin",
    "seq",
    "hlc",
    "order",
    "name",
    "late",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that spreadsheets take for a formula."""

_json = msgspec.json.Encoder().encode

Format = Callable[[Iterable[Event], str], Iterator[bytes]]
"""Lines, each with its end, of some events; the second argument is the group's id."""


def jsonl(events: Iterable[Event], group: str) -> Iterator[bytes]:
    """One object a line, as `events --json` prints it."""
    del group
    for event in events:
        yield event.json() + b"\n"


def comma_separated(events: Iterable[Event], group: str) -> Iterator[bytes]:
    """CSV as RFC 4180 has it, in UTF-8, with a header; safe to be opened in a spreadsheet."""
    del group
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    for row in chain([CSV_COLUMNS], map(_row, events)):
        writer.writerow(row)
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()


def _row(event: Event) -> tuple[object, ...]:
    body, shown = event.body, is_json_line(event.body)
    return (
        event.time,
        _cell(event.device),
        _cell(event.agent),
        _cell(event.kind),
        _cell(summary(event)),
        disarmed(body).decode() if shown else "",
        "" if shown or event.redacted else b2a_base64(body, newline=False).decode(),
        "true" if event.redacted else "false",
        str(event.id),
        event.origin,
        event.seq,
        event.hlc,
        event.order,
        _cell(event.name),
        "true" if event.late else "false",
    )


def _cell(text: str | None) -> str:
    """Text from elsewhere as a cell that no terminal obeys and no spreadsheet computes."""
    if text is None:
        return ""
    safe = escape(text)
    return f"'{safe}" if safe.startswith(_FORMULA) else safe


def cloudevents(events: Iterable[Event], group: str) -> Iterator[bytes]:
    """CloudEvents 1.0 in JSON, one a line; `sequence` sorts as the canonical order does."""
    for event in events:
        head = {
            "specversion": "1.0",
            "id": str(event.id),
            "source": f"urn:hcom-replica:{group}:{event.origin}",
            "type": escape(f"hcom.{event.kind}"),
            "sequence": event.order,
            "device": escape(event.device),
            **({} if event.time is None else {"time": event.time}),
            **({} if event.name is None else {"subject": escape(event.name)}),
            **({"late": True} if event.late else {}),
        }
        yield _json(head)[:-1] + _carried(event) + b"}\n"


def _carried(event: Event) -> bytes:
    if event.redacted:
        return b',"redacted":true'
    if is_json_line(event.body):
        return b',"datacontenttype":"application/json","data":' + disarmed(event.body)
    return b',"datacontenttype":"application/octet-stream","data_base64":' + _json(event.body)


FORMATS: Final[dict[str, Format]] = {"jsonl": jsonl, "csv": comma_separated, "cloudevents": cloudevents}
