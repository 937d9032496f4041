"""Lines of JSON that are put together from bytes are what an encoder makes of the event's fields."""

from __future__ import annotations

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from hcom_replica.api.body import disarmed, spliced
from hcom_replica.api.event import Event
from hcom_replica.api.jsonlines import sound_lines
from hcom_replica.ids import EventId, OriginId, order_key
from hcom_replica.store.schema import StoredEvent
from hcom_replica.wire import event as wire
from hcom_replica.wire.event import is_system

TEXT = st.text(max_size=8) | st.sampled_from(["_name", "status", 'a"\\\n', "\u202e\x7f\u0085", "\U0001f600"])
TIMES = st.none() | st.integers(-wire.TIME_US_MAX, wire.TIME_US_MAX) | st.integers(0, 10**16)
BODIES = st.sampled_from([
    b"null", b'{"a":[1,2.50]}', '"\u00fc\u202e\x7f"'.encode(), b"", b"{", b"\xff", b"1\n", b"1 ,2", b"1],[2", b"1e999",
    b'"\\ud800"', b"[" * 300 + b"]" * 300, b"[" * 256 + b"]" * 256, b'"' + b"x" * 400 + b'"',
]) | st.binary(max_size=4)  # fmt: skip
SOUND_BODIES = st.sampled_from([b"null", b'{"a":[1,2.50]}', '"\u00fc\u202e\x7f"'.encode(), b'"' + b"x" * 400 + b'"'])


def events(bodies: st.SearchStrategy[bytes]) -> st.SearchStrategy[wire.Event]:
    return st.builds(wire.Event, st.integers(0, wire.HLC_MAX), TEXT, st.none() | TEXT, TIMES, bodies)


def encoded(event: Event) -> bytes:
    """The line as an encoder makes it of the event's fields."""
    head = disarmed(msgspec.json.encode(event.fields))[:-1]
    return head + b"," + (b'"data":null,"redacted":true' if event.redacted else spliced(event.body)) + b"}"


@given(events(BODIES), st.binary(min_size=8, max_size=8), st.integers(1, 2**63), TEXT)
def test_line_of_any_event_is_what_an_encoder_makes(stored: wire.Event, origin: bytes, seq: int, device: str) -> None:
    event = Event(EventId(OriginId(origin), seq), stored, device)
    assert event.json() == encoded(event)


def test_line_of_a_redacted_event_is_what_an_encoder_makes() -> None:
    gone = wire.RedactedEvent(1 << 40, "message", "luna", None, b"", b"", 3, bytes(32), bytes(64))
    event = Event(EventId(OriginId(bytes(8)), 9), gone, "BOXE")
    assert event.json() == encoded(event)


@given(st.lists(events(SOUND_BODIES), max_size=6), st.booleans())
def test_lines_of_sound_events_are_those_of_each(stored: list[wire.Event], system: bool) -> None:
    shown = [_event(number, event) for number, event in enumerate(stored)]
    wanted = [event.json() + b"\n" for event in shown if system or not is_system(event.kind)]
    assert sound_lines(_rows(stored), lambda _: "BOXE", system=system) == b"".join(wanted)


@given(st.lists(events(BODIES), max_size=3))
@example([wire.Event(1, "k", None, None, b"1],[2")])
@example([wire.Event(1, "k", None, None, b"1\n")])
def test_lines_of_events_are_those_of_each_or_none(stored: list[wire.Event]) -> None:
    wanted = b"".join(_event(number, event).json() + b"\n" for number, event in enumerate(stored))
    assert sound_lines(_rows(stored), lambda _: "BOXE", system=True) in (wanted, None)


def test_lines_are_none_where_one_has_to_be_looked_at_alone() -> None:
    sound, strange = wire.Event(1, "k", None, None, b"1"), wire.Event(2, "k", None, None, b"{")
    row = StoredEvent(order_key(2, OriginId(bytes(8))), (2).to_bytes(8, "big") + b"\xc1damaged")
    assert sound_lines(_rows([sound, strange]), lambda _: "BOXE", system=True) is None
    assert sound_lines([*_rows([sound]), row], lambda _: "BOXE", system=True) is None


def _event(number: int, stored: wire.Event) -> Event:
    return Event(EventId(OriginId(bytes(8)), number), stored, "BOXE")


def _rows(stored: list[wire.Event]) -> list[StoredEvent]:
    encode = msgspec.msgpack.encode
    return [
        StoredEvent(order_key(event.hlc, OriginId(bytes(8))), number.to_bytes(8, "big") + encode(event))
        for number, event in enumerate(stored)
    ]
