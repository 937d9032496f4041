"""The engine: order of effects, what a failing store ends, links one after the other, dying between any two effects."""

from __future__ import annotations

import pytest

from hcom_replica.core.effects import (
    Disconnect,
    Effect,
    Ingest,
    NotePeers,
    OpenIncarnation,
    Promise,
    Publish,
    Subscribe,
    Trace,
    Unsubscribe,
)
from hcom_replica.core.origin import CommitRow, OriginState
from hcom_replica.core.reader import OwnTip
from hcom_replica.core.report import IngestReport
from hcom_replica.daemon.backoff import REFUSED_MS, STEADY_MS
from hcom_replica.daemon.engine import ANOTHER_MS, BYTES_MAX, EVENTS_MAX
from hcom_replica.ids import OriginId
from hcom_replica.ports import Delivered, LinkDown, Published, Subscribed
from hcom_replica.testing.storefaults import Crash
from tests.unit.daemon.fakes import UP, Bench, at

STATE = OriginState(b"h" * 32, b"k" * 32, b"i" * 12, (), 0, 1, 1, b"t" * 32, 1, 1, "A", 0)
TIP = OwnTip(STATE, CommitRow(1, 1, 1, b"t" * 32, b"s" * 64), 1)
PUBLISH = Publish(7, "t", b"x", retain=False)


def note(page: int, received_ms: int = 1) -> tuple[int, OriginId, int, int, bytes]:
    return (1, OriginId(b"peer0000"), page, received_ms, b"slot")


# --- order ---------------------------------------------------------------------------------------------------


def test_effects_in_a_list_are_carried_out_in_their_order() -> None:
    bench = Bench().online()
    bench.log.tip = TIP
    bench.machine.plan = [[Subscribe(("a", "b")), Promise(), PUBLISH, Unsubscribe(("a",))]]
    bench.step(1)
    assert bench.happened() == [
        "link1 subscribe a b",
        "log promise",
        "promised",
        "link1 publish t 7",
        "link1 unsubscribe a",
    ]


def test_ingest_before_a_publish_is_told_before_the_publish() -> None:
    bench = Bench().online()
    bench.machine.plan = [[Ingest(()), PUBLISH]]
    bench.step(1)
    assert bench.happened() == ["log ingest", "ingested", "link1 publish t 7"]


def test_effects_that_results_bring_are_carried_out_in_the_same_step() -> None:
    bench = Bench().online()
    bench.machine.plan = [[Ingest(())]]
    bench.machine.answers["ingested"] = [PUBLISH]
    bench.step(1)
    assert bench.happened() == ["log ingest", "ingested", "link1 publish t 7"]


def test_link_events_in_one_drain_reach_the_machine_before_its_effects_are_taken() -> None:
    bench = Bench().online()
    bench.dialer.link.queue += [Delivered("a", b"1", retain=True), Subscribed(("f",)), Published(3, refused=True)]
    bench.machine.answers["received a"] = [PUBLISH]
    bench.step(1)
    assert bench.happened() == ["received a", "subscribed f", "published 3 True", "link1 publish t 7"]


def test_disconnect_between_publishes_keeps_the_later_ones_from_any_link() -> None:
    bench = Bench().online()
    bench.machine.plan = [[PUBLISH, Disconnect("enough"), PUBLISH]]
    bench.step(1)
    assert bench.happened() == ["link1 publish t 7", "link1 close", "ended True", "link_down enough"]


def test_publish_before_the_link_is_up_is_not_handed_over() -> None:
    bench = Bench()
    bench.step(0)
    bench.happened()
    bench.machine.plan = [[PUBLISH, Subscribe(("a",))]]
    bench.step(1)
    assert bench.happened() == []


@pytest.mark.parametrize("count", range(4))
def test_crash_before_any_effect_leaves_the_ones_before_done_and_the_rest_undone(count: int) -> None:
    bench = Bench().online()
    effects: list[Effect] = [Ingest(()), Subscribe(("a",)), PUBLISH, OpenIncarnation("why")]
    bench.machine.plan = [list(effects)]
    bench.die_before = effects[count]
    with pytest.raises(Crash):
        bench.step(1)
    done = [["log ingest", "ingested"], ["link1 subscribe a"], ["link1 publish t 7"]]
    assert bench.happened() == [line for lines in done[:count] for line in lines]


# --- bounds --------------------------------------------------------------------------------------------------


def test_many_link_events_are_taken_in_bounded_steps_without_draining_more() -> None:
    bench = Bench().online()
    link = bench.dialer.link
    link.queue += [Delivered("a", b"", retain=False)] * (EVENTS_MAX + 1)
    drains = link.drains
    assert bench.step(5) == 5
    assert len(bench.happened()) == EVENTS_MAX
    link.queue.append(Delivered("b", b"", retain=False))
    bench.step(5)
    assert bench.happened() == ["received a"]
    assert link.drains == drains + 1
    bench.step(5)
    assert bench.happened() == ["received b"]


def test_large_messages_end_a_step_by_their_bytes() -> None:
    bench = Bench().online()
    bench.dialer.link.queue += [Delivered("a", bytes(BYTES_MAX), retain=False), Delivered("b", b"", retain=False)]
    assert bench.step(5) == 5
    assert bench.happened() == ["received a"]


def test_machine_that_wants_the_past_is_ticked_and_cannot_stop_time() -> None:
    bench = Bench().online()
    bench.machine.wake = 3
    assert bench.step(2) == 3
    bench.machine.wake = 1
    bench.machine.answers["tick"] = []
    bench.step(5)
    assert bench.happened() == ["tick"]
    bench.machine.wake = 1
    bench.engine.step(at(6))
    bench.machine.wake = 1
    assert bench.engine._wake_at(at(7)) == 8


# --- the log -------------------------------------------------------------------------------------------------


def test_append_of_another_process_is_noticed_once() -> None:
    bench = Bench().online()
    bench.log.foreign_append()
    bench.step(1)
    bench.step(2)
    assert bench.happened() == ["log_moved"]


def test_what_was_appended_is_sent_before_anything_else_is_thought_about() -> None:
    bench = Bench().online()
    bench.log.foreign_append()
    bench.machine.answers["log_moved"] = [PUBLISH]
    bench.machine.wake = 0
    assert bench.step(1) == 2
    assert bench.happened() == ["log_moved", "link1 publish t 7"]
    bench.step(2)
    assert bench.happened() == ["tick"]


def test_appends_without_end_do_not_keep_the_machine_from_thinking() -> None:
    bench = Bench().online()
    for ms in range(1, 5):
        bench.log.foreign_append()
        bench.machine.wake = 0
        bench.step(ms)
    assert bench.happened() == ["log_moved", "log_moved", "tick", "log_moved", "log_moved", "tick"]


def test_own_ingest_is_not_taken_for_an_append() -> None:
    bench = Bench().online()
    bench.log.report = IngestReport((), 5, (), (), None)
    bench.machine.plan = [[Ingest(())]]
    bench.step(1)
    bench.step(2)
    assert bench.happened() == ["log ingest", "ingested"]


def test_append_during_an_own_ingest_is_noticed() -> None:
    bench = Bench().online()
    bench.log.report = IngestReport((), 5, (), (), None)
    bench.machine.plan = [[Ingest(())]]
    bench.step(1)
    bench.log.foreign_append()
    bench.happened()
    bench.step(2)
    assert bench.happened() == ["log_moved"]


def test_promise_without_an_own_event_tells_nothing() -> None:
    bench = Bench().online()
    bench.machine.plan = [[Promise()]]
    bench.step(1)
    assert bench.happened() == ["log promise"]


def test_incarnation_is_opened_and_told_once() -> None:
    bench = Bench().online()
    bench.machine.plan = [[OpenIncarnation("clone")]]
    bench.step(1)
    bench.step(2)
    assert bench.happened() == ["log open clone", "log_moved"]


def test_first_incarnation_that_another_process_has_opened_is_not_opened_twice() -> None:
    bench = Bench().online()
    bench.log.own = STATE
    bench.machine.plan = [[OpenIncarnation("first")]]
    bench.step(1)
    assert bench.happened() == ["log_moved"]


# --- a store that fails --------------------------------------------------------------------------------------


def test_ingest_into_a_full_store_ends_the_step_and_the_link() -> None:
    bench = Bench().online()
    bench.log.full = True
    bench.machine.plan = [[Ingest(()), PUBLISH]]
    bench.step(1)
    assert bench.happened() == ["ingest_failed", "link1 close", "ended True", "link_down the store failed: no room"]
    assert Trace("store failed", (("kind", "store-full"), ("error", "no room"))) in bench.traces


def test_promise_into_a_full_store_announces_nothing() -> None:
    bench = Bench().online()
    bench.log.full = True
    bench.machine.plan = [[Promise(), PUBLISH]]
    bench.step(1)
    assert bench.happened() == ["link1 close", "ended True", "link_down the store failed: no room"]


def test_incarnation_that_found_no_room_is_opened_before_the_next_link() -> None:
    bench = Bench().online()
    bench.log.full = True
    bench.machine.plan = [[OpenIncarnation("clone")]]
    wake_ms = bench.step(1)
    assert wake_ms is not None
    bench.happened()
    wake_ms = bench.step(wake_ms)
    assert wake_ms is not None
    assert bench.happened() == []
    bench.log.full = False
    bench.step(wake_ms)
    assert bench.happened() == ["log open clone", "log_moved", "open will", "link2 start"]


# --- links ---------------------------------------------------------------------------------------------------


def test_first_step_dials_with_the_will_of_the_machine() -> None:
    bench = Bench()
    bench.step(0)
    assert bench.happened() == ["log_moved", "open will", "link1 start"]


def test_machine_without_a_will_dials_without_one() -> None:
    bench = Bench()
    bench.machine.has_will = False
    bench.step(0)
    assert "open None" in bench.happened()


def test_link_that_never_came_up_is_not_told_as_down() -> None:
    bench = Bench()
    bench.step(0)
    bench.happened()
    bench.lose(1)
    assert bench.happened() == ["link1 close", "ended False"]


def test_lost_links_are_followed_by_new_ones_after_growing_pauses() -> None:
    bench = Bench()
    bench.step(0)
    now = 0
    pauses = []
    for _ in range(8):
        pauses.append(bench.lose(now))
        now += pauses[-1]
        bench.step(now)
    assert pauses == [750, 1500, 3000, 6000, 12000, 12000, 12000, 12000]
    assert len(bench.dialer.links) == 9


def lives(bench: Bench, now: int, lived_ms: int) -> tuple[int, int]:
    """A link comes up, lives so long, and is lost; when it is dialled again, and the pause before that."""
    bench.dialer.link.queue.append(UP)
    bench.step(now)
    pause_ms = bench.lose(now + lived_ms)
    bench.step(now + lived_ms + pause_ms)
    return now + lived_ms + pause_ms, pause_ms


def test_link_that_came_up_makes_the_next_pause_short() -> None:
    bench = Bench()
    bench.step(0)
    now = 0
    for _ in range(5):
        now += bench.lose(now)
        bench.step(now)
    assert lives(bench, now, STEADY_MS)[1] == 750


def test_links_that_end_at_once_are_followed_by_growing_pauses_until_one_lives() -> None:
    bench = Bench()
    bench.step(0)
    now, pauses = 0, []
    for lived_ms in (10, 10, 10, 10, 10, 10, STEADY_MS, 10):
        now, pause_ms = lives(bench, now, lived_ms)
        pauses.append(pause_ms)
    assert pauses == [750, 1500, 3000, 6000, 12000, 12000, 750, 750]


def test_refusal_makes_the_pause_long_at_once() -> None:
    bench = Bench()
    bench.step(0)
    assert bench.lose(1, refused=True) >= REFUSED_MS // 2


def test_refusal_with_another_broker_to_try_makes_it_short() -> None:
    bench = Bench()
    bench.dialer.another = True
    bench.step(0)
    assert bench.lose(1, refused=True) == ANOTHER_MS


def test_renew_closes_the_link_and_dials_at_once() -> None:
    bench = Bench().online()
    bench.engine.renew(at(5), "slept")
    bench.step(5)
    assert bench.happened() == ["link1 close", "ended True", "link_down slept", "open will", "link2 start"]


def test_disabled_engine_dials_nothing_until_enabled() -> None:
    bench = Bench(enabled=False)
    assert bench.step(0) is None
    bench.engine.renew(at(1), "slept")
    assert bench.step(1) is None
    assert bench.happened() == ["log_moved"]
    bench.engine.enable(at(2), enabled=True)
    bench.step(2)
    assert bench.happened() == ["open will", "link1 start"]
    bench.engine.enable(at(3), enabled=False)
    assert bench.step(3) is None
    assert not bench.engine.enabled


def test_events_behind_the_end_of_a_link_are_not_told() -> None:
    bench = Bench().online()
    link = bench.dialer.link
    bench.lose(1)
    link.queue.append(Delivered("late", b"", retain=False))
    bench.step(2)
    assert "received late" not in bench.happened()


# --- closing -------------------------------------------------------------------------------------------------


def test_closing_online_waits_for_the_machine_and_makes_no_new_link() -> None:
    bench = Bench().online()
    bench.engine.begin_closing(at(1))
    bench.step(1)
    assert not bench.engine.closed
    bench.machine.is_closed = True
    assert bench.engine.closed
    bench.engine.close(at(2))
    assert bench.step(60_000_000) is None
    assert bench.happened() == ["closing", "link1 close", "ended True", "link_down stopping"]


def test_closing_while_connecting_waits_for_nothing() -> None:
    bench = Bench()
    bench.step(0)
    bench.engine.begin_closing(at(1))
    assert bench.engine.closed
    assert "closing" not in bench.happened()


def test_link_lost_while_closing_ends_the_waiting() -> None:
    bench = Bench().online()
    bench.engine.begin_closing(at(1))
    bench.dialer.link.queue.append(LinkDown("lost"))
    bench.step(2)
    assert bench.engine.closed


# --- notes ---------------------------------------------------------------------------------------------------


def test_notes_are_written_together_once_a_second_the_newest_of_each_slot() -> None:
    bench = Bench().online()
    bench.machine.plan = [[NotePeers((note(1), note(2)))], []]
    assert bench.step(10) == 1010
    bench.machine.plan = [[NotePeers((note(1, received_ms=2),))]]
    bench.step(500)
    assert bench.happened() == []
    bench.step(1010)
    assert bench.happened() == ["log notes 2"]
    assert note(1, received_ms=2) in bench.log.notes
    assert note(1) not in bench.log.notes


def test_notes_that_wait_are_written_at_close() -> None:
    bench = Bench().online()
    bench.machine.plan = [[NotePeers((note(1),))]]
    bench.step(10)
    bench.engine.close(at(11))
    assert "log notes 1" in bench.happened()


def test_notes_that_found_no_room_wait_and_end_nothing() -> None:
    bench = Bench().online()
    bench.log.full = True
    bench.machine.plan = [[NotePeers((note(1),))]]
    bench.step(0)
    bench.step(1000)
    assert bench.engine.online
    bench.log.full = False
    bench.step(61_000)
    assert bench.happened() == ["log notes 1"]
