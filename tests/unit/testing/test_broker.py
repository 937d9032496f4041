from __future__ import annotations

from typing import Literal

import pytest

from hcom_replica.ports import Will
from hcom_replica.testing.brokerconfig import BrokerConfig
from hcom_replica.testing.pipe import Profile
from hcom_replica.testing.traffic import topic_class
from tests.unit.testing.world import QUICK, World


def test_subscribe_with_stored_messages_gets_suback_then_retain_1_and_live_ones_retain_0() -> None:
    world = World()
    a, b = world.online("A"), world.online("B")
    a.publish("t/1", b"stored", retain=True)
    world.run(100)
    b.subscribe("t/+")
    assert b.events()[0] == b.subacks()[0]
    a.publish("t/1", b"live", retain=True)
    world.run(100)
    assert b.messages() == [("t/1", b"stored", True), ("t/1", b"live", False)]


def test_subscribe_with_fresh_false_gets_only_what_comes_from_now_on() -> None:
    world = World()
    a = world.online("A")
    world.broker.inject("t", b"old", retain=True)
    a.subscribe("t", fresh=False)
    assert a.payloads() == []
    a.subscribe("t", fresh=True)
    a.subscribe("t", fresh=True)
    assert a.payloads() == [b"old", b"old"]


def test_subscribe_with_fresh_false_at_mqtt_3_gets_stored_messages_all_the_same() -> None:
    world = World(BrokerConfig(version=4))
    a = world.online("A")
    world.broker.inject("t", b"old", retain=True)
    a.subscribe("t", fresh=False)
    assert a.payloads() == [b"old"]


def test_empty_retained_payload_clears_and_is_delivered_live_also_when_nothing_was_stored() -> None:
    world = World()
    a, b = world.online("A"), world.online("B")
    b.subscribe("#")
    for token, payload in enumerate((b"x", b"", b"")):
        a.publish("t", payload, retain=True, token=token)
    world.run(100)
    assert b.messages() == [("t", b"x", False), ("t", b"", False), ("t", b"", False)]
    assert world.retained() == {}
    assert world.broker.retained_bytes == 0


def test_no_local_stops_live_echoes_but_not_the_own_stored_message() -> None:
    world = World()
    a = world.online("A")
    a.publish("t", b"stored", retain=True)
    world.run(100)
    a.subscribe("t", no_local=True)
    a.publish("t", b"echo")
    world.broker.inject("t", b"other")
    world.run(100)
    assert a.messages() == [("t", b"stored", True), ("t", b"other", False)]


def test_no_local_at_mqtt_3_is_not_heeded() -> None:
    world = World(BrokerConfig(version=4))
    a = world.online("A")
    a.subscribe("t", no_local=True)
    a.publish("t", b"echo")
    world.run(100)
    assert a.payloads() == [b"echo"]


def test_own_echo_comes_before_the_puback() -> None:
    world = World()
    a = world.online("A")
    a.subscribe("t")
    a.forget()
    a.publish("t", b"x", token=9)
    world.run(100)
    assert [type(event).__name__ for event in a.events()] == ["Delivered", "Published"]


@pytest.mark.parametrize(("version", "copies"), [(5, 3), (4, 1)])
def test_overlapping_filters_give_one_live_copy_per_filter_in_mqtt_5_only(version: Literal[4, 5], copies: int) -> None:
    world = World(BrokerConfig(version=version))
    a = world.online("A")
    a.subscribe("o/1", "o/+", "#")
    world.broker.inject("o/1", b"x", retain=True)
    world.run(100)
    assert a.payloads() == [b"x"] * copies
    a.forget()
    a.subscribe("o/1", "o/+", "#")
    assert a.payloads() == [b"x"] * 3


def test_unsubscribe_ends_deliveries_and_leaves_no_trace() -> None:
    world = World()
    a = world.online("A")
    a.subscribe("t", "w/#")
    a.link.unsubscribe(["t", "w/#", "never"])
    world.run(100)
    world.broker.inject("t", b"x")
    world.broker.inject("w/1", b"x")
    world.run(100)
    assert a.messages() == []
    assert world.broker._exact == {}
    assert world.broker._wild.matching_filter("#") == []


def test_takeover_by_the_same_client_id_kicks_the_older_and_publishes_its_will() -> None:
    world = World()
    monitor = world.online("M")
    monitor.subscribe("will")
    old = world.online("A", client_id="same", will=Will("will", b"gone"))
    new = world.online("A2", client_id="same")
    world.run(100)
    assert [down.reason for down in old.downs()] == ["session taken over"]
    assert monitor.messages() == [("will", b"gone", False)]
    assert world.retained() == {"will": b"gone"}
    assert new.downs() == []
    assert world.broker.traffic.events == {"takeover": 1, "will": 1}


def test_close_discards_the_will() -> None:
    world = World()
    a = world.online("A", will=Will("will", b"gone"))
    a.link.close()
    a.link.close()
    world.run(1_000_000)
    assert world.retained() == {}
    assert world.broker.sessions == {}
    assert [down.reason for down in a.downs()] == ["closed"]


def test_restart_keeping_all_ends_links_without_wills_and_keeps_stored_messages() -> None:
    world = World()
    a = world.online("A", will=Will("will", b"gone"))
    a.publish("t", b"x", retain=True)
    world.run(100)
    world.broker.restart()
    world.run(1_000_000)
    assert len(a.downs()) == 1
    assert world.retained() == {"t": b"x"}
    again = world.online("A")
    again.subscribe("t")
    assert again.messages() == [("t", b"x", True)]


def test_restart_keeping_nothing_forgets_stored_messages() -> None:
    world = World()
    world.broker.inject("t", b"x", retain=True)
    world.broker.restart("nothing")
    assert world.retained() == {}
    assert world.broker.retained_bytes == 0


def test_restart_with_a_snapshot_rolls_stored_messages_back() -> None:
    world = World()
    world.broker.inject("head", b"60", retain=True)
    world.broker.inject("gone", b"1", retain=True)
    snapshot = world.broker.snapshot()
    world.broker.inject("head", b"100", retain=True)
    world.broker.inject("gone", b"", retain=True)
    world.broker.inject("new", b"22", retain=True)
    world.broker.restart(snapshot)
    assert world.retained() == {"head": b"60", "gone": b"1"}
    assert world.broker.retained_bytes == 3
    a = world.online("A")
    a.subscribe("+")
    assert sorted(a.payloads()) == [b"1", b"60"]


def test_restart_with_a_pause_refuses_connections_until_it_is_over() -> None:
    world = World()
    world.broker.restart(down_ms=1_000)
    early = world.client("A")
    world.run(500)
    assert [(down.reason, down.refused) for down in early.downs()] == [("connection refused", False)]
    world.run(600)
    world.online("A")


def test_forget_with_a_filter_loses_those_stored_messages_only() -> None:
    world = World()
    for topic in ("a/1", "a/2", "b/1"):
        world.broker.inject(topic, b"x", retain=True)
    assert world.broker.forget("a/#") == 2
    assert list(world.broker.retained()) == [("b/1", b"x")]


def test_retain_ignored_delivers_live_and_stores_nothing() -> None:
    world = World(BrokerConfig(retain="ignore"))
    a = world.online("A")
    a.subscribe("t")
    a.publish("t", b"x", retain=True)
    world.run(100)
    assert a.messages() == [("t", b"x", False)]
    assert world.retained() == {}
    assert a.acks()[0].refused is False


def test_retain_refused_is_announced_and_disconnects_who_tries() -> None:
    world = World(BrokerConfig(retain="refuse"))
    a = world.client("A", will=Will("will", b"gone"))
    world.run(100)
    assert a.ups()[0].capabilities.retain is False
    a.publish("t", b"x", retain=True)
    world.run(100)
    assert [down.reason for down in a.downs()] == ["retain not supported"]


def test_retain_wildcard_off_gives_stored_messages_to_exact_filters_only() -> None:
    world = World(BrokerConfig(retain_wildcard=False))
    world.broker.inject("t/1", b"x", retain=True)
    a = world.online("A")
    a.subscribe("t/+")
    assert a.messages() == []
    a.subscribe("t/1")
    assert a.messages() == [("t/1", b"x", True)]


def test_retained_lag_lets_an_older_stored_value_arrive_after_a_newer_live_one() -> None:
    world = World(BrokerConfig(retained_lag_ms=(500, 500)))
    world.broker.inject("head", b"1", retain=True)
    a = world.online("A")
    a.subscribe("head")
    world.broker.inject("head", b"2", retain=True)
    world.run(1_000)
    assert a.messages() == [("head", b"2", False), ("head", b"1", True)]


@pytest.mark.parametrize("refuses", [True, False])
def test_quota_of_stored_messages_keeps_the_older_value_and_tells_only_if_it_refuses(refuses: bool) -> None:
    world = World(BrokerConfig(retained_count_max=1, retained_bytes_max=4, quota_refuses=refuses))
    a = world.online("A")
    for token, (topic, payload) in enumerate((("t", b"1234"), ("u", b"1"), ("t", b"12345"), ("t", b"4321"))):
        a.publish(topic, payload, retain=True, token=token)
    world.run(100)
    assert world.retained() == {"t": b"4321"}
    assert [ack.refused for ack in a.acks()] == [False, refuses, refuses, False]
    assert world.broker.traffic.events["quota"] == 2


@pytest.mark.parametrize(("version", "told"), [(5, True), (4, False)])
def test_denied_publish_is_lost_and_told_in_mqtt_5_only(version: Literal[4, 5], told: bool) -> None:
    world = World(BrokerConfig(version=version, deny_publish=("secret/#",)))
    a = world.online("A")
    a.subscribe("#")
    a.publish("secret/x", b"x")
    world.run(100)
    assert a.messages() == []
    assert [ack.refused for ack in a.acks()] == [told]
    assert world.broker.traffic.events == {"denied": 1}


def test_denied_subscription_is_named_in_the_suback_and_gets_nothing() -> None:
    world = World(BrokerConfig(deny_subscribe=("#",)))
    a = world.online("A")
    a.subscribe("#", "t")
    world.broker.inject("t", b"x")
    world.run(100)
    assert [suback.refused for suback in a.subacks()] == [("#",)]
    assert a.payloads() == [b"x"]


def test_packet_over_the_limit_disconnects_its_sender_and_fires_its_will() -> None:
    world = World(BrokerConfig(packet_bytes_max=100))
    a = world.client("A", will=Will("will", b"gone"))
    world.run(100)
    assert a.ups()[0].capabilities.packet_bytes_max == 100
    fits = 100 - world.broker.config.packet_bytes("t", b"")
    a.publish("t", b"x" * fits, retain=True, token=1)
    world.run(100)
    assert len(a.acks()) == 1
    a.publish("t", b"y" * (fits + 1), retain=True, token=2)
    world.run(100)
    assert [down.reason for down in a.downs()] == ["packet too large"]
    assert world.retained() == {"t": b"x" * fits, "will": b"gone"}


def test_packet_over_the_limit_at_a_silent_broker_is_acknowledged_and_lost() -> None:
    world = World(BrokerConfig(packet_bytes_max=100, oversize="drop"))
    a = world.online("A")
    a.publish("t", b"x" * 100, retain=True)
    world.run(100)
    assert [ack.refused for ack in a.acks()] == [False]
    assert world.retained() == {}


def test_refused_clients_learn_the_reason() -> None:
    world = World(BrokerConfig(refuse_clients="not authorized"))
    a = world.client("A")
    world.run(100)
    assert [(down.reason, down.refused) for down in a.downs()] == [("not authorized", True)]


def test_full_queue_loses_the_newest_without_a_word_and_counts_them() -> None:
    world = World(BrokerConfig(inflight_max=2, queued_max=5))
    a = world.online("A")
    a.subscribe("t/#")
    for number in range(20):
        world.broker.inject("t/1", b"%d" % number)
    world.run(1_000)
    assert a.payloads() == [b"%d" % number for number in range(7)]
    assert world.broker.traffic.by_owner["A"].dropped == 13
    assert world.broker.traffic.by_class["t/1"].dropped == 13


def test_queue_of_a_dead_connection_fills_and_dies_with_it() -> None:
    world = World(BrokerConfig(inflight_max=2, queued_max=5))
    a = world.online("A")
    a.subscribe("t")
    session = next(iter(world.broker.sessions.values()))
    a.link.sever()
    for number in range(9):
        world.broker.inject("t", b"%d" % number)
    assert (session.waiting, session.tally.dropped) == (7, 2)
    world.run(QUICK.broker_detect_ms)
    assert world.broker.sessions == {}
    assert session._queue.__len__() == 0


def test_session_pace_spreads_deliveries_over_time() -> None:
    world = World(BrokerConfig(session_bytes_per_s=1_000))
    a = world.online("A")
    a.subscribe("t")
    a.forget()
    size = world.broker.config.packet_bytes("t", b"x" * 100)
    for _ in range(50):
        world.broker.inject("t", b"x" * 100)
    began_ms = world.scheduler.now_ms
    assert world.scheduler.run_while(lambda: len(a.messages()) < 50, began_ms + 60_000)
    assert world.scheduler.now_ms - began_ms == pytest.approx(49 * size + 10, abs=2)


def test_session_pace_faster_than_the_round_trip_does_not_wait_for_acknowledgements() -> None:
    world = World(BrokerConfig(session_bytes_per_s=100_000))
    a = world.online("A", profile=Profile(latency_ms=(500, 500)))
    a.link.subscribe(["t"])
    world.run(2_000)
    for _ in range(15):
        world.broker.inject("t", b"x" * 91)
    world.run(500 + 15)
    assert len(a.messages()) == 15


def test_traffic_counts_bytes_and_messages_both_ways_by_owner_and_by_topic_class() -> None:
    world = World()
    a, b = world.online("A"), world.online("B")
    a.subscribe("g/head/#")
    b.subscribe("#")
    a.publish("g/head/1", b"abc")
    a.publish("g/mail/1/2", b"abc", token=2)
    world.run(100)
    traffic, head, mail = world.broker.traffic, len("g/head/1abc"), len("g/mail/1/2abc")
    assert (traffic.by_owner["A"].messages_in, traffic.by_owner["A"].messages_out) == (2, 1)
    assert (traffic.by_owner["B"].messages_in, traffic.by_owner["B"].messages_out) == (0, 2)
    assert traffic.by_owner["B"].bytes_out == head + mail + 2 * 7
    assert traffic.by_class["g/head"].messages_out == 2
    assert traffic.by_class["g/mail"].bytes_in == mail + 7
    assert topic_class("one") == "one"
