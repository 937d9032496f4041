"""The loop on a clock that the test sets: sleep, and being woken."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from hcom_replica.core.effects import Now
from hcom_replica.daemon.bell import Bell
from hcom_replica.daemon.clock import SystemClock
from hcom_replica.daemon.loop import JUMP_MS, LOOK_MS, Loop
from tests.unit.daemon.fakes import Bench


class SetClock(SystemClock):
    """Real time, plus what the test adds to either clock."""

    def __init__(self) -> None:
        self.wall_extra_ms = 0
        self.mono_extra_ms = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.wall_extra_ms

    def monotonic_ms(self) -> int:
        return super().monotonic_ms() + self.mono_extra_ms


class Turns:
    """Counts the loop's turns; acts at one of them (a Caretaker)."""

    def __init__(self) -> None:
        self.count = 0

    def poll(self, now: Now) -> None:
        self.count += 1

    def wake_at(self) -> int | None:
        return None


class Scene:
    def __init__(self) -> None:
        self.bench = Bench()
        self.clock = SetClock()
        self.bell = Bell()
        self.loop = Loop(self.bench.engine, self.clock, self.bell)
        self.turns = Turns()
        self.loop.add(self.turns)

    def turn(self) -> None:
        self.bell.ring()
        before = self.turns.count
        self.loop.run(lambda _now: self.turns.count > before)


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.loop.close()
    made.bell.close()


def test_sleep_of_the_machine_renews_the_link(scene: Scene) -> None:
    scene.turn()
    scene.clock.mono_extra_ms = scene.clock.wall_extra_ms = LOOK_MS + JUMP_MS + 1_000
    scene.turn()
    assert scene.bench.happened()[-2:] == ["open will", "link2 start"]


@pytest.mark.parametrize("jump_ms", [-3_600_000, JUMP_MS + 1_000])
def test_wall_clock_that_is_set_renews_the_link(scene: Scene, jump_ms: int) -> None:
    scene.turn()
    scene.clock.wall_extra_ms = jump_ms
    scene.turn()
    assert scene.bench.happened()[-2:] == ["open will", "link2 start"]


def test_small_steps_of_the_clocks_renew_nothing(scene: Scene) -> None:
    for _ in range(3):
        scene.clock.wall_extra_ms += JUMP_MS - 1_000
        scene.turn()
    assert len(scene.bench.dialer.links) == 1


def test_bell_of_another_thread_ends_a_long_wait(scene: Scene) -> None:
    rung = threading.Event()

    def ring() -> None:
        rung.set()
        scene.bell.ring()

    timer = threading.Timer(0.05, ring)
    timer.start()
    scene.loop.run(lambda _now: rung.is_set())
    timer.join()


def test_loop_looks_again_within_a_second_though_nobody_rings(scene: Scene) -> None:
    scene.loop.run(lambda _now: scene.turns.count >= 2)
    scene.bench.happened()
    scene.bench.log.foreign_append()
    scene.loop.run(lambda _now: "log_moved" in scene.bench.told)
