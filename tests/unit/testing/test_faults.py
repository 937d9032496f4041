from __future__ import annotations

import random

import pytest

from hcom_replica.ports import Will
from hcom_replica.testing.faults import Fault, Kind, random_plan
from tests.unit.testing.world import QUICK, Client, World

GONE = Will("will", b"gone")


def subscribed(world: World, name: str = "A", *, will: Will | None = None) -> Client:
    client = world.online(name, will=will)
    client.subscribe("#")
    client.forget()
    return client


def test_drop_down_loses_deliveries_and_counts_them() -> None:
    world = World()
    a, b = subscribed(world, "A"), subscribed(world, "B")
    world.faults.on(Kind.DROP_DOWN, "A")
    for _ in range(30):
        world.broker.inject("t", b"x")
    world.run(1_000)
    assert (len(a.messages()), len(b.messages())) == (0, 30)
    assert world.faults.of("A").hits == {Kind.DROP_DOWN: 30}
    world.faults.off(Kind.DROP_DOWN, "A")
    world.broker.inject("t", b"x")
    world.run(100)
    assert len(a.messages()) == 1


def test_drop_up_is_acknowledged_and_never_taken() -> None:
    world = World()
    a = world.online("A")
    world.faults.on(Kind.DROP_UP, "A")
    a.publish("t", b"x", retain=True, token=7)
    world.run(100)
    assert [(ack.token, ack.refused) for ack in a.acks()] == [(7, False)]
    assert (world.retained(), world.faults.hits()) == ({}, {Kind.DROP_UP: 1})


def test_rate_below_one_strikes_some() -> None:
    world = World()
    a = subscribed(world)
    world.faults.on(Kind.DROP_DOWN, "A", rate=0.3)
    for _ in range(500):
        world.broker.inject("t", b"x")
    world.run(10_000)
    struck = world.faults.hits()[Kind.DROP_DOWN]
    assert 100 < struck < 200
    assert len(a.messages()) == 500 - struck


def test_delay_makes_later_and_holds_up_what_is_behind() -> None:
    world = World()
    a = subscribed(world)
    world.faults.on(Kind.DELAY, "A", span_ms=(300, 300))
    world.broker.inject("t", b"1")
    world.faults.off(Kind.DELAY, "A")
    world.broker.inject("u", b"2")
    world.run(309)
    assert a.payloads() == []
    world.run(1)
    assert a.payloads() == [b"1", b"2"]
    assert world.faults.hits()[Kind.DELAY] == 1


def test_duplicate_comes_twice_in_order_and_is_acknowledged_once() -> None:
    world = World()
    a = subscribed(world)
    world.faults.on(Kind.DUPLICATE, "A")
    world.broker.inject("t", b"1")
    world.broker.inject("t", b"2")
    world.run(1_000)
    assert a.payloads() == [b"1", b"1", b"2", b"2"]
    session = next(iter(world.broker.sessions.values()))
    assert (session.waiting, session._inflight) == (0, 0)


def test_late_duplicate_of_a_retained_publish_overwrites_a_newer_value() -> None:
    world = World()
    a = world.online("A")
    world.faults.on(Kind.DUPLICATE, "A", span_ms=(1_000, 1_000))
    a.publish("head", b"old", retain=True, token=1)
    world.faults.off(Kind.DUPLICATE, "A")
    a.publish("head", b"new", retain=True, token=2)
    world.run(500)
    assert world.retained() == {"head": b"new"}
    world.run(1_000)
    assert world.retained() == {"head": b"old"}
    assert [ack.token for ack in a.acks()] == [1, 2]


def test_reorder_lets_other_topics_overtake_but_keeps_each_topic_in_order() -> None:
    world = World()
    a = subscribed(world)
    world.faults.on(Kind.REORDER, "A", rate=0.5)
    sent = [(f"t/{number % 5}", b"%03d" % number) for number in range(200)]
    for topic, payload in sent:
        world.broker.inject(topic, payload)
        world.run(20)
    world.run(10_000)
    assert a.payloads() != [payload for _, payload in sent]
    for topic in {topic for topic, _ in sent}:
        arrived = [payload for name, payload, _ in a.messages() if name == topic]
        assert arrived == [payload for name, payload in sent if name == topic]


def test_corrupt_changes_bytes_but_not_the_length_and_not_what_is_stored() -> None:
    world = World()
    a, b = subscribed(world, "A"), subscribed(world, "B")
    world.faults.on(Kind.CORRUPT, "A")
    world.broker.inject("t", b"payload", retain=True)
    world.run(100)
    assert b.payloads() == [b"payload"]
    assert a.payloads() != [b"payload"]
    assert len(a.payloads()[0]) == 7
    assert world.retained() == {"t": b"payload"}
    b.publish("u", b"", token=2)
    world.run(100)
    assert len(a.payloads()[1]) == 1


def test_corrupt_on_the_way_up_reaches_everybody() -> None:
    world = World()
    a = world.online("A")
    world.faults.on(Kind.CORRUPT, "A")
    a.publish("t", b"payload", retain=True)
    world.run(100)
    assert world.retained()["t"] != b"payload"


def test_one_way_up_still_receives_until_both_sides_give_up_by_themselves() -> None:
    world = World()
    a = subscribed(world, will=GONE)
    world.faults.on(Kind.ONE_WAY_UP, "A")
    a.publish("t", b"lost", retain=True)
    world.broker.inject("t", b"heard")
    world.run(QUICK.client_detect_ms - 1)
    assert (a.payloads(), a.downs(), a.link.pending_bytes()) == ([b"heard"], [], 4)
    world.run(1)
    assert (len(a.downs()), len(world.broker.sessions)) == (1, 1)
    world.run(QUICK.broker_detect_ms)
    assert (world.broker.sessions, world.retained()) == ({}, {"will": b"gone"})
    assert world.faults.hits()[Kind.ONE_WAY_UP] >= 1


def test_one_way_down_is_noticed_by_the_device_whose_reset_fires_the_will() -> None:
    world = World()
    a = subscribed(world, will=GONE)
    world.faults.on(Kind.ONE_WAY_DOWN, "A")
    a.publish("t", b"taken", retain=True)
    world.run(QUICK.client_detect_ms - 1)
    assert (a.events(), world.retained()) == ([], {"t": b"taken"})
    world.run(1 + 10)
    assert len(a.downs()) == 1
    assert world.retained()["will"] == b"gone"


def test_black_hole_healed_in_time_delivers_what_was_held_back_in_order() -> None:
    world = World()
    a = subscribed(world, will=GONE)
    world.faults.on(Kind.BLACK_HOLE, "A")
    a.publish("up", b"1", retain=True, token=1)
    for number in range(3):
        world.broker.inject("t", b"%d" % number)
    world.run(50_000)
    assert (a.events(), world.retained()) == ([], {})
    world.faults.heal("A")
    world.run(1_000_000)
    assert a.payloads() == [b"0", b"1", b"2", b"1"]
    assert ([ack.token for ack in a.acks()], a.downs(), world.retained()) == ([1], [], {"up": b"1"})
    assert world.faults.hits()[Kind.BLACK_HOLE] == 4


def test_black_hole_at_start_ends_in_no_answer_and_leaves_nothing_at_the_broker() -> None:
    world = World()
    world.faults.on(Kind.BLACK_HOLE, "A")
    a = world.client("A", will=GONE)
    world.run(QUICK.connect_timeout_ms)
    assert [down.reason for down in a.downs()] == ["no answer"]
    assert world.faults.of("A").targets == []
    world.faults.heal()
    world.run(1_000_000)
    assert (world.broker.sessions, world.retained()) == ({}, {})


@pytest.mark.parametrize("kind", [Kind.BLACK_HOLE, Kind.ONE_WAY_UP, Kind.ONE_WAY_DOWN])
def test_hole_healed_while_connecting_lets_the_connection_come_up(kind: Kind) -> None:
    world = World()
    world.faults.on(kind, "A")
    a = world.client("A")
    world.run(5_000)
    assert (a.events(), world.broker.sessions) == ([], {})
    world.faults.off(kind, "A")
    world.run(1_000_000)
    assert (len(a.ups()), a.downs(), len(world.broker.sessions)) == (1, [], 1)


def test_hole_from_connack_on_healed_before_the_timeout_keeps_the_session() -> None:
    world = World()
    a = world.client("A", will=GONE)
    world.run(15)
    world.faults.on(Kind.BLACK_HOLE, "A")
    world.run(5_000)
    world.faults.heal()
    world.run(1_000_000)
    assert (len(a.ups()), a.downs(), world.retained()) == (1, [], {})


def test_hole_from_connack_on_that_stays_is_noticed_by_the_keepalives_of_both() -> None:
    world = World()
    a = world.client("A", will=GONE)
    world.run(15)
    world.faults.on(Kind.BLACK_HOLE, "A")
    world.run(5 + QUICK.client_detect_ms - 1)
    assert (len(a.ups()), a.downs()) == (1, [])
    world.run(1)
    assert (len(a.downs()), world.retained()) == (1, {})
    world.run(QUICK.broker_detect_ms)
    assert world.retained() == {"will": b"gone"}


def test_crash_in_a_hole_is_noticed_by_the_brokers_keepalive_only() -> None:
    world = World()
    a = world.online("A", will=GONE)
    world.faults.on(Kind.ONE_WAY_UP, "A")
    a.link.crash()
    world.run(QUICK.broker_detect_ms - 1)
    assert world.retained() == {}
    world.run(1)
    assert world.retained() == {"will": b"gone"}


def test_close_in_a_hole_never_reaches_the_broker_so_the_will_fires() -> None:
    world = World()
    a = world.online("A", will=GONE)
    world.faults.on(Kind.ONE_WAY_UP, "A")
    a.link.close()
    world.run(QUICK.broker_detect_ms)
    assert world.retained() == {"will": b"gone"}
    assert world.faults.of("A").targets == []


def test_partition_cuts_its_set_and_refuses_new_connections_until_healed() -> None:
    world = World()
    a, b, c = (world.online(name, will=Will(f"will/{name}", b"gone")) for name in "ABC")
    world.faults.partition("A", "B")
    again = world.client("A")
    world.run(QUICK.broker_detect_ms)
    assert (len(a.downs()), len(b.downs()), c.downs()) == (1, 1, [])
    assert [down.reason for down in again.downs()] == ["network unreachable"]
    assert world.retained() == {"will/A": b"gone", "will/B": b"gone"}
    assert world.faults.hits() == {Kind.PARTITION: 3}
    world.faults.heal("A", "B")
    world.online("A")


def test_cut_ends_connections_once_and_new_ones_work() -> None:
    world = World()
    a = world.online("A", will=GONE)
    world.faults.cut("A", client_after_ms=None, broker_after_ms=0)
    world.faults.cut("A")
    world.run(1)
    assert (a.downs(), world.retained()) == ([], {"will": b"gone"})
    world.online("A")
    world.run(QUICK.client_detect_ms)
    assert len(a.downs()) == 1
    assert world.faults.hits() == {Kind.CUT: 1}


def test_links_that_ended_leave_the_switchboard() -> None:
    world = World()
    for _ in range(5):
        world.online("A").link.close()
        world.run(100)
        world.online("A").link.sever()
        world.run(100_000)
        world.online("A")
        world.broker.restart()
        world.run(100)
    assert world.faults.of("A").targets == []


def test_plan_switches_on_and_off_at_its_times() -> None:
    world = World()
    a = subscribed(world)
    now = world.scheduler.now_ms
    world.faults.plan(
        [
            Fault(Kind.DROP_DOWN, ("A",), now + 100, now + 200),
            Fault(Kind.PARTITION, ("A",), now + 1_000, now + 2_000, broker_after_ms=0),
            Fault(Kind.CUT, ("A",), now + 3_000, now + 3_000),
        ]
    )
    for payload in (b"before", b"within", b"after"):
        world.broker.inject("t", payload)
        world.run(120)
    assert a.payloads() == [b"before", b"after"]
    world.run(1_000)
    assert len(a.downs()) == 1
    world.scheduler.run_until(now + 2_001)
    again = world.online("A")
    world.run(2_000)
    assert len(again.downs()) == 1
    assert world.faults.hits() == {Kind.DROP_DOWN: 1, Kind.PARTITION: 1, Kind.CUT: 1}


def test_random_plan_is_repeatable_and_draws_every_kind_within_its_span() -> None:
    plan = random_plan(random.Random(5), "ABC", span_ms=60_000, count=100)
    assert plan == random_plan(random.Random(5), "ABC", span_ms=60_000, count=100)
    assert {fault.kind for fault in plan} == set(Kind)
    assert all(0 <= fault.from_ms <= fault.until_ms <= 60_000 for fault in plan)
    only = random_plan(random.Random(5), "ABC", span_ms=60_000, count=10, kinds=[Kind.CUT])
    assert {fault.kind for fault in only} == {Kind.CUT}


@pytest.mark.parametrize("seed", range(5))
def test_world_under_a_random_plan_is_struck_by_every_kind_and_quiet_afterwards(seed: int) -> None:
    world = World(seed=seed)
    world.faults.plan(random_plan(world.scheduler.random, "ABC", span_ms=2_000_000, count=150))
    clients = {name: subscribed(world, name) for name in "ABC"}
    while world.scheduler.now_ms < 2_100_000:
        world.run(500)
        for name, client in clients.items():
            if client.downs():
                clients[name] = world.client(name)
            elif client.ups():
                client.link.subscribe(["#"])
            client.forget()
            clients[name].publish("t", b"payload", token=world.scheduler.now_ms)
    assert all(not world.faults.of(name).active for name in "ABC")
    assert set(world.faults.hits()) == set(Kind)
    assert len(world.broker.sessions) == 3
    assert all(len(world.faults.of(name).targets) == 1 for name in "ABC")
    assert all(client.link.pending_bytes() <= 7 for client in clients.values())
    a, b = subscribed(world, "A"), subscribed(world, "B")
    a.publish("t", b"in the end")
    world.run(1_000)
    assert b"in the end" in b.payloads()
