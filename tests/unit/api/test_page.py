from __future__ import annotations

import gzip
import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hcom_replica.api.event import Event
from hcom_replica.api.names import Names
from hcom_replica.api.page import build
from hcom_replica.api.page.build import Absence, Page, build_page
from hcom_replica.api.page.sources import find_absences
from hcom_replica.errors import UsageError
from hcom_replica.ids import EventId, OriginId
from hcom_replica.store.log import Log
from hcom_replica.store.schema import Received
from hcom_replica.wire import event as wire

MINUTE_MS = 60_000


def event(seq: int, body: bytes = b'"x"', time: int | None = None, device: str = "BOXE") -> Event:
    name = EventId(OriginId(bytes(8)), seq)
    return Event(name, wire.Event((1_000 + seq) << 16, "k", "luna", time, body), device)


def data_of(page: bytes) -> dict[str, Any]:
    match = re.search(rb'<script id="data" type="application/octet-stream">([A-Za-z0-9+/=]+)</script>', page)
    assert match is not None
    found: dict[str, Any] = json.loads(gzip.decompress(b64decode(match[1])))
    return found


def test_page_holds_every_event_as_columns() -> None:
    events = [event(1), event(2, b"\xff", 1_500), event(3, device="TUKA")]
    late = {bytes.fromhex(events[1].order): 70}
    data = data_of(build_page(events, Page("T", "{events}, {agents}, {devices}", [Absence("TUKA", 1, 2)], late)))
    assert data["about"] == "3 events, 2 agents, 2 devices"
    assert data["lanes"] == [["luna", 0], ["luna", 1]]
    assert (data["lane"], data["seq"], data["body"]) == ([0, 0, 1], [1, 2, 3], ['"x"', "\\xff", '"x"'])
    assert (data["time"], data["log"]) == ([1_001, 1.5, 1_003], [1_001, 1_002, 1_003])
    assert (data["late"], data["absent"], data["report"]) == ([[1, 70]], [[1, 1, 2]], None)


def test_page_of_a_redacted_event_has_no_body() -> None:
    gone = wire.RedactedEvent(0, "message", "luna", None, b"", b"", 3, bytes(32), bytes(64))
    data = data_of(build_page([Event(EventId(OriginId(bytes(8)), 1), gone, "BOXE")], Page("T", "")))
    assert (data["body"], data["summary"]) == ([None], ["(redacted)"])


def test_page_is_the_same_bytes_for_the_same_events() -> None:
    assert build_page([event(1)], Page("T", "")) == build_page([event(1)], Page("T", ""))


def test_page_lets_its_own_script_and_style_run_and_nothing_else() -> None:
    page = build_page([event(1)], Page("T", "")).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; ")
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy[1]
    assert not re.search(r"https?:|src=|href=", page.replace("default-src", "").replace("-src '", ""))


def test_page_of_too_many_events_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "EVENTS_MAX", 2)
    build_page([event(1), event(2)], Page("T", ""))
    with pytest.raises(UsageError, match="2 events at most"):
        build_page([event(1), event(2), event(3)], Page("T", ""))


OWN, OTHER, THIRD = (OriginId(bytes([number]) * 8) for number in (1, 2, 3))


def absences(*rows: tuple[OriginId, int, int]) -> list[tuple[str, int, int]]:
    """Of (origin, written at minute, received at minute)."""

    def received() -> Iterator[Received]:
        for number, (origin, written, came) in enumerate(rows, 1):
            yield Received(number, (written * MINUTE_MS << 16).to_bytes(8, "big") + origin, True, came * MINUTE_MS)

    names = SimpleNamespace(
        own=OWN, device_of=lambda origin: origin, all=lambda: {OWN: "BOXE", OTHER: "TUKA", THIRD: "ROSE"}
    )
    found = find_absences(cast("Log", SimpleNamespace(received=received)), cast("Names", names))
    return [(one.device, one.from_ms // MINUTE_MS, one.to_ms // MINUTE_MS) for one in found]


def test_what_came_late_tells_since_when_its_device_was_out_of_reach() -> None:
    assert absences((OWN, 0, 0), (OTHER, 10, 50), (OTHER, 20, 50), (OTHER, 60, 60)) == [("TUKA", 10, 50)]


def test_absences_that_touch_are_one_and_others_are_apart() -> None:
    assert absences((OWN, 0, 0), (OTHER, 10, 50), (OTHER, 40, 70), (OTHER, 80, 90)) == [
        ("TUKA", 10, 70),
        ("TUKA", 80, 90),
    ]


def test_absences_of_several_devices_do_not_mix() -> None:
    assert absences((OWN, 0, 0), (OTHER, 10, 50), (THIRD, 20, 51)) == [("TUKA", 10, 50), ("ROSE", 20, 51)]


def test_time_before_this_device_received_anything_is_no_absence() -> None:
    assert absences((OTHER, 10, 100), (OTHER, 20, 100), (OTHER, 30, 120)) == [("TUKA", 100, 120)]


def test_own_events_tell_of_no_absence() -> None:
    assert absences((OWN, 0, 0), (OWN, 10, 90)) == []
