from __future__ import annotations

from hcom_replica.testing.scheduler import Alarm, Scheduler


def test_run_until_with_several_callbacks_runs_them_by_time_then_by_order_of_asking() -> None:
    scheduler, ran = Scheduler(1), list[str]()
    for ms, name in ((20, "c"), (10, "a"), (20, "d"), (10, "b"), (31, "late")):
        scheduler.at(ms, ran.append, name)
    scheduler.run_until(30)
    assert ran == ["a", "b", "c", "d"]
    assert scheduler.now_ms == 30
    assert scheduler.next_due_ms() == 31


def test_at_with_a_time_that_has_passed_runs_now_and_never_moves_the_clock_back() -> None:
    scheduler, seen = Scheduler(1), list[int]()
    scheduler.run_until(100)
    scheduler.at(5, lambda: seen.append(scheduler.now_ms))
    scheduler.step()
    assert seen == [100]


def test_cancel_before_it_is_due_keeps_it_from_running() -> None:
    scheduler, ran = Scheduler(1), list[str]()
    timer = scheduler.after(10, ran.append, "x")
    timer.cancel()
    timer.cancel()
    assert not timer.pending
    assert scheduler.next_due_ms() is None
    assert scheduler.step() is False
    assert ran == []


def test_alarm_when_set_again_runs_the_last_thing_only_and_after_stop_nothing() -> None:
    scheduler, ran = Scheduler(1), list[str]()
    alarm = Alarm(scheduler)
    alarm.set(10, ran.append, "x")
    alarm.set(20, ran.append, "y")
    assert alarm.pending
    scheduler.run_until(30)
    assert (ran, alarm.pending) == (["y"], False)
    alarm.set(10, ran.append, "z")
    alarm.stop()
    scheduler.run_until(60)
    assert (ran, alarm.pending) == (["y"], False)


def test_step_with_a_callback_that_asks_for_another_runs_both_in_turn() -> None:
    scheduler, ran = Scheduler(1), list[int]()

    def again(left: int) -> None:
        ran.append(scheduler.now_ms)
        if left:
            scheduler.after(7, again, left - 1)

    scheduler.after(0, again, 2)
    while scheduler.step():
        pass
    assert ran == [0, 7, 14]


def test_run_while_with_a_condition_that_ends_stops_at_that_moment() -> None:
    scheduler, ran = Scheduler(1), list[int]()
    for ms in (10, 20, 30):
        scheduler.at(ms, ran.append, ms)
    assert scheduler.run_while(lambda: len(ran) < 2, 1_000) is True
    assert (ran, scheduler.now_ms) == ([10, 20], 20)


def test_run_while_with_a_condition_that_never_ends_stops_at_the_limit() -> None:
    scheduler, ran = Scheduler(1), list[int]()
    scheduler.at(50, ran.append, 50)
    assert scheduler.run_while(lambda: True, 40) is False
    assert (ran, scheduler.now_ms) == ([], 40)


def test_between_with_a_range_draws_both_ends_and_nothing_outside() -> None:
    scheduler = Scheduler(3)
    assert {scheduler.between((4, 6)) for _ in range(200)} == {4, 5, 6}
    state = scheduler.random.getstate()
    assert scheduler.between((9, 9)) == 9
    assert scheduler.random.getstate() == state
