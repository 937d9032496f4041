"""Events as a story to be read: one line each, days apart, agents in the colour of their device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from hcom_replica.cli.print import escape, paint, tint

if TYPE_CHECKING:
    from hcom_replica.api.event import Event
    from hcom_replica.api.names import Names

_NAME_CHARS: Final = 12
_NAME_CHARS_MAX: Final = 28
_KIND_CHARS: Final = 7
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RULE: Final = "─" * 4


class Story:
    """Tells events.

    Args:
        names: of the devices.
        own: this device's name, whose agents are told without it; None tells every agent in full.
        late: key in the canonical order -> how an event is marked that came late here.
        coloured: where the terminal takes it.
    """

    def __init__(self, names: Names, own: str | None, late: Mapping[bytes, str], *, coloured: bool) -> None:
        self._names = names
        self._own = own
        self._late = late
        self._coloured = coloured
        self._tints = {device: number for number, device in enumerate(sorted(names.all()))}
        self._name_chars, self._kind_chars = _NAME_CHARS, _KIND_CHARS
        self._day = ""

    def lines(self, events: Iterable[Event]) -> Iterator[bytes]:
        """Yield the lines, each with its newline."""
        for event in events:
            day, clock = _moment(event)
            if day != self._day:
                self._day = day
                yield self._encoded(self._painted(f"{_RULE} {day} {_RULE}", "bold"))
            yield self._encoded(self._told(event, clock))

    def _told(self, event: Event, clock: str) -> str:
        from hcom_replica.api.summary import summary

        name, kind = self._name(event), escape(event.kind)
        self._name_chars = min(max(self._name_chars, len(name)), _NAME_CHARS_MAX)
        self._kind_chars = max(self._kind_chars, len(kind))
        shown = name.ljust(self._name_chars)
        if self._coloured:
            device = self._names.device(event.id.origin)
            shown = tint(shown, self._tints.setdefault(device, len(self._tints)))
        return f"{clock:<12}  {shown}  {kind:<{self._kind_chars}}  {self._mark(event)}{escape(summary(event))}"

    def _name(self, event: Event) -> str:
        if self._own is not None and event.device == self._own:
            return escape(event.agent or "-")
        return escape(f"{event.agent or ''}:{event.device}")

    def _mark(self, event: Event) -> str:
        mark = "late" if event.late else self._late.get(bytes.fromhex(event.order)) if self._late else None
        return "" if mark is None else self._painted(f"[{mark}]", "yellow") + " "

    def _painted(self, text: str, colour: str) -> str:
        return paint(text, colour) if self._coloured else text

    @staticmethod
    def _encoded(text: str) -> bytes:
        return text.encode("utf-8", "backslashreplace") + b"\n"


def _moment(event: Event) -> tuple[str, str]:
    """Day and time of day, UTC; one beyond the calendar has neither."""
    if event.time is None:
        return "beyond the calendar", "-"
    moment = _EPOCH + timedelta(microseconds=event.time_us)
    return moment.strftime("%A, %Y-%m-%d"), moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1_000:03}"
