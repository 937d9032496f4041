"""Machines that run only hcom: each event once, both ways, whoever carries, restarts, resets or lies (section 8)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hcom_replica.bridge.envelope import seal, unseal
from hcom_replica.bridge.filed import encode_file
from hcom_replica.bridge.foreigners import Claim
from hcom_replica.bridge.legacy.asking import AGAIN_MS, PATIENCE_MS
from hcom_replica.bridge.legacy.duty import SILENT_MS, Duty, Part
from hcom_replica.bridge.legacy.peers import GONE_MS, STUCK_MS
from hcom_replica.bridge.legacy.settings import decode_legacy
from hcom_replica.bridge.snapshot import Carrier, State
from hcom_replica.core.effects import Now
from hcom_replica.core.hello import RETIRE, Retire, system_draft
from hcom_replica.errors import ConfigError
from hcom_replica.wire.event import decode_event
from tests.unit.bridge.hcoms import KEY, RELAY, Bridged, FakeHcom
from tests.unit.bridge.legacies import SETTINGS, Gate, Only, World
from tests.unit.store.devices import Device, send


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.run()
    return made


def numbered(count: int, first: int = 0) -> list[str]:
    return [f"m{number}" for number in range(first, first + count)]


def say(hcom: FakeHcom, agent: str, texts: list[str], *mentions: str) -> None:
    for number, text in enumerate(texts):
        hcom.say(agent, text, *mentions, n=number)


# --- both ways ---------------------------------------------------------------------------------------------


def test_messages_cross_both_ways_in_order_once(world: World) -> None:
    """B8.4, B8.7"""
    say(world.memo, "memo", numbered(250))
    world.boxe.write(*numbered(250))
    world.run(30)
    assert world.boxe.logged() == numbered(250)
    for one in (world.memo, world.sora):
        assert one.ours() == numbered(250)
        assert one.wiped == 0
        assert one.dropped == []
    assert world.memo.rows("luna:BOXE")[0]["from"] == "luna:BOXE"


def test_history_of_both_comes_in_order_and_into_no_inbox(tmp_path: Path) -> None:
    """B8.6, B8.8"""
    world = World(tmp_path)
    say(world.memo, "memo", numbered(430))
    world.memo.push(world.boxe.now)
    world.boxe.write(*numbered(130))
    world.run(40)
    assert world.boxe.logged() == numbered(430)
    assert world.sora.ours() == numbered(130)
    assert all(row["mentions"] == [] for row in world.sora.rows("luna:BOXE"))
    world.boxe.write("live")
    say(world.memo, "memo", ["live"])
    world.run()
    assert world.sora.rows("luna:BOXE")[-1]["scope"] == "broadcast"
    marks = [json.loads(event.body)["_hcom"] for event in world_messages(world)]
    assert [mark.get("old", False) for mark in marks] == [*[True] * 430, False]


def world_messages(world: World) -> list[Any]:
    found = [decode_event(row.event.record) for row in world.boxe.device.log.arrivals(0, 100_000)]
    return [event for event in found if event.kind == "message" and event.agent == "memo:MEMO"]


def test_peers_are_devices_of_their_own_in_our_hcoms_until_it_is_left(world: World, tmp_path: Path) -> None:
    """B8.5, B8.9"""
    tuka = Bridged(tmp_path / "tuka", Device("TUKA"))
    tuka.hcom.start("rose")
    tuka.run()
    say(world.memo, "memo", ["hello"])
    say(world.memo, "memo", ["for rose"], "rose:TUKA")
    world.run()
    send(world.boxe.device, tuka.device)
    tuka.network.present = frozenset(state.id for state in world.boxe.device.log.origins())
    tuka.run()
    assert tuka.hcom.texts() == ["hello", "for rose"]
    assert {row["instance"] for row in tuka.hcom.rows()} == {"memo:MEMO"}
    assert tuka.hcom.agents_of("MEMO") == {"memo:MEMO": ("listening", "")}
    tuka.hcom.say("rose", "thank you", "memo:MEMO")
    tuka.run()
    send(tuka.device, world.boxe.device)
    world.run()
    assert world.memo.inbox("memo")[-1:] == ["thank you"] or "thank you" in world.memo.texts()
    row = world.memo.rows("rose:TUKA")[-1]
    assert row["mentions"] == ["memo"]
    world.pushing = [world.sora]
    world.later(GONE_MS + 1)
    world.run()
    send(world.boxe.device, tuka.device)
    tuka.run()
    ((status, detail),) = tuka.hcom.agents_of("MEMO").values()
    assert (status, "mail is kept" in detail) == ("inactive", True)
    world.boxe.give(world.boxe.carrying.leave(world.boxe.now))
    assert world.boxe.carrying.left(world.boxe.now)
    send(world.boxe.device, tuka.device)
    tuka.run()
    before = len(tuka.wire.published)
    tuka.step(100_000)
    assert len(tuka.wire.published) - before == len(tuka.directory.members()) - 1
    assert tuka.hcom.texts() == ["hello", "for rose"]
    assert world.memo.agents_of("TUKA") == {}


def test_replies_name_what_they_answer_on_both_sides(world: World) -> None:
    """B8.4"""
    row = world.memo.say("memo", "question")
    world.boxe.write("statement")
    world.run()
    (question,) = world_messages(world)
    stored = next(one for one in world.boxe.device.log.events() if decode_event(one.record).body == question.body)
    world.boxe.write("answer", reply_to=f"{stored.origin.hex()}:{stored.seq}")
    world.run()
    assert world.memo.rows("luna:BOXE")[-1]["reply_to"] == f"{row}:MEMO"
    number = world.memo.rows("luna:BOXE")[0]["_relay"]["id"]
    world.memo.say("memo", "no", reply_to=f"{number}:BOXE")
    world.run()
    body = json.loads(world_messages(world)[-1].body)
    found = world.boxe.device.log.event(event_id(body["reply_to"]))
    assert found is not None
    assert json.loads(decode_event(found.record).body)["text"] == "statement"


def event_id(text: str) -> Any:
    from hcom_replica.ids import parse_event_id

    return parse_event_id(text)


def test_peer_that_was_away_gets_what_it_asks_for(world: World) -> None:
    """B8.8"""
    world.boxe.write(*numbered(10))
    world.run()
    short = "BOXE"
    world.memo.deaf = True
    world.boxe.write(*numbered(300, 10))
    world.run(20)
    world.memo.deaf = False
    cursor = int(world.memo.kv(f"relay_events_{world.boxe.carrying._lanes.uuid(world.boxe.directory.own)}") or 0)
    ask(world, short, f"id > {cursor} AND id < {1 << 60} AND instance != '_device'")
    world.run()
    kept = json.loads(open_kept(world))
    (answer,) = [event["data"] for event in kept["events"] if event["type"] == "rpc_result"]
    texts = [event["data"]["text"] for event in answer["result"]["events"]]
    assert answer["ok"] is True
    assert texts == list(reversed(numbered(310)))[: len(texts)]
    assert len(texts) == 100


@pytest.mark.parametrize(("action", "sql"), [("kill", ""), ("events", "1=1"), ("events", "id > x AND id < 3")])
def test_other_requests_of_peers_are_answered_with_no(world: World, action: str, sql: str) -> None:
    """B8.8"""
    ask(world, "BOXE", sql, action)
    world.run()
    (answer,) = [event["data"] for event in json.loads(open_kept(world))["events"] if event["type"] == "rpc_result"]
    assert answer["ok"] is False


def test_request_that_somebody_repeats_is_answered_once(world: World) -> None:
    """B8.8"""
    for _ in range(3):
        ask(world, "BOXE", "id > 0 AND id < 9")
        world.run()
    answers = [row for row in world.sora.rows("_rpc%") if row.get("request_id") == "r1"]
    assert len(answers) == 1


def ask(world: World, short: str, sql: str, action: str = "events") -> None:
    data = {"action": action, "target_device": short, "request_id": "r1", "params": {"sql": sql, "last": 100}}
    plain = json.dumps({"from_device": "x", "events": [{"ts": 1.0, "type": "control", "data": data}]}).encode()
    topic = f"{RELAY}/control"
    world.hub.publish(world.memo, topic, seal(KEY, topic, 1, plain, bytes(24)), retain=False)


def open_kept(world: World) -> bytes:
    topic = f"{RELAY}/{world.boxe.carrying._lanes.uuid(world.boxe.directory.own)}"
    return unseal(KEY, topic, world.hub.kept[topic]).plain


# --- once, whatever happens --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["restart", "reconnect", "restored", "broker forgot"])
def test_events_written_meanwhile_come_once_when_the_carrier_is_back(world: World, how: str) -> None:
    """B8.4, B8.7"""
    world.boxe.write(*numbered(20))
    say(world.memo, "memo", numbered(20))
    world.run()
    old = world.boxe.device.clone(5)
    world.boxe.write(*numbered(100, 20))
    say(world.memo, "memo", numbered(100, 20))
    world.run(20)
    world.boxe.cut()
    say(world.memo, "memo", numbered(130, 120))
    world.memo.push(world.boxe.now)
    if how == "broker forgot":
        world.hub.kept.clear()
    if how == "restored":
        send(world.boxe.device, old, now_ms=world.boxe.now.wall_ms)
    else:
        world.boxe.write(*numbered(130, 120))
    if how == "reconnect":
        world.boxe.connect()
    else:
        world.boxe.boot(old if how == "restored" else None)
    if how == "restored":
        world.boxe.write(*numbered(130, 120))
    world.run(40)
    assert world.boxe.logged() == numbered(250)
    assert world.sora.ours() == numbered(250)
    assert (world.sora.wiped, world.memo.wiped) == (0, 0)


def test_carrier_that_dies_between_disk_and_broker_loses_and_doubles_nothing(world: World) -> None:
    """B8.7: what may have been published is on disk before it is."""
    for round_ in range(6):
        world.boxe.write(*numbered(120, 120 * round_))
        for _ in range(3):
            world.boxe.now = Now(world.boxe.now.wall_ms + 2_500, world.boxe.now.mono_ms + 2_500)
            found, _more = world.boxe.carrying.poll(world.boxe.now, world.boxe.network)
            for one in found[: round_ % 2]:
                world.hub.publish(world.boxe, one.topic, one.payload, retain=bool(one.token))
            world.boxe.cut()
            world.boxe.boot()
        world.run(20)
    assert world.sora.wiped == 0
    assert world.sora.ours() == numbered(720)


def test_peer_that_was_reset_or_restored_deletes_nothing_and_goes_on(world: World) -> None:
    """B8.6"""
    say(world.memo, "memo", numbered(60))
    world.run()
    world.memo.backup()
    say(world.memo, "memo", numbered(60, 60))
    world.run()
    world.memo.restore()
    world.memo.sent = 60
    for number in range(120, 150):
        world.memo.row(
            "message", "memo", {"from": "memo", "text": f"m{number}"}, f"2026-11-23T00:00:00.{number:06}+00:00"
        )
    world.run(20)
    assert sorted(world.boxe.logged(), key=numbered(150).index) == numbered(150)
    world.memo.newer()
    world.memo.start("memo")
    world.memo.reset_ts = 1_795_500_000.0
    world.memo.row("message", "memo", {"from": "memo", "text": "after"}, "2026-11-24T00:00:00.000000+00:00")
    world.run(20)
    assert world.boxe.logged()[-1] == "after"
    assert len(world.boxe.logged()) == 151


@pytest.mark.parametrize("kind", ["message", "control"])
def test_peer_that_was_restored_and_wrote_much_while_nobody_carried_loses_nothing(world: World, kind: str) -> None:
    """B8.6: the row that is known last is another one, or none of its own any more."""
    say(world.memo, "memo", numbered(60))
    world.run()
    world.memo.backup()
    say(world.memo, "memo", numbered(60, 60))
    world.run()
    world.boxe.cut()
    world.memo.restore()
    world.memo.sent = 60
    for number in range(120, 320):
        at = f"2026-11-23T00:00:00.{number:06}+00:00"
        last_known = number == 179
        world.memo.row(kind if last_known else "message", "memo", {"from": "memo", "text": f"m{number}"}, at)
    world.boxe.boot()
    world.run(40)
    expected = [text for text in numbered(320) if kind == "message" or text != "m179"]
    assert sorted(world.boxe.logged(), key=numbered(320).index) == expected


def test_folder_that_was_restored_lets_no_number_go_back_though_the_broker_has_forgotten(world: World) -> None:
    """B8.7: numbers come from the wall clock."""
    world.boxe.write(*numbered(20))
    world.run()
    old = world.boxe.device.clone(5)
    world.boxe.write(*numbered(100, 20))
    world.run(20)
    world.boxe.cut()
    world.hub.kept.clear()
    world.boxe.boot(old)
    world.boxe.write("after")
    world.run(20)
    assert world.sora.wiped == 0
    assert world.sora.ours()[-1] == "after"


@pytest.mark.parametrize("off_s", [7_200, -7_200])
def test_clock_of_a_peer_that_is_two_hours_off_hides_nothing(tmp_path: Path, off_s: int) -> None:
    """B8.6: it is asked with its own time."""
    world = World(tmp_path)
    world.memo.off_s = off_s
    say(world.memo, "memo", numbered(300))
    world.memo.push(world.boxe.now)
    world.run(40)
    assert world.boxe.logged() == numbered(300)
    assert world.memo.asked >= 3


def test_peer_that_does_not_answer_is_heard_all_the_same_and_asked_again(tmp_path: Path) -> None:
    """B8.6"""
    world = World(tmp_path)
    say(world.memo, "memo", numbered(200))
    world.memo.push(world.boxe.now)
    world.memo.deaf = True
    world.run(20)
    assert world.boxe.logged() == []
    for _ in range(3):
        world.later(STUCK_MS)
        world.run(2)
    assert world.boxe.logged() == numbered(50, 150)
    world.memo.deaf = False
    world.later(AGAIN_MS + PATIENCE_MS)
    world.run(30)
    assert sorted(world.boxe.logged(), key=numbered(200).index) == numbered(200)


def test_answers_that_are_cut_are_asked_for_in_smaller_parts(tmp_path: Path) -> None:
    """B8.6"""
    world = World(tmp_path)
    world.memo.capped = 30
    say(world.memo, "memo", numbered(200))
    world.memo.push(world.boxe.now)
    world.run(60)
    assert sorted(world.boxe.logged(), key=numbered(200).index) == numbered(200)


# --- who carries -------------------------------------------------------------------------------------------


def test_of_two_that_have_joined_one_carries_and_the_other_takes_over_when_it_is_gone(world: World) -> None:
    """B8.2, B8.3"""
    tuka = world.add("TUKA")
    world.boxe.write(*numbered(70))
    say(world.memo, "memo", numbered(70))
    world.run(20)
    assert [gate.carrying.part for gate in world.gates] == [Part.CARRY, Part.STAND_BY]
    world.boxe.cut()
    say(world.memo, "memo", numbered(70, 70))
    world.run(3)
    assert [gate.carrying.part for gate in world.gates] == [Part.STAND_BY, Part.STAND_BY]
    world.later(SILENT_MS)
    world.run(30)
    assert tuka.carrying.part is Part.CARRY
    tuka.write(*numbered(30, 70))
    world.run(20)
    assert tuka.logged() == numbered(140)
    assert world.sora.ours() == numbered(100)
    assert {row["instance"] for row in world.sora.rows("luna:%")} == {"luna:BOXE", "luna:TUKA"}
    world.boxe.connect()
    world.run(20)
    assert [gate.carrying.part for gate in world.gates] == [Part.STAND_BY, Part.CARRY]
    world.boxe.write(*numbered(30, 100))
    world.run(20)
    assert world.sora.ours() == numbered(130)
    assert (world.sora.wiped, world.memo.wiped, world.sora.dropped) == (0, 0, [])


def test_one_that_has_not_heard_of_the_other_in_the_log_hears_it_on_the_broker(world: World) -> None:
    """B8.2: two that are partitioned do not publish for the same devices."""
    world.boxe.write("first")
    world.run()
    tuka = Gate(Device("TUKA"), world.hub)
    tuka.now = world.boxe.now
    for _ in range(20):
        tuka.step()
        world.boxe.step()
    assert tuka.carrying.part is Part.STAND_BY
    assert not [claim for claim in tuka.foreigners.claims.values() if claim.joined]


def test_when_the_carrier_leaves_the_other_carries_at_once_and_gives_nothing_twice(world: World) -> None:
    """B8.9"""
    tuka = world.add("TUKA")
    world.boxe.write(*numbered(70))
    world.run(20)
    world.boxe.give(world.boxe.carrying.leave(world.boxe.now))
    assert world.sora.agents_of("BOXE") == {}
    assert world.boxe.carrying.left(world.boxe.now)
    world.boxe.cut()
    world.gates.remove(tuka)
    late = world.add("LATE")  # joins when nothing of before is on the broker any more
    world.run(20)
    assert late.carrying.part is Part.CARRY
    late.write("late")
    world.run(20)
    assert world.sora.ours() == [*numbered(70), "late"]


def test_claim_of_a_device_that_was_retired_counts_no_more(world: World) -> None:
    """B8.2"""
    tuka = world.add("TUKA")
    world.run()
    world.boxe.cut()
    retire = system_draft(RETIRE, Retire(world.boxe.directory.own.hex(), {}))
    tuka.device.log.append([retire], tuka.now.wall_ms)
    world.gates.remove(world.boxe)
    for _ in range(20):
        tuka.step()
    assert tuka.carrying.part is Part.CARRY


@pytest.mark.parametrize(
    ("standing", "heard", "given_up", "silent", "part"),
    [
        ({}, None, (), 0, Part.CLAIM),
        ({b"own": (1, "a")}, None, (), 0, Part.CARRY),
        ({b"own": (1, "a"), b"two": (2, "b")}, None, (), 0, Part.STAND_BY),
        ({b"own": (1, "a"), b"two": (2, "b")}, None, (), SILENT_MS + 1, Part.CLAIM),
        ({b"own": (1, "a")}, (2, "b"), (), 0, Part.STAND_BY),
        ({b"own": (1, "a")}, (2, "b"), ("b",), 0, Part.CARRY),
        ({b"own": (2, "a")}, (2, "b"), (), 0, Part.STAND_BY),
        ({b"own": (2, "b")}, (2, "a"), (), SILENT_MS + 1, Part.CARRY),
    ],
)
def test_greater_claim_counts_wherever_it_is_seen(
    standing: dict[bytes, Any], heard: Any, given_up: tuple[str, ...], silent: int, part: Part
) -> None:
    """B8.2, B8.3"""
    duty = Duty(b"own", "00" * 8)
    duty.connected(0)
    if heard is not None:
        duty.hear(Carrier("00" * 8, *heard), 1, 0, live=True)
    claims = {
        device: Claim(rank[0], rank[1], joined=True, first=1, hlc=1, given={}) for device, rank in standing.items()
    }
    assert duty.part(claims, lambda claim: claim in given_up, silent) is part


def test_carrier_that_somebody_has_recorded_does_not_count_as_alive() -> None:
    """B8.3"""
    duty, said = Duty(b"own", "00" * 8), Carrier("00" * 8, 1, "a")
    duty.connected(0)
    duty.hear(said, 100, 0, live=True)
    duty.hear(said, 145, 45_000, live=True)
    for now_ms in range(90_000, 45_000 + SILENT_MS, 10_000):
        duty.hear(said, 100, now_ms, live=True)
        assert duty.part({}, lambda _claim: False, now_ms) is Part.STAND_BY
    assert duty.part({}, lambda _claim: False, 45_001 + SILENT_MS) is Part.CLAIM


# --- hostile and malformed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        [],
        {"state": 3},
        {"state": {"short_id": "me/mo"}, "events": []},
        {"state": {"short_id": "MEMO:X"}, "events": []},
        {"state": {"short_id": "BAD", "instances": {"a": 3}}, "events": []},
        {"state": {"short_id": "BAD", "replica": {"group": 1}}, "events": []},
        {
            "state": {"short_id": "BAD"},
            "events": [{"id": 1 << 70, "ts": "t", "type": "message", "instance": "x", "data": {}}],
        },
        {
            "state": {"short_id": "BAD"},
            "events": [{"id": -1, "ts": "t", "type": "message", "instance": "x", "data": {}}],
        },
        {"state": {"short_id": "BAD"}, "events": [{"id": 1, "ts": 5, "type": "message", "instance": "x", "data": {}}]},
        {"state": {"short_id": "BAD"}, "events": "x"},
    ],
)
def test_snapshots_that_are_none_stop_nobody(world: World, said: Any) -> None:
    """B8.10"""
    world.memo.publish(said, world.boxe.now, "00000000-0000-4000-8000-00000000bad0")
    world.hub.publish(None, f"{RELAY}/x", b"\x01" * 80, retain=True)
    world.hub.publish(None, f"{RELAY}/control", b"\x01" * 80, retain=False)
    world.hub.publish(None, f"{RELAY}/x", b"", retain=True)
    say(world.memo, "memo", ["hello"])
    world.run()
    assert world.boxe.logged() == ["hello"]
    assert not [event for event in world.boxe.device.log.arrivals(0, 10_000) if b"x:BAD" in event.event.record]


def test_event_that_is_malformed_does_not_stop_those_beside_it(world: World) -> None:
    """B8.10"""
    good = {"id": 7, "ts": "2026-11-22T17:39:23+00:00", "type": "message", "instance": "memo", "data": {"text": "good"}}
    strange = [{**good, "id": "8"}, {**good, "id": 9, "data": [1]}, {**good, "id": 10, "type": "x" * 300}]
    left_out = [
        {**good, "id": 11, "instance": "luna:BOXE"},
        {**good, "id": 12, "instance": "_device"},
        {**good, "id": 13, "type": "control"},
        {**good, "id": 14, "type": "life", "instance": "", "data": {"action": "relay_device_join"}},
    ]
    state = {"short_id": "MEMO", "instances": {}}
    world.memo.publish({"state": state, "events": [*strange, good, *left_out]}, world.boxe.now)
    world.pushing = []
    world.later(STUCK_MS + 1)
    world.run()
    found = [decode_event(row.event.record) for row in world.boxe.device.log.arrivals(0, 10_000)]
    ids = [
        json.loads(event.body)["_hcom"]["id"] for event in found if b'"peer"' in event.body and b'"id"' in event.body
    ]
    assert sorted(ids) == [7, 9, 10]


def test_peer_called_as_one_of_ours_is_told_apart(tmp_path: Path) -> None:
    """B8.5, B8.7"""
    world = World(tmp_path)
    twin = Only(tmp_path / "twin", "BOXE", world.hub)
    twin.start("luna")
    twin.push(world.boxe.now)
    world.pushing.append(twin)
    world.run()
    twin.say("luna", "of the twin")
    world.boxe.write("ours")
    world.run()
    assert world.boxe.logged("luna:BOXE-HCOM") == ["of the twin"]
    assert [row["instance"] for row in world.sora.rows() if row.get("text") == "ours"] == ["luna:BOXE-R"]
    assert world.sora.dropped == []


def test_replayed_snapshot_says_nothing_new(world: World) -> None:
    """B8.4"""
    say(world.memo, "memo", numbered(30))
    world.run()
    topic = f"{RELAY}/{world.memo.uuid}"
    old = world.hub.kept[topic]
    say(world.memo, "memo", numbered(30, 30))
    world.memo.start("nova")
    world.run()
    before = world.boxe.device.log.last_arrival()
    for _ in range(3):
        world.boxe.take(topic, old)
    world.run()
    assert world.boxe.logged() == numbered(60)
    assert world.boxe.device.log.last_arrival() == before


def test_settings_are_read_as_written_and_others_are_refused() -> None:
    """B8.1"""
    assert decode_legacy(encode_file(SETTINGS), "legacy.json") == SETTINGS
    for data in (b"", b"{}", b'{"relay_id":"x","key":"00","broker":""}', encode_file(SETTINGS)[:40]):
        with pytest.raises(ConfigError):
            decode_legacy(data, "legacy.json")
    assert State("BOXE").replica is not None
