"""Making the page: events as columns, compressed, in a file that runs nothing but its own script.

Owns that what peers wrote is data and never markup: it travels compressed and encoded, and the script puts it on the
page as text. The page's own policy lets nothing run, and nothing load, besides.
"""

from __future__ import annotations

import gzip
import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any, Final, NamedTuple

import msgspec

from hcom_replica.api.event import Event
from hcom_replica.api.summary import summary
from hcom_replica.core.hlc import millis
from hcom_replica.errors import UsageError

EVENTS_MAX: Final = 300_000
"""So many a browser still shows smoothly, and opens in a few seconds."""

_SCRIPTS: Final = ("data.js", "timeline.js", "gestures.js", "reading.js", "main.js")
_SUMMARY_CHARS: Final = 160
_LEVEL: Final = 6


class Table(NamedTuple):
    """A table of a report."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str | None]]


class Report(NamedTuple):
    """What stands beside the events.

    Attributes:
        verdict: one sentence.
        sound: nothing is wrong.
        tables: the findings.
    """

    verdict: str
    sound: bool
    tables: Sequence[Table]


class Absence(NamedTuple):
    """A time in which what a device wrote did not come here: its name as shown, from and to in ms since 1970."""

    device: str
    from_ms: int
    to_ms: int


class Page(NamedTuple):
    """What a page is made of, beside the events.

    Attributes:
        title: of the page.
        about: a line below it; `{events}`, `{agents}` and `{devices}` become `3 events` and so on.
        absences: are shaded.
        late: key in the canonical order -> by how many ms an event came late, None for unknown; looked at when all
            events have been read.
        report: beside the events, if there is one.
    """

    title: str
    about: str
    absences: Sequence[Absence] = ()
    late: Mapping[bytes, int | None] = {}
    report: Report | None = None


def build_page(events: Iterable[Event], page: Page) -> bytes:
    """Make the HTML of a page: one file, complete.

    Args:
        events: in the order in which they are to be listed, at most EVENTS_MAX.
        page: everything else.

    Raises:
        UsageError: there are more events.
    """
    data = _Columns()
    for event in events:
        if len(data.lane) >= EVENTS_MAX:
            raise UsageError(
                f"a page holds {EVENTS_MAX:,} events at most", hint="narrow it with --since, --until or another filter"
            )
        data.add(event)
    packed = gzip.compress(msgspec.json.encode(data.finished(page)), _LEVEL, mtime=0)
    script = '(() => {\n"use strict";\n' + "\n".join(_text(name) for name in _SCRIPTS) + "})();"
    style = _text("style.css")
    filled = {
        "@TITLE@": escape(page.title),
        "@SCRIPT_HASH@": _hash(script),
        "@STYLE_HASH@": _hash(style),
        "@STYLE@": style,
        "@SCRIPT@": script,
        "@DATA@": b64encode(packed).decode(),
    }
    shell = _text("shell.html")
    for mark, text in filled.items():
        shell = shell.replace(mark, text, 1)
    return shell.encode()


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How a policy names an inline script or style."""
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()


class _Columns:
    """Events as columns, with what repeats once."""

    def __init__(self) -> None:
        self._devices: dict[str, int] = {}
        self._lanes: dict[tuple[str | None, str], int] = {}
        self._kinds: dict[str, int] = {}
        self._origins: dict[str, int] = {}
        self.lane: list[int] = []
        self._keys: list[bytes] = []
        self._columns: dict[str, list[Any]] = {
            name: [] for name in ("kind", "origin", "seq", "time", "log", "summary", "body")
        }

    def add(self, event: Event) -> None:
        """Add an event."""
        self._devices.setdefault(event.device, len(self._devices))
        self.lane.append(self._lanes.setdefault((event.agent, event.device), len(self._lanes)))
        self._keys.append(bytes.fromhex(event.order))
        log_ms = millis(event.hlc)
        row = {
            "kind": self._kinds.setdefault(event.kind, len(self._kinds)),
            "origin": self._origins.setdefault(event.origin, len(self._origins)),
            "seq": event.seq,
            "time": log_ms if event.time is None else event.time_us / 1_000,
            "log": log_ms,
            "summary": summary(event, _SUMMARY_CHARS),
            "body": None if event.redacted else event.body.decode("utf-8", "backslashreplace"),
        }
        for name, value in row.items():
            self._columns[name].append(value)

    def finished(self, page: Page) -> dict[str, Any]:
        """Everything that the script reads."""
        counted = {"events": len(self.lane), "agents": len(self._lanes), "devices": len(self._devices)}
        told = {name: f"{count:,} {name if count != 1 else name[:-1]}" for name, count in counted.items()}
        known = [one for one in page.absences if one.device in self._devices]
        return {
            "title": page.title,
            "about": page.about.format(**told),
            "devices": list(self._devices),
            "lanes": [(agent, self._devices[device]) for agent, device in self._lanes],
            "kinds": list(self._kinds),
            "origins": list(self._origins),
            "lane": self.lane,
            **self._columns,
            "late": [(at, page.late[key]) for at, key in enumerate(self._keys) if key in page.late],
            "absent": [(self._devices[one.device], one.from_ms, one.to_ms) for one in known],
            "report": None if page.report is None else _report(page.report),
        }


def _report(report: Report) -> dict[str, Any]:
    tables = [table._asdict() for table in report.tables]
    return {"verdict": report.verdict, "sound": report.sound, "tables": tables}
