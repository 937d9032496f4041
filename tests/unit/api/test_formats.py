from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable

import pytest

from hcom_replica.api.event import Event
from hcom_replica.api.formats import CSV_COLUMNS, FORMATS
from hcom_replica.ids import EventId, OriginId
from hcom_replica.wire import event as wire

ORIGIN = OriginId(bytes(range(8)))
GROUP = "ab" * 16


def event(seq: int, kind: str, body: bytes, agent: str | None = "luna", time: int | None = None) -> Event:
    return Event(EventId(ORIGIN, seq), wire.Event((1_700_000_000_000 << 16) + seq, kind, agent, time, body), "BOXE")


def redacted() -> Event:
    gone = wire.RedactedEvent(1 << 40, "message", "luna", None, b"", b"", 3, bytes(32), bytes(64))
    return Event(EventId(ORIGIN, 9), gone, "BOXE")


def written(form: str, events: Iterable[Event]) -> bytes:
    return b"".join(FORMATS[form](events, GROUP))


def cells(events: Iterable[Event]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written("csv", events).decode(), newline="")))


def test_jsonl_is_what_events_prints() -> None:
    events = [event(1, "k", b'{"a":1}'), redacted()]
    assert written("jsonl", events).splitlines() == [one.json() for one in events]


def test_csv_has_a_header_and_a_row_for_each_event() -> None:
    (row,) = cells([event(1, "status", b'{"status":"active"}', time=1_600_000_000_000_001)])
    assert tuple(row) == CSV_COLUMNS
    assert row["time"] == "2020-09-13T12:26:40.000001Z"
    assert (row["device"], row["agent"], row["name"]) == ("BOXE", "luna", "luna:BOXE")
    assert row["summary"] == "active"
    assert json.loads(row["data"]) == {"status": "active"}
    assert row["redacted"] == "false"


def test_csv_of_no_events_is_the_header_alone() -> None:
    assert written("csv", []) == ",".join(CSV_COLUMNS).encode() + b"\r\n"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum(a1)"])
def test_csv_cell_that_looks_like_a_formula_is_text(text: str) -> None:
    (row,) = cells([event(1, text, b'"x"', text)])
    assert row["kind"] == row["agent"] == f"'{text}"
    assert row["name"].startswith("'")


def test_csv_holds_no_control_character_and_one_line_for_each_event() -> None:
    data = written("csv", [event(1, "a\nb\x1b[31m", '"\u009b\u202e"'.encode(), "x\r\ty")])
    assert data.count(b"\r\n") == 2
    assert not any(char < 0x20 for char in data.replace(b"\r\n", b""))
    assert "\u009b" not in data.decode()
    assert "\u202e" not in data.decode()


def test_csv_of_a_body_that_is_no_json_has_it_in_base64() -> None:
    (row,) = cells([event(1, "k", b"\xff\x00")])
    assert (row["data"], row["data_b64"]) == ("", "/wA=")


def test_csv_of_a_redacted_event_has_no_data_and_says_so() -> None:
    (row,) = cells([redacted()])
    assert (row["data"], row["data_b64"], row["redacted"], row["summary"]) == ("", "", "true", "(redacted)")


def test_cloudevents_have_what_the_specification_asks_for() -> None:
    first, second = (
        json.loads(line) for line in written("cloudevents", [event(1, "k", b"1"), event(2, "k", b"2")]).splitlines()
    )
    assert first["specversion"] == "1.0"
    assert first["id"] == f"{ORIGIN.hex()}:1"
    assert first["source"] == f"urn:hcom-replica:{GROUP}:{ORIGIN.hex()}"
    assert (first["type"], first["subject"], first["data"]) == ("hcom.k", "luna:BOXE", 1)
    assert first["datacontenttype"] == "application/json"
    assert first["sequence"] < second["sequence"]
    for key, value in first.items():
        assert key.isalnum()
        assert key == key.lower()
        assert key == "data" or isinstance(value, str)


def test_cloudevents_spell_out_what_no_attribute_may_hold() -> None:
    (line,) = written("cloudevents", [event(1, "k\x07\u009b", b"1", "a\nb")]).splitlines()
    found = json.loads(line)
    assert (found["type"], found["subject"]) == ("hcom.k\\x07\\x9b", "a\\nb:BOXE")


def test_cloudevents_without_agent_or_time_leave_them_out() -> None:
    far = Event(EventId(ORIGIN, 1), wire.Event((1 << 64) - 1, "k", None, None, b"\xff"), "BOXE")
    (line,) = written("cloudevents", [far]).splitlines()
    found = json.loads(line)
    assert {"time", "subject", "data"}.isdisjoint(found)
    assert (found["datacontenttype"], found["data_base64"]) == ("application/octet-stream", "/w==")


def test_cloudevents_of_a_redacted_event_carry_no_data() -> None:
    found = json.loads(written("cloudevents", [redacted()]))
    assert found["redacted"] is True
    assert {"data", "data_base64", "datacontenttype"}.isdisjoint(found)


def test_late_in_the_stable_stream_is_told_in_every_format() -> None:
    one = event(1, "k", b"1")
    one.late = True
    assert json.loads(written("jsonl", [one]))["late"] is True
    assert json.loads(written("cloudevents", [one]))["late"] is True
    assert [row["late"] for row in cells([one, event(2, "k", b"1")])] == ["true", "false"]
