"""Which events are asked for: all filters of `events`, combined.

Owns what each filter means. `since` and `until` speak of hlc time and bound the scan of the log; all others look at
one event after the other. Both ends are included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from hcom_replica.api.body import decoded
from hcom_replica.api.event import Event
from hcom_replica.api.names import Names
from hcom_replica.api.times import read_when_us
from hcom_replica.errors import UsageError
from hcom_replica.ids import EventId, order_key, parse_event_id
from hcom_replica.wire.event import HLC_MAX, is_system

_COUNTER_MAX = 0xFFFF
_ID_OR_TIME = "write a time like 2026-01-31T09:30:00Z, a span before now like 10m or 2h, or the id of an event"

Many = str | Iterable[str] | None
"""What a filter is given: one that must be met, several of which one must be, or nothing that must."""


class Query(NamedTuple):
    """What is asked for; empty and None ask for everything.

    Attributes:
        kinds: any of these.
        agents: any of these; `luna` on any device, `luna:BOXE` on one.
        devices: any of these: names as shown or as stated, or ids of origins.
        since: of the hlc: an ISO time, a span before now like `10m`, or an event's id.
        until: the same, for the end.
        claimed_since: an ISO time or span; of the time an event shows.
        claimed_until: the same, for the end.
        grep: text that must stand in the kind, the agent or the body; an event without a body does not match.
        where: an expression, see `where`; the same.
        system: also system events.
    """

    kinds: Sequence[str] = ()
    agents: Sequence[str] = ()
    devices: Sequence[str] = ()
    since: str | None = None
    until: str | None = None
    claimed_since: str | None = None
    claimed_until: str | None = None
    grep: str | None = None
    where: str | None = None
    system: bool = False


def query_of(filters: dict[str, Any]) -> Query:
    """What is asked for by the keywords of `Replica.events`: kind, agent, device, since, until, grep, where, system ...

    Raises:
        TypeError: there is no such filter.
    """
    plural = {"kind": "kinds", "agent": "agents", "device": "devices"}
    given: dict[str, Any] = {
        plural.get(key, key): several(value) if key in plural else value for key, value in filters.items()
    }
    return Query(**given)


def several(value: Many) -> tuple[str, ...]:
    """What a filter is given, as a query has it."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


class Finds(Protocol):
    """What finds an event's place in the order."""

    def order_of(self, name: EventId) -> bytes | None:
        """16-byte key of an event; None when it is not held."""


class Filter:
    """A query, ready to be asked of events.

    Args:
        query: what is asked for.
        names: of the devices.
        finds: for event ids in `since` and `until`.
        now_ms: what spans count from.

    Attributes:
        start, stop: bounds of the canonical order: start <= key < stop.
        passes: tells whether an event that lies between them is asked for.
        system: whether system events may be asked for.
        plain: whether nothing else is asked of an event.

    Raises:
        UsageError: a time, an id or the expression cannot be read, or the id is not held here.
    """

    def __init__(self, query: Query, names: Names, finds: Finds, now_ms: int) -> None:
        self._names = names
        with _named("--since", query.since):
            self.start = _start(query.since, finds, now_ms)
        with _named("--until", query.until):
            self.stop = _stop(query.until, finds, now_ms)
        tests = _tests(query, names, now_ms)
        self.passes = _all_of(tests)
        self.system = query.system
        self.plain = len(tests) == (0 if query.system else 1)

    def accepts(self, event: Event) -> bool:
        """Tell whether an event passes every filter."""
        key = order_key(event.hlc, event.id.origin)
        if key < self.start or (self.stop is not None and key >= self.stop):
            return False
        return self.passes(event)


@contextmanager
def _named(option: str, text: str | None) -> Iterator[None]:
    """Say of which filter an error speaks."""
    try:
        yield
    except UsageError as error:
        expected = _ID_OR_TIME if option in ("--since", "--until") and "no event" not in error.message else ""
        raise UsageError(f"{option} {text}: {error.message}", hint=expected or error.hint) from None


def _start(text: str | None, finds: Finds, now_ms: int) -> bytes:
    if text is None:
        return b""
    if ":" in text and "T" not in text and "-" not in text:
        return _place(text, finds)
    ms = -(-read_when_us(text, now_ms) // 1_000)
    return _bounded(ms << 16).to_bytes(8, "big")


def _stop(text: str | None, finds: Finds, now_ms: int) -> bytes | None:
    if text is None:
        return None
    if ":" in text and "T" not in text and "-" not in text:
        return _place(text, finds) + b"\x00"
    ms = read_when_us(text, now_ms) // 1_000
    return _bounded((ms << 16) | _COUNTER_MAX).to_bytes(8, "big") + b"\xff" * 9


def _bounded(hlc: int) -> int:
    return min(max(hlc, 0), HLC_MAX)


def _place(text: str, finds: Finds) -> bytes:
    key = finds.order_of(parse_event_id(text))
    if key is None:
        raise UsageError(f"no event {text} is held here", hint="it may not have arrived yet: hcom-replica status --lag")
    return key


Test = Callable[[Event], bool]


def _tests(query: Query, names: Names, now_ms: int) -> list[Test]:
    tests: list[Test] = []
    if not query.system:
        tests.append(lambda event: not is_system(event.kind))
    if query.kinds:
        kinds = frozenset(query.kinds)
        tests.append(lambda event: event.kind in kinds)
    if query.agents:
        tests.append(_any_of([_agent(text, names) for text in query.agents]))
    if query.devices:
        devices = tuple(query.devices)
        tests.append(lambda event: any(names.is_called(event.id.origin, name) for name in devices))
    tests += _claimed(query, now_ms)
    if query.grep:
        tests.append(_grep(query.grep))
    if query.where is not None:
        from hcom_replica.api.where import compile_where  # noqa: PLC0415 - slow to load, and often not needed

        holds = compile_where(query.where)
        tests.append(lambda event: not event.redacted and holds(_scope(event)))
    return tests


def _all_of(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda event: all(test(event) for test in tests)


def _any_of(tests: list[Test]) -> Test:
    return lambda event: any(test(event) for test in tests)


def _agent(text: str, names: Names) -> Test:
    agent, colon, device = text.rpartition(":")

    def test(event: Event) -> bool:
        if event.agent == text:
            return True
        return bool(colon) and event.agent == agent and names.is_called(event.id.origin, device)

    return test


def _claimed(query: Query, now_ms: int) -> list[Test]:
    tests: list[Test] = []
    if query.claimed_since is not None:
        with _named("--claimed-since", query.claimed_since):
            since = read_when_us(query.claimed_since, now_ms)
        tests.append(lambda event: event.time_us >= since)
    if query.claimed_until is not None:
        with _named("--claimed-until", query.claimed_until):
            until = read_when_us(query.claimed_until, now_ms)
        tests.append(lambda event: event.time_us <= until)
    return tests


def _grep(text: str) -> Test:
    wanted = text.encode("utf-8", "surrogateescape")

    def test(event: Event) -> bool:
        if event.redacted:
            return False
        if text in event.kind or (event.agent is not None and text in event.agent) or wanted in event.body:
            return True
        # the body may spell the text with escapes (\u00fc, \", \n)
        return b"\\" in event.body and any(text in found for found in _texts(decoded(event.body)))

    return test


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [found for item in (*value, *value.values()) for found in _texts(item)]
    if isinstance(value, list):
        return [found for item in value for found in _texts(item)]
    return []


def _scope(event: Event) -> dict[str, Any]:
    return {**event.fields, "data": event.data}
