from __future__ import annotations

import pytest

from hcom_replica.api.event import Event
from hcom_replica.api.replaying import Pace, read_gap_ms, read_speed, told_span
from hcom_replica.errors import UsageError
from hcom_replica.ids import EventId, OriginId
from hcom_replica.wire import event as wire


class World:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self.told: list[tuple[int, int]] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def pace(self, speed: float | None, gap_max_ms: int = 5_000) -> Pace:
        return Pace(speed, gap_max_ms, lambda *gap: self.told.append(gap), self.sleep, lambda: self.now)


def events(*times_ms: int) -> list[Event]:
    name = EventId(OriginId(bytes(8)), 1)
    return [Event(name, wire.Event(0, "k", None, time * 1_000, b"1"), "BOXE") for time in times_ms]


def test_pace_of_one_waits_as_long_as_there_was_between_events() -> None:
    world = World()
    assert len(list(world.pace(1).paced(events(1_000, 1_500, 3_500)))) == 3
    assert world.slept == pytest.approx([0.5, 2.0])


def test_pace_of_ten_waits_a_tenth() -> None:
    world = World()
    list(world.pace(10).paced(events(0, 1_000)))
    assert world.slept == pytest.approx([0.1])


def test_pace_without_speed_never_waits() -> None:
    world = World()
    list(world.pace(None).paced(events(0, 10**9)))
    assert world.slept == []


def test_pace_shortens_a_long_gap_and_says_so() -> None:
    world = World()
    list(world.pace(2, 3_000).paced(events(0, 60_000, 61_000)))
    assert world.slept == pytest.approx([3.0, 0.5])
    assert world.told == [(60_000, 3_000)]


def test_pace_of_events_that_show_earlier_times_does_not_wait() -> None:
    world = World()
    list(world.pace(1).paced(events(10_000, 2_000, 2_500)))
    assert world.slept == pytest.approx([0.5])


def test_pace_makes_good_for_a_slow_reader() -> None:
    world = World()
    for _ in world.pace(1).paced(events(0, 1_000, 2_000)):
        world.now += 0.4
    assert world.slept == pytest.approx([0.6, 0.6])


@pytest.mark.parametrize(("text", "speed"), [("1x", 1.0), ("10x", 10.0), ("0.5x", 0.5), ("2", 2.0), ("max", None)])
def test_speed_is_read(text: str, speed: float | None) -> None:
    assert read_speed(text) == speed


@pytest.mark.parametrize("text", ["", "fast", "0x", "-1x", "x", "1e9x", "nan"])
def test_speed_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--speed"):
        read_speed(text)


def test_gap_is_a_span() -> None:
    assert read_gap_ms("2m") == 120_000
    with pytest.raises(UsageError, match="--gap soon"):
        read_gap_ms("soon")


@pytest.mark.parametrize(
    ("ms", "told"),
    [(0, "0 ms"), (999, "999 ms"), (5_000, "5 s"), (61_000, "1 min 1 s"), (7_200_000, "2 h"), (90_000_000, "1 d 1 h")],
)
def test_span_is_told_in_its_largest_units(ms: int, told: str) -> None:
    assert told_span(ms) == told
