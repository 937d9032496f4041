"""The HTML page in a real browser: what is drawn, clicked, searched and read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from hcom_replica import Replica
from hcom_replica.api.event import Event
from hcom_replica.api.page.build import Absence, Page, Report, Table, build_page
from hcom_replica.ids import EventId, OriginId
from hcom_replica.testing.real.processes import Cli
from hcom_replica.wire import event as wire
from tests.harness.browser import Window, browser, chromium_path, window
from tests.harness.histories import two_devices

pytestmark = pytest.mark.skipif(
    chromium_path() is None, reason="no Chromium is installed (Debian: apt install chromium)"
)

START_MS = 1_769_760_000_000
ABSENT = Absence("TUKA", START_MS + 40_000, START_MS + 60_000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


def event(number: int, kind: str, data: object, agent: str | None = "luna", device: str = "BOXE") -> Event:
    body = json.dumps(data, ensure_ascii=False).encode()
    name = EventId(OriginId(device[0].encode() * 8), number + 1)
    return Event(name, wire.Event((START_MS + number * 1_000) << 16, kind, agent, None, body), device)


def history() -> list[Event]:
    """A hundred seconds, an event each: luna and nova on BOXE, rose on TUKA."""
    made = []
    for number in range(100):
        agent, device = (("luna", "BOXE"), ("nova", "BOXE"), ("rose", "TUKA"))[number % 3]
        data: dict[str, object] = {"status": "active", "context": "tool:Edit", "detail": f"src/file{number}.rs"}
        kind = "status"
        if number % 10 == 0:
            kind, data = "message", {"scope": "broadcast", "text": f"number {number}\nthe needle"}
        made.append(event(number, kind, data, agent, device))
    return made


def written(folder: Path, events: list[Event], **about: object) -> Path:
    late = {bytes.fromhex(events[50].order): 7_200_000} if len(events) > 50 else {}
    path = folder / "page.html"
    path.write_bytes(build_page(events, Page("History", "{events} of {agents}", [ABSENT], late, **about)))  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("page"), history())


@pytest.fixture
def opened(chromium: Browser, path: Path) -> Iterator[Window]:
    with window(chromium, path) as one:
        yield one


def listed(one: Window) -> list[str]:
    """The rows of the list that are there."""
    one.settle()
    return one.page.locator("#list .row").all_inner_texts()


def test_page_tells_what_it_holds_and_lists_it_in_order(opened: Window) -> None:
    assert opened.text("#about") == "100 events of 3 agents"
    assert opened.text("#count") == "100 events"
    first, second = listed(opened)[:2]
    assert first.split("\n") == ["luna:BOXE message 2026-01-30 08:00:00.000", "→ all: number 0 the needle"]
    assert second.split("\n")[1] == "active: Edit src/file1.rs"


def test_click_on_a_mark_shows_the_event_and_finds_it_in_the_list(opened: Window) -> None:
    opened.page.mouse.click(*opened.place(70))
    assert opened.text("#event-title") == "nova:BOXE message"
    assert opened.text("#body").startswith("number 70\nthe needle\n\n{")
    assert "2026-01-30 08:01:10.000 UTC" in opened.text("#facts")
    assert f"{'42' * 8}:71" in opened.text("#facts")
    assert "number 70" in opened.text(".row.chosen")
    opened.page.click("#next")
    assert opened.text("#event-title") == "rose:TUKA status"
    assert '"detail": "src/file71.rs"' in opened.text("#body")
    opened.page.keyboard.press("k")
    opened.page.keyboard.press("k")
    assert '"detail": "src/file69.rs"' in opened.text("#body")
    opened.page.keyboard.press("Escape")
    expect(opened.page.locator("#event")).to_be_hidden()


def test_click_on_a_row_shows_the_event_and_brings_its_mark_into_sight(opened: Window) -> None:
    opened.run("replica.timeline.show(replica.model.last - 5000, replica.model.last)")
    assert opened.run("replica.where(2)") is None
    opened.page.click("#list .row >> nth=2")
    assert opened.text("#event-title") == "rose:TUKA status"
    assert opened.run("replica.where(2)") is not None


def test_search_finds_text_of_bodies_and_names_and_shows_nothing_else(opened: Window) -> None:
    opened.page.fill("#search", "NEEDLE nova")
    expect(opened.page.locator("#count")).to_have_text("3 of 100 events")
    assert [row.split("\n")[1] for row in listed(opened)] == [
        f"→ all: number {number} the needle" for number in (10, 40, 70)
    ]
    assert opened.run("replica.timeline.rows.length") == 2, "one device and one lane are left"
    assert opened.run("replica.timeline.marks") == 3
    opened.page.fill("#search", "no such thing")
    expect(opened.page.locator("#count")).to_have_text("0 of 100 events")
    assert listed(opened) == []
    opened.page.fill("#search", "")
    expect(opened.page.locator("#count")).to_have_text("100 events")


def test_filters_leave_out_kinds_and_devices_and_keep_one_agent(opened: Window) -> None:
    opened.page.click("#chips button:has-text('status')")
    assert opened.text("#count") == "10 of 100 events"
    opened.page.click("#chips button:has-text('TUKA')")
    assert opened.text("#count") == "7 of 100 events"
    opened.page.click("#chips button:has-text('status')")
    assert opened.text("#count") == "67 of 100 events"
    box = opened.page.locator("#marks").bounding_box()
    assert box is not None
    opened.page.mouse.click(box["x"] + 30, opened.place(0)[1])
    assert opened.text("#count") == "34 of 100 events"
    opened.page.click("#chips button:has-text('only luna:BOXE')")
    assert opened.text("#count") == "67 of 100 events"


def span_ms(one: Window) -> tuple[float, float]:
    one.settle()
    begin, end = one.run("[replica.timeline.from, replica.timeline.to]")
    return begin, end


def test_wheel_zooms_where_it_points_and_dragging_pans(opened: Window) -> None:
    whole = span_ms(opened)
    x, y = opened.place(48)
    opened.page.mouse.move(x, y)
    opened.page.keyboard.down("Control")
    for _ in range(8):
        opened.page.mouse.wheel(0, -60)
    opened.page.keyboard.up("Control")
    near = span_ms(opened)
    assert near[1] - near[0] < (whole[1] - whole[0]) / 4
    assert opened.place(48)[0] == pytest.approx(x, abs=5)
    opened.page.mouse.down()
    opened.page.mouse.move(x - 120, y, steps=4)
    opened.page.mouse.up()
    panned = span_ms(opened)
    assert panned[0] > near[0]
    assert panned[1] - panned[0] == pytest.approx(near[1] - near[0])
    expect(opened.page.locator("#event")).to_be_hidden()
    opened.page.keyboard.press("0")
    assert span_ms(opened) == whole
    opened.page.click("#zoom-in")
    assert span_ms(opened)[0] > whole[0]


def test_hovering_tells_what_is_there(opened: Window) -> None:
    opened.page.mouse.move(*opened.place(12))
    expect(opened.page.locator("#tip")).to_have_text("2026-01-30 08:00:12.000  luna:BOXE  active: Edit src/file12.rs")


def test_absence_is_shaded_and_late_arrival_is_marked(opened: Window) -> None:
    inside, outside = (opened.run(f"replica.timeline.xOf({START_MS + at})") for at in (44_500, 74_500))
    y = opened.run("replica.where(50)")["y"]
    assert opened.colour(inside, y) != opened.colour(outside, y)
    assert opened.colour(outside, y) == (255, 255, 255)
    at = opened.run("replica.where(50)")
    assert opened.colour(at["x"], at["y"] - 7) == (0xC2, 0x41, 0x0C)
    on_time = opened.run("replica.where(53)")
    assert opened.colour(on_time["x"], on_time["y"] - 7) != (0xC2, 0x41, 0x0C)
    opened.run("replica.choose(50)")
    assert "late by 2 h" in opened.text("#facts")
    assert opened.text(".row.chosen .late").strip() == "late"


def test_dark_mode_is_dark(chromium: Browser, path: Path) -> None:
    with window(chromium, path, dark=True) as one:
        assert max(one.colour(one.run("replica.timeline.gutter") + 1, 790 - 200)) < 60
        assert one.run("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"


def test_phone_shows_everything_without_scrolling_sideways(chromium: Browser, path: Path) -> None:
    with window(chromium, path, width=360, height=740, phone=True) as one:
        assert one.run("document.documentElement.scrollWidth") <= 360
        one.page.touchscreen.tap(*one.place(30))
        assert one.text("#event-title") == "luna:BOXE message"
        box = one.page.locator("#body").bounding_box()
        assert box is not None
        assert box["y"] < 740
        assert box["x"] + box["width"] <= 360
        for button in ("#zoom-in", "#close", "#next"):
            size = one.page.locator(button).bounding_box()
            assert size is not None
            assert size["height"] >= 30


HOSTILE = [
    "</script><script>window.caught = 1</script>",
    "<img src=x onerror='window.caught = 2'>",
    "<!--<script>",
    "\u202e\u2028</pre><svg onload=window.caught=3>",
    "@SCRIPT@ @DATA@",
]


def test_text_of_peers_is_text_and_never_runs(chromium: Browser, tmp_path: Path) -> None:
    events = [event(number, text, {"text": text}, agent=text) for number, text in enumerate(HOSTILE)]
    path = tmp_path / "page.html"
    page = Page(
        HOSTILE[0], HOSTILE[1].replace("{", ""), report=Report(HOSTILE[1], False, [Table(HOSTILE[0], HOSTILE, [])])
    )
    path.write_bytes(build_page(events, page))
    with window(chromium, path) as one:
        for number, text in enumerate(HOSTILE):
            one.run(f"replica.choose({number})")
            assert one.run("document.getElementById('body').textContent").startswith(text)
        assert one.run("window.caught") is None
        assert one.run("document.querySelectorAll('img, svg, script').length") == 2, "its data and its own script"
        assert one.run("document.title") == HOSTILE[0]


def test_report_stands_beside_the_events(chromium: Browser, tmp_path: Path) -> None:
    table = Table("Origins", ("origin", "events"), [("BOXE", "67"), ("TUKA", None)])
    path = written(tmp_path, history(), report=Report("3 findings", sound=False, tables=[table]))
    with window(chromium, path) as one:
        assert one.text("#report-body").split("\n")[0] == "3 findings"
        assert one.page.locator("#report td").all_inner_texts() == ["BOXE", "67", "TUKA", "-"]
        one.page.click("#report-close")
        expect(one.page.locator("#report")).to_be_hidden()
        one.page.click("#report-button")
        expect(one.page.locator("#report")).to_be_visible()


def test_empty_history_is_a_page_too(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(build_page([], Page("History", "{events}")))
    with window(chromium, path) as one:
        assert one.text("#about") == "0 events"
        assert listed(one) == []


@pytest.mark.slow
def test_fifty_thousand_events_draw_no_more_than_the_window_has_pixels(chromium: Browser, tmp_path: Path) -> None:
    """What a frame costs is bounded by the screen: that is what keeps it smooth."""
    events = [
        event(number, "status", {"status": "active", "detail": str(number)}, agent=f"a{number % 40}")
        for number in range(50_000)
    ]
    with window(chromium, written(tmp_path, events)) as one:
        assert one.text("#count") == "50,000 events"
        marks = one.run("replica.timeline.marks")
        width = one.run("replica.timeline.width")
        assert 0 < marks <= 40 * width / 3
        assert len(listed(one)) < 60
        one.run("replica.list.box.scrollTop = 25000 * 40")
        assert any("active: 25000" in row for row in listed(one))
        one.page.fill("#search", "49999")
        expect(one.page.locator("#count")).to_have_text("1 of 50,000 events")
        one.page.click("#list .row")
        assert '"detail": "49999"' in one.text("#body")


@pytest.mark.slow
def test_replay_of_two_devices_that_met_again_shows_the_absence(chromium: Browser, tmp_path: Path) -> None:
    boxe, tuka = (Cli(folder) for folder in two_devices(tmp_path, events=120, minutes=480))
    for cli in (boxe, tuka):
        assert cli.ok("replay", "--format", "html", "-o", "page.html") == ""
        (tmp_path / "page.html").rename(tmp_path / f"{cli.folder.name}.html")
    with window(chromium, tmp_path / "boxe.html") as one:
        assert one.run("replica.model.data.devices") == ["BOXE", "TUKA"]
        ((device, begin, end),) = one.run("replica.model.data.absent")
        assert (device, round((end - begin) / 3_600_000, 1)) == (1, 4.5)
        assert one.run("replica.model.late.size") > 50
    with window(chromium, tmp_path / "tuka.html") as one:
        ((device, _, _),) = one.run("replica.model.data.absent")
        assert device == 0
    with Replica.open(boxe.folder) as replica:
        assert len(list(replica.events())) == 240
