"""When a device leaves the air to others, because all hear what each asks (P7.7)."""

from __future__ import annotations

import pytest

from hcom_replica.core.crowd import Crowd
from hcom_replica.core.pace import Waits
from hcom_replica.core.settings import Settings
from hcom_replica.limits import MAILBOX_SLOTS
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Index, Want, WantItem
from tests.unit.core.builders import WALL, Device, Parts, at
from tests.unit.core.pulling import ORIGIN, Pulling, crowded, device, line

USUAL = Settings()
NOW = at(10_000)


def crowd(devices: int) -> Crowd:
    """Of a group of so many, on a connection that has stood for a while."""
    waits = Waits(USUAL, Parts(Device("BOXE")).outbox)
    waits.devices = devices
    made = Crowd(waits)
    made.link_up(at(0))
    return made


@pytest.mark.parametrize("devices", [1, 9])
def test_few_ask_as_often_as_they_like(devices: int) -> None:
    few = crowd(devices)
    few.asked(NOW)
    few.heard(NOW, 10_000)
    assert few.held_back(NOW) is None


@pytest.mark.parametrize(("devices", "pause_ms"), [(10, 50), (100, 500), (1_000, 5_000)])
def test_time_between_two_wants_grows_with_the_group(devices: int, pause_ms: int) -> None:
    some = crowd(devices)
    some.asked(NOW)
    assert some.held_back(at(10_000 + pause_ms - 1)) == 10_000 + pause_ms
    assert some.held_back(at(10_000 + pause_ms)) is None


def test_member_of_a_large_group_listens_before_it_asks() -> None:
    assert crowd(101).held_back(at(1_499)) == 1_500
    assert crowd(101).held_back(at(1_500)) is None
    assert crowd(100).held_back(at(1)) is None


@pytest.mark.parametrize("devices", [101, 1_000])
def test_nobody_asks_while_enough_is_asked_for(devices: int) -> None:
    some = crowd(devices)
    some.heard(NOW, 256)
    assert some.held_back(NOW) is None
    some.heard(NOW, 1)
    later_ms = some.held_back(NOW)
    assert later_ms is not None
    assert USUAL.ask_ms_min * devices // 100 <= later_ms - 10_000 < USUAL.ask_ms_max * devices // 100


def test_flood_of_wants_keeps_nobody_from_asking_for_ever() -> None:
    """By a member, say: then once a minute"""
    some, asked = crowd(1_000), list[int]()
    for ms in range(10_000, 200_000, 1_000):
        some.heard(at(ms), 10_000)
        if some.held_back(at(ms)) is None:
            asked.append(ms)
            some.asked(at(ms))
    assert len(asked) == 2
    assert all(60_000 <= later - before <= 75_000 for before, later in zip([10_000, *asked], asked, strict=False))


def test_what_was_asked_for_two_seconds_ago_holds_nobody_back() -> None:
    some = crowd(101)
    some.heard(at(10_999), 257)
    assert crowd(101).held_back(at(11_999)) is None
    assert some.held_back(at(11_999)) is not None
    other = crowd(101)
    other.heard(at(10_999), 257)
    assert other.held_back(at(12_000)) is None


def test_wants_of_a_group_of_ten_go_out_one_after_the_other() -> None:
    """A window that takes one origin: four of the nine are asked for at once, but for this."""
    boxe = Pulling(Settings(window_bytes_first=1))
    crowded(boxe, 9)
    times = [ms for ms, _ in boxe.run(0, 1_200)]
    assert len(times) == USUAL.pulls_max
    assert len(set(times)) == len(times)


def test_mailbox_is_read_whoever_was_asked_just_now() -> None:
    boxe = Pulling()
    crowded(boxe, 9)
    boxe.run(0, 1_500)
    asked = len(boxe.wants)
    assert asked
    writer = device("LUNA")
    lines = [line(ORIGIN, 3, 1, 2)]
    before = set(boxe.filters)
    boxe.parts.hear(writer, Kind.INDEX, Index(writer.counter(), WALL, MAILBOX_SLOTS, lines), now=at(1_500))
    boxe.run(1_500, 3_000)
    assert any("/m/" in name for name in boxe.filters - before)


def test_wants_of_others_in_a_large_group_are_heard_before_something_is_asked_for() -> None:
    """And fills: what others ask for comes here, too."""
    quiet, loud = Pulling(), Pulling()
    for boxe in (quiet, loud):
        crowded(boxe, 100)
    for ms in range(1_000, 6_000, 250):
        items = [WantItem(number.to_bytes(8, "big"), 1, 0) for number in range(64)]
        for number in range(5):
            loud.puller.others_want(at(ms), Want(number + 1, ORIGIN, 1_000, items), None)
        quiet.tick(ms)
        loud.tick(ms)
    assert quiet.wants
    assert not loud.wants
