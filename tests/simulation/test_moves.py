"""The group moves to another broker, in virtual time: who follows, who is heeded, what is lost (section 16)."""

from __future__ import annotations

import random

import pytest

from hcom_replica.core.flush import FlushResult
from hcom_replica.core.hello import MOVE, Move, system_draft
from hcom_replica.core.membership import read_membership
from hcom_replica.core.moves import present_move
from hcom_replica.errors import UsageError
from hcom_replica.testing.cluster import MINUTE_MS, Cluster
from hcom_replica.testing.device import HOME
from hcom_replica.testing.faults import Kind
from hcom_replica.wire.codec import encode
from hcom_replica.wire.event import Draft
from hcom_replica.wire.frame import Kind as FrameKind
from hcom_replica.wire.frame import Signer, close_frame, open_frame, pack
from hcom_replica.wire.messages import Gone, decode_presence
from hcom_replica.wire.topics import Topics
from tests.simulation.test_epochs import founded

THERE = "mqtt://there:1883"
ELSEWHERE = "mqtts://elsewhere:8883"


def group(devices: int = 3, seed: int = 7) -> Cluster:
    cluster = founded(devices, seed)
    for url in (THERE, ELSEWHERE):
        cluster.another_broker(url)
    return cluster


def all_at(cluster: Cluster, url: str, names: str) -> bool:
    """Whether all come to be at a broker, and hold the same there."""
    return cluster.run_until(
        lambda: (
            {cluster[name].place for name in names} == {url}
            and all(cluster[name].engine.online for name in names)
            and cluster.converged(names)
        ),
        10 * MINUTE_MS,
    )


def gone(cluster: Cluster, url: str) -> list[str]:
    """The GONE slots that stand at a broker."""
    return [topic for topic, _ in cluster.world.broker_at(url).retained("#") if "/g/" in topic]


def says_online(cluster: Cluster, url: str, name: str) -> bool:
    """What a device's presence slot at a broker says."""
    topic = Topics(cluster.world.keys).presence(cluster.own(name).id)
    ((_, payload),) = cluster.world.broker_at(url).retained(topic)
    return decode_presence(open_frame(cluster.world.keys, topic, payload).payload).online


def flushed(cluster: Cluster, name: str) -> FlushResult:
    """How a flush of a device ends, or stands after 20 seconds."""
    machine = cluster[name].machine
    number = machine.start_flush(cluster[name].now, None)
    cluster[name].wake()
    cluster.run_until(lambda: machine.flush_result(number).done, 20_000)
    return machine.flush_result(number)


def test_all_that_are_online_follow_and_go_on_there() -> None:
    """P16.1, P16.3"""
    cluster = group()
    cluster.move("B", THERE)
    assert all_at(cluster, THERE, "ABC")
    cluster.append("C", 5)
    assert cluster.run_until_quiet()
    assert len(gone(cluster, HOME)) == 3
    assert {name: says_online(cluster, HOME, name) for name in "ABC"} == dict.fromkeys("ABC", False)
    assert not gone(cluster, THERE)


def test_device_that_was_away_finds_word_at_the_broker_it_knows_and_follows() -> None:
    """P16.4: nobody is there any more, and the broker has lost everything else that the others had left."""
    cluster = group()
    cluster.stop("C")
    cluster.append("C", 3)
    cluster.move("A", THERE)
    assert all_at(cluster, THERE, "AB")
    cluster.append("A", 3)
    kept = {topic: payload for topic, payload in cluster.broker.retained("#") if "/g/" in topic}
    for topic, _ in list(cluster.broker.retained("#")):
        if topic not in kept:
            cluster.broker.forget(topic)
    cluster["C"].start()
    assert all_at(cluster, THERE, "ABC")


def test_word_of_the_move_stands_for_a_device_that_joined_while_the_reader_was_away() -> None:
    """P16.4: the certificates come with it."""
    cluster = group(2)
    cluster.stop("B")
    cluster.join("D").start()
    cluster.append("D")
    assert cluster.run_until(lambda: "D" in _ranked(cluster, "D"), MINUTE_MS)
    cluster.move("D", THERE)
    assert all_at(cluster, THERE, "AD")
    (of_a,) = [
        topic for topic in gone(cluster, HOME) if cluster.world.keys.prefix in topic and _is_of(cluster, topic, "A")
    ]
    cluster.broker.forget(of_a)
    cluster["B"].start()
    assert all_at(cluster, THERE, "ABD")


def test_newcomer_with_a_token_that_names_the_old_broker_follows_and_says_nothing_there() -> None:
    """P16.3, P16.4: nobody has admitted it, so nobody would believe it."""
    cluster = group(2)
    cluster.move("A", THERE)
    assert all_at(cluster, THERE, "AB")
    cluster.join("N").start()
    cluster.append("N")
    assert all_at(cluster, THERE, "ABN")
    assert len(gone(cluster, HOME)) == 2


def test_word_in_the_slot_of_another_is_dropped() -> None:
    """P6.1, P16.4"""
    cluster = group(2)
    own = cluster.own("A")
    topic = Topics(cluster.world.keys).gone(cluster.own("B").id)
    signer = Signer(cluster["A"].key, own.incarnation, own.id)
    said = pack(encode(Gone(1, 0, 1, 1, own.id, ELSEWHERE, [])))
    cluster.broker.inject(topic, close_frame(cluster.world.keys, topic, FrameKind.GONE, signer, said, bytes(24)))
    cluster.run(5_000)
    assert cluster["B"].machine.live_info().counters["dropped.topic"] == 1
    assert {cluster[name].place for name in "AB"} == {HOME}


@pytest.mark.parametrize(("devices", "apart_ms"), [(2, 0), (3, 0), (2, 150), (3, 150), (3, 400)])
def test_two_moves_at_the_same_time_end_at_one_broker(devices: int, apart_ms: int) -> None:
    """P16.1, P16.3"""
    cluster = group(devices)
    names = "ABC"[:devices]
    cluster.move("A", THERE)
    cluster.run(apart_ms)
    cluster.move(names[-1], ELSEWHERE)
    cluster.run_until(lambda: len({cluster[name].place for name in names} - {HOME}) == 1, 5 * MINUTE_MS)
    cluster.run(2 * MINUTE_MS)
    assert all_at(cluster, cluster["A"].place, names)


def test_member_that_was_away_and_moves_the_group_too_tells_those_who_went_elsewhere() -> None:
    """P16.3: it goes by way of the broker that they went to."""
    cluster = group()
    cluster.stop("C")
    cluster.move("A", THERE)
    assert all_at(cluster, THERE, "AB")
    cluster.run(MINUTE_MS)
    cluster.move("C", ELSEWHERE)
    cluster["C"].start()
    assert all_at(cluster, ELSEWHERE, "ABC")


def test_move_by_a_clock_that_is_far_ahead_does_not_hold_off_the_next_one() -> None:
    """P16.1: the number decides."""
    cluster = group()
    cluster["B"].skew_ms = 3_600_000
    cluster.move("B", THERE)
    assert all_at(cluster, THERE, "ABC")
    cluster.move("A", HOME)
    assert all_at(cluster, HOME, "ABC")
    assert cluster.run_until(lambda: not gone(cluster, HOME), MINUTE_MS)


@pytest.mark.parametrize("seed", range(5))
def test_mail_that_an_absent_member_left_is_read_before_the_last_one_goes(seed: int) -> None:
    """P16.3: C flushed into its mailbox, and its disk is gone; most of it is lost on its way to A at first."""
    cluster = group(3, seed)
    cluster.stop("A", "B")
    noise = random.Random(1)
    cluster.append("C", [Draft("test", "c", None, noise.randbytes(9_000).hex().encode()) for _ in range(20)])
    assert flushed(cluster, "C").safe_in == "broker"
    wanted = cluster.held("C")
    cluster["C"].crash()
    cluster["A"].start()
    cluster.move("A", THERE)
    peers = cluster["A"].machine._c.peers
    while not peers.segments(cluster.own("C").id):
        cluster.run(1)
    cluster.faults.on(Kind.DROP_DOWN, "A", rate=0.7)
    cluster.run(2_000)
    cluster.faults.off(Kind.DROP_DOWN, "A")
    assert all_at(cluster, THERE, "A")
    assert cluster.held("A") == wanted
    cluster["B"].start()
    assert all_at(cluster, THERE, "AB")
    assert cluster.held("B") == wanted


def test_flush_of_who_is_about_to_leave_counts_no_mailbox() -> None:
    """P16.5: what C flushes at the broker that all have left is safe when it has come to the new one, not before."""
    cluster = group()
    cluster.stop("C")
    cluster.move("A", THERE)
    assert all_at(cluster, THERE, "AB")
    cluster.stop("A", "B")
    cluster["C"].start()
    assert cluster.run_until(lambda: cluster["C"].machine.moving.bound_for is not None, MINUTE_MS)
    cluster.append("C", 2)
    machine = cluster["C"].machine
    number = machine.start_flush(cluster["C"].now, None)
    assert cluster.run_until(lambda: machine.flush_result(number).done, MINUTE_MS)
    assert machine.flush_result(number).safe_in == "broker"
    assert cluster["C"].place == THERE


def test_flush_at_an_earlier_broker_where_word_of_the_move_stands_counts_no_mailbox() -> None:
    """P16.5: it has moved, cannot reach the new one, and looks in at the old one."""
    cluster = group(2)
    cluster.move("A", THERE)
    assert all_at(cluster, THERE, "AB")
    cluster.stop("A")
    device = cluster["B"]
    device.place = HOME
    device.machine.moving.is_away = True
    device.engine.renew(device.now, "the new one refuses us")
    device.wake()
    assert cluster.run_until(lambda: device.machine.fence_open, MINUTE_MS)
    cluster.append("B")
    found = flushed(cluster, "B")
    assert not found.done
    assert "another broker" in found.reason


def test_device_without_a_rank_cannot_move_the_group_and_is_not_followed() -> None:
    """P16.1: a thief that has the token, while nobody is there to admit it."""
    cluster = group(2)
    cluster.offline("A", "B")
    thief = cluster.join("T")
    thief.start()
    cluster.append("T")
    with pytest.raises(UsageError, match="admitted"):
        cluster.move("T", ELSEWHERE)
    thief.append([system_draft(MOVE, Move(7, ELSEWHERE))])
    cluster.run(MINUTE_MS)
    assert thief.place == HOME
    cluster.online("A", "B")
    cluster.run(1_000)
    assert {cluster[name].place for name in "AB"} == {HOME}


def test_revoked_device_is_not_followed() -> None:
    """P16.1"""
    cluster = group()
    cluster.offline("C")
    cluster.move("C", ELSEWHERE)
    cluster.revoke("A", "C")
    assert cluster.run_until(lambda: cluster["B"].machine.epoch.epoch == 2, MINUTE_MS)
    cluster.online("C")
    cluster.run(5 * MINUTE_MS)
    assert {cluster[name].place for name in "AB"} == {HOME}
    assert cluster.converged("AB")


def test_revoking_who_moved_the_group_moves_nobody() -> None:
    """P16.7"""
    cluster = group()
    cluster.move("C", THERE)
    assert all_at(cluster, THERE, "ABC")
    cluster.revoke("A", "C")
    assert cluster.run_until(lambda: cluster["B"].machine.epoch.epoch == 2, MINUTE_MS)
    assert all_at(cluster, THERE, "AB")
    cluster.run(5 * MINUTE_MS)
    assert {cluster[name].place for name in "AB"} == {THERE}
    move = present_move(read_membership(cluster["B"].log, cluster["B"].viewer))
    assert move is not None
    assert (move.broker, move.origin) == (THERE, cluster.own("A").id)


def test_change_of_key_at_the_same_time_is_adopted_and_followed() -> None:
    """P12.9, P16.3: by those who are online, and by one that was away."""
    cluster = group()
    cluster.stop("C")
    cluster.revoke("B")
    cluster.move("A", THERE)
    assert all_at(cluster, THERE, "AB")
    cluster["C"].start()
    assert all_at(cluster, THERE, "ABC")
    assert {cluster[name].machine.epoch.epoch for name in "ABC"} == {2}


def test_who_cannot_reach_the_old_broker_goes_without_a_word() -> None:
    """P16.3"""
    cluster = group(2)
    cluster.stop("B")
    cluster.broker.stop()
    cluster.move("A", THERE)
    assert cluster.run_until(lambda: cluster["A"].place == THERE, 3 * MINUTE_MS)
    assert all_at(cluster, THERE, "A")


@pytest.mark.parametrize("step", range(1, 40, 3))
def test_daemon_that_dies_between_any_two_effects_of_a_move_follows_all_the_same(step: int) -> None:
    """P16.3"""
    cluster = group(2, seed=step)
    cluster.move("A", THERE)
    cluster["B"].crash_before_effect(step)
    cluster.run_until(lambda: not cluster["B"].running, 10_000)
    cluster["B"].crash()
    cluster["B"].start()
    cluster.append("B")
    assert all_at(cluster, THERE, "AB")


def _ranked(cluster: Cluster, name: str) -> set[str]:
    membership = read_membership(cluster[name].log, cluster[name].viewer)
    return {one for one, device in cluster.devices.items() if device.key.public in membership.ranks}


def _is_of(cluster: Cluster, topic: str, name: str) -> bool:
    return topic == Topics(cluster.world.keys).gone(cluster.own(name).id)
