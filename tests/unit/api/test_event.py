from __future__ import annotations

from hcom_replica.api.event import Arrival, Event
from hcom_replica.ids import EventId, OriginId
from hcom_replica.wire import event as wire

ORIGIN = OriginId(bytes.fromhex("0123456789abcdef"))
HLC = (1_601_855_968_250 << 16) | 7


def event(
    body: bytes = b'{"b":1,"a":"\xc3\xbc"}',
    *,
    agent: str | None = "luna",
    hlc: int = HLC,
    time: int | None = None,
    arrival: Arrival | None = None,
) -> Event:
    return Event(EventId(ORIGIN, 3), wire.Event(hlc, "status", agent, time, body), "BOXE", arrival)


def test_event_json_is_frozen_byte_by_byte() -> None:
    assert event().json().decode() == (
        '{"id":"0123456789abcdef:3","origin":"0123456789abcdef","device":"BOXE","seq":3,"hlc":104979232735232007,'
        '"order":"0174f60e53fa00070123456789abcdef","time":"2020-10-04T23:59:28.250Z","kind":"status","agent":"luna",'
        '"name":"luna:BOXE","data":{"b":1,"a":"ü"}}'
    )


def test_event_json_with_arrival_only_adds_what_is_local() -> None:
    local = event(arrival=Arrival(9, 1_601_855_968_251, late=True)).json(arrival=True)
    shared = event().json()
    assert local == shared[:-1] + b',"arrival":9,"received_at":"2020-10-04T23:59:28.251Z","late":true}'


def test_event_without_agent_has_no_name() -> None:
    assert b'"agent":null,"name":null' in event(agent=None).json()


def test_event_with_claimed_time_shows_it() -> None:
    assert event(time=-1).time == "1969-12-31T23:59:59.999999Z"


def test_event_beyond_the_year_9999_shows_no_time() -> None:
    assert event(hlc=(1 << 64) - 1).time is None
    assert b'"hlc":18446744073709551615' in event(hlc=(1 << 64) - 1).json()


def test_event_with_a_body_that_is_no_json_has_no_data() -> None:
    strange = event(b"\x00\n")
    assert strange.data is None
    assert strange.json().endswith(b'"data_b64":"AAo="}')


def test_redacted_event_has_null_and_says_so() -> None:
    """P3.9; an event that is not redacted has no such key"""
    gone = wire.RedactedEvent(HLC, "status", "luna", None, b"", b"header", 9, bytes(32), bytes(64))
    shown = Event(EventId(ORIGIN, 3), gone, "BOXE", Arrival(9, 1_601_855_968_251, late=True))
    assert shown.redacted
    assert shown.data is None
    assert shown.json() == event().json().partition(b',"data"')[0] + b',"data":null,"redacted":true}'
    assert shown.json(arrival=True).endswith(
        b'"redacted":true,"arrival":9,"received_at":"2020-10-04T23:59:28.251Z","late":true}'
    )
    assert not event().redacted
