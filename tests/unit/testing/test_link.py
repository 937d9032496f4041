from __future__ import annotations

import pytest

from hcom_replica.errors import LimitError, UsageError
from hcom_replica.ports import Link, LinkUp, Will
from hcom_replica.testing.brokerconfig import BrokerConfig
from hcom_replica.testing.faults import Kind
from hcom_replica.testing.link import SimLink
from hcom_replica.testing.pipe import Profile
from tests.unit.testing.world import QUICK, World

GONE = Will("will", b"gone")


def test_simlink_is_a_link() -> None:
    world = World()
    link: Link = SimLink(world.broker, world.scheduler, device="A")
    link.start()
    world.run(1_000)
    assert [type(event) for event in link.drain()] == [LinkUp]


def test_start_takes_one_round_trip_and_wakes_once_until_drained() -> None:
    world = World()
    a = world.client("A")
    world.run(19)
    assert (a.wakes, a.link.drain()) == (0, [])
    world.run(1)
    assert a.wakes == 1
    a.link.subscribe(["t"])
    world.run(100)
    assert a.wakes == 1
    assert [type(event).__name__ for event in a.link.drain()] == ["LinkUp", "Subscribed"]
    a.link.close()
    assert a.wakes == 2


def test_client_id_when_none_is_given_is_new_for_each_link_and_fits_mqtt() -> None:
    world = World()
    ids = {SimLink(world.broker, world.scheduler, device="A").client_id for _ in range(10)}
    assert len(ids) == 10
    assert all(len(client_id) <= 23 for client_id in ids)
    with pytest.raises(LimitError):
        SimLink(world.broker, world.scheduler, device="A", client_id="x" * 24)


@pytest.mark.parametrize("topic", ["", "a/+", "#"])
def test_publish_to_what_is_no_topic_raises_usage(topic: str) -> None:
    a = World().online("A")
    with pytest.raises(UsageError):
        a.publish(topic, b"")


def test_subscribe_with_more_filters_than_fit_is_split_into_packets() -> None:
    world = World()
    a = world.online("A")
    a.subscribe(*(f"t/{number}" for number in range(19)))
    assert [len(suback.filters) for suback in a.subacks()] == [8, 8, 3]


def test_methods_before_up_and_after_down_do_nothing() -> None:
    world = World()
    a = world.client("A")
    a.publish("t", b"x", retain=True)
    a.link.subscribe(["t"])
    world.run(100)
    a.link.close()
    a.publish("t", b"x", retain=True)
    a.link.subscribe(["t"])
    a.link.unsubscribe(["t"])
    world.run(100)
    assert world.retained() == {}
    assert a.link.pending_bytes() == 0
    assert [type(event).__name__ for event in a.events()] == ["LinkUp", "LinkDown"]


def test_close_while_connecting_leaves_no_session_and_no_will() -> None:
    world = World()
    a = world.client("A", will=GONE)
    a.link.close()
    world.run(1_000_000)
    assert (world.broker.sessions, world.retained(), len(a.downs()), len(a.ups())) == ({}, {}, 1, 0)


def test_pending_bytes_counts_until_acknowledged_beyond_the_receive_maximum() -> None:
    world = World(BrokerConfig(inflight_max=2))
    a = world.online("A")
    for token in range(5):
        a.publish("t", b"x" * 10, token=token)
    assert a.link.pending_bytes() == 50
    world.run(20)
    assert (a.link.pending_bytes(), [ack.token for ack in a.acks()]) == (30, [0, 1])
    world.run(40)
    assert (a.link.pending_bytes(), [ack.token for ack in a.acks()]) == (0, [0, 1, 2, 3, 4])


def test_bandwidth_up_and_down_take_their_time() -> None:
    slow = Profile(latency_ms=(10, 10), up_bytes_per_s=10_000, down_bytes_per_s=1_000)
    world = World()
    a = world.online("A", profile=slow)
    a.subscribe("t")
    world.run(1_000)
    a.forget()
    began_ms = world.scheduler.now_ms
    assert world.broker.config.packet_bytes("t", b"x" * 991) == 1_000
    a.publish("t", b"x" * 991)
    assert world.scheduler.run_while(lambda: not a.messages(), began_ms + 60_000)
    assert world.scheduler.now_ms - began_ms == 100 + 10 + 1_000 + 10


def test_packet_loss_delays_but_keeps_order_and_loses_nothing() -> None:
    world = World()
    a = world.online("A", profile=Profile(latency_ms=(10, 10), loss=0.3))
    a.subscribe("t")
    world.run(60_000)
    a.forget()
    for number in range(100):
        world.broker.inject("t", b"%d" % number)
    world.run(5)
    assert a.messages() == []
    world.run(600_000)
    assert a.payloads() == [b"%d" % number for number in range(100)]


def test_life_of_a_connection_ends_by_itself() -> None:
    world = World()
    a = world.online("A", will=GONE, profile=Profile(life_ms_mean=5_000))
    assert world.scheduler.run_while(lambda: not a.downs(), 10_000_000)
    world.run(100_000)
    assert world.retained() == {"will": b"gone"}


def test_sever_tells_the_device_now_and_the_broker_by_its_keepalive() -> None:
    world = World()
    a = world.online("A", will=GONE)
    a.link.sever()
    assert [down.reason for down in a.downs()] == ["connection lost"]
    world.run(QUICK.broker_detect_ms - 1)
    assert (len(world.broker.sessions), world.retained()) == (1, {})
    world.run(1)
    assert (world.broker.sessions, world.retained()) == ({}, {"will": b"gone"})
    assert a.link.sever() is False


def test_sever_unnoticed_lets_the_device_publish_into_nothing() -> None:
    world = World()
    a = world.online("A")
    a.link.sever(client_after_ms=None, broker_after_ms=0)
    a.publish("t", b"xyz", retain=True)
    world.run(QUICK.client_detect_ms - 1)
    assert (a.link.pending_bytes(), a.downs(), world.retained()) == (3, [], {})
    world.run(1)
    assert (a.link.pending_bytes(), len(a.downs())) == (0, 1)


def test_sever_with_messages_under_way_loses_them_both_ways() -> None:
    world = World()
    a, b = world.online("A"), world.online("B")
    b.subscribe("t")
    a.publish("t", b"x", retain=True)
    world.run(5)
    a.link.sever()
    world.run(100)
    assert world.retained() == {}
    world.broker.inject("t", b"y")
    b.link.sever(client_after_ms=50)
    world.run(100)
    assert b.messages() == []


def test_sever_between_publish_and_puback_leaves_it_taken_and_unacknowledged() -> None:
    world = World()
    a = world.online("A")
    a.publish("t", b"x", retain=True)
    world.run(10)
    a.link.sever(client_after_ms=100)
    world.run(100)
    assert world.retained() == {"t": b"x"}
    assert a.acks() == []


def test_will_of_a_half_open_session_fires_after_its_device_is_back() -> None:
    world = World()
    a = world.online("A", will=GONE)
    a.link.sever()
    again = world.online("A", will=GONE)
    again.publish("will", b"online", retain=True)
    world.run(1_000)
    assert world.retained() == {"will": b"online"}
    world.run(QUICK.broker_detect_ms)
    assert world.retained() == {"will": b"gone"}
    assert again.downs() == []


def test_crash_of_the_process_tells_the_broker_at_once_and_the_device_nothing() -> None:
    world = World()
    a = world.online("A", will=GONE)
    woken = a.wakes
    a.link.crash()
    world.run(1)
    assert (a.events(), a.wakes, world.retained()) == ([], woken, {"will": b"gone"})


def test_crash_of_the_machine_is_noticed_by_the_keepalive_only() -> None:
    world = World()
    a = world.online("A", will=GONE)
    a.link.crash(broker_after_ms=None)
    world.run(QUICK.broker_detect_ms - 1)
    assert world.retained() == {}
    world.run(1)
    assert world.retained() == {"will": b"gone"}


def test_equal_seeds_give_equal_runs_and_others_do_not() -> None:
    def run(seed: int) -> list[tuple[int, bytes]]:
        world, seen = World(seed=seed), list[tuple[int, bytes]]()
        a = world.online("A", profile=Profile(latency_ms=(1, 500), loss=0.1))
        a.link.subscribe(["t"])
        world.run(20_000)
        world.faults.on(Kind.DUPLICATE, "A", rate=0.5, span_ms=(0, 900))
        for number in range(20):
            world.broker.inject("t", b"%d" % number)
        while world.scheduler.step():
            seen.extend((world.scheduler.now_ms, payload) for payload in a.payloads())
            a.forget()
        return seen

    assert run(1) == run(1)
    assert run(1) != run(2)
