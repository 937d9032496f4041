"""Remote control: in the log, allowed by the target, at most once, and only while somebody waits (B7.1 to B7.5)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hcom_replica.bridge.remote import EXPIRED, RUNNING_MS, WAITED_OTHERS_MS
from hcom_replica.bridge.wishes import ACTIONS
from hcom_replica.core.effects import Now
from hcom_replica.folder.config import HCOM_ACTIONS
from hcom_replica.wire.event import Draft, decode_event
from tests.unit.bridge.hcoms import RELAY
from tests.unit.bridge.test_gateway import Two


@pytest.fixture
def two(tmp_path: Path) -> Two:
    made = Two(tmp_path)
    made.meet()
    made.boxe.hcom.say("luna", "hello")
    made.tuka.hcom.say("rose", "hello")
    made.meet()
    return made


def kinds(two: Two) -> list[str]:
    """Kinds of the events of remote control, in the order of the log."""
    found = [decode_event(row.record).kind for row in two.boxe.device.log.events()]
    return [kind for kind in found if kind.startswith("rpc_")]


def answers_of(two: Two) -> list[tuple[bool, Any]]:
    """What the log says came of it."""
    found = [decode_event(row.record) for row in two.boxe.device.log.events()]
    bodies = [json.loads(event.body) for event in found if event.kind == "rpc_answer"]
    return [(body.get("ok", False), body.get("result")) for body in bodies]


def durably(two: Two, action: str, request: str = "d1") -> None:
    """Somebody at BOXE asks TUKA for something, and does not wait."""
    body = {"request": request, "target": two.tuka.directory.own.hex(), "action": action, "params": {"target": "rose"}}
    wish = json.dumps({**body, "durable": True}).encode()
    two.boxe.device.log.append([Draft("rpc_request", None, None, wish)], two.boxe.now.wall_ms)


def later(two: Two, ms: int) -> None:
    """Time passes at BOXE."""
    two.boxe.now = Now(two.boxe.now.wall_ms, two.boxe.now.mono_ms + ms)


def test_wish_is_done_on_the_other_device_and_answered_and_every_step_is_in_the_log(two: Two) -> None:
    """B7.1, B7.2, B7.4"""
    two.boxe.wish("kill", "TUKA", target="rose")
    two.meet()
    two.meet()
    assert [(one["action"], one["params"]) for one in two.tuka.done] == [("kill", {"target": "rose"})]
    assert two.tuka.done[0]["from"] == "_:BOXE"
    (answer,) = two.boxe.results()
    assert (answer["request_id"], answer["ok"], answer["result"]) == ("r1", True, {"n": 1})
    assert sorted(kinds(two)) == ["rpc_answer", "rpc_ask", "rpc_request", "rpc_start", "rpc_yes"]
    assert two.tuka.results() == []


def test_wish_that_nobody_waits_for_any_more_is_not_done(two: Two) -> None:
    """B7.2: the target was away; judged by the clock of the one who asks alone."""
    two.boxe.wish("kill", "TUKA")
    two.boxe.run()
    later(two, 3 * WAITED_OTHERS_MS)
    two.meet()
    two.meet()
    assert two.tuka.done == []
    assert sorted(kinds(two)) == ["rpc_answer", "rpc_ask", "rpc_no", "rpc_request"]
    assert answers_of(two) == [(False, {"error": EXPIRED})]
    assert two.boxe.results() == []


def test_wish_from_before_a_restart_of_the_asker_is_not_done(two: Two) -> None:
    """B7.2"""
    two.boxe.wish("kill", "TUKA")
    two.boxe.run()
    two.boxe.boot()
    two.meet()
    two.meet()
    assert two.tuka.done == []


@pytest.mark.parametrize("action", ["term_inject", "config_set", "relay_off"])
def test_wish_that_is_not_allowed_is_refused_with_a_reason(two: Two, action: str) -> None:
    """B7.3"""
    two.boxe.wish(action, "TUKA")
    two.meet()
    two.meet()
    assert two.tuka.done == []
    (answer,) = two.boxe.results()
    assert answer["ok"] is False
    assert f"TUKA does not let BOXE do {action}" in answer["result"]["error"]


def test_wish_may_be_allowed_to_one_device(two: Two) -> None:
    """B7.3"""
    two.tuka.allowed = ("BOXE:term_inject",)
    two.tuka.boot()
    two.boxe.wish("term_inject", "TUKA", "r1")
    two.boxe.wish("kill", "TUKA", "r2")
    two.meet()
    two.meet()
    assert [one["action"] for one in two.tuka.done] == ["term_inject"]


def test_wish_said_twice_is_done_once(two: Two) -> None:
    """B7.4"""
    for _ in range(2):
        two.boxe.wish("kill", "TUKA")
    two.meet()
    two.meet()
    assert len(two.tuka.done) == 1


def test_wish_whose_target_dies_when_it_has_begun_is_not_begun_again(two: Two) -> None:
    """B7.4"""
    two.tuka.told = lambda topic, payload: None  # type: ignore[method-assign]
    two.tuka.boot()
    two.boxe.wish("launch", "TUKA")
    two.meet()
    two.meet()
    assert "rpc_start" in kinds(two)
    two.tuka.boot()
    two.tuka.now = Now(two.tuka.now.wall_ms, two.tuka.now.mono_ms + 2 * RUNNING_MS)
    two.meet()
    assert kinds(two).count("rpc_start") == 1
    assert two.boxe.results()[-1]["result"] == {"error": "hcom did not say what came of it"}


def test_durable_wish_is_done_once_whenever_the_target_comes_by(two: Two) -> None:
    """B7.6"""
    durably(two, "kill")
    two.boxe.run()
    later(two, 100 * WAITED_OTHERS_MS)
    two.boxe.boot()
    for _ in range(3):
        two.meet()
        two.tuka.boot()
    assert [(one["action"], one["params"]) for one in two.tuka.done] == [("kill", {"target": "rose"})]
    assert sorted(kinds(two)) == ["rpc_answer", "rpc_request", "rpc_start"]
    assert answers_of(two) == [(True, {"n": 1})]


def test_durable_wish_that_is_not_allowed_is_refused(two: Two) -> None:
    """B7.3, B7.6"""
    durably(two, "config_set")
    two.meet()
    assert two.tuka.done == []
    ((ok, result),) = answers_of(two)
    assert (ok, "does not let" in result["error"]) == (False, True)


@pytest.mark.parametrize("lacking", ["worker", "events", "heads"])
def test_durable_wish_waits_for_hcom_and_for_all_that_is_known_of(two: Two, lacking: str) -> None:
    """B7.6"""
    two.tuka.wire.worker = lacking != "worker"
    two.tuka.network.missing = lacking == "events"
    two.tuka.network.heard = lacking != "heads"
    durably(two, "kill")
    two.meet()
    two.tuka.boot()
    two.meet()
    assert two.tuka.done == []
    two.tuka.wire.worker, two.tuka.network.missing, two.tuka.network.heard = True, False, True
    two.meet()
    assert len(two.tuka.done) == 1


def test_durable_wish_that_a_restored_folder_has_forgotten_is_not_done_again(two: Two) -> None:
    """B7.6: what was begun is in the log, which others have."""
    two.meet()
    old = two.tuka.device.clone(77)
    durably(two, "kill")
    two.meet()
    assert len(two.tuka.done) == 1
    two.tuka.network.missing = True
    two.tuka.boot(old)
    two.meet()
    two.tuka.network.missing = False
    two.meet()
    assert len(two.tuka.done) == 1


def test_switching_the_relay_off_is_asked_one_way_and_its_steps_are_in_the_log(two: Two) -> None:
    """B7.7"""
    two.tuka.allowed = ("relay_off",)
    two.tuka.boot()
    two.boxe.wish("relay_off", "TUKA", "")
    two.boxe.wish("kill", "TUKA", "")
    two.meet()
    two.meet()
    assert [one["action"] for one in two.tuka.done] == ["relay_off"]
    assert sorted(kinds(two)) == ["rpc_answer", "rpc_ask", "rpc_request", "rpc_start", "rpc_yes"]
    assert two.boxe.results() == []


@pytest.mark.parametrize("waits", [True, False])
def test_wish_by_hand_is_done_while_somebody_waits(two: Two, waits: bool) -> None:
    """B7.2"""
    device = two.tuka.directory.own
    request = two.boxe.remote.ask(device, "kill", {"target": "rose"}, two.boxe.now.mono_ms + 60_000, two.boxe.now)
    if not waits:
        two.boxe.remote.give_up(request)
    two.meet()
    two.meet()
    said = two.boxe.remote.answer(request)
    assert len(two.tuka.done) == int(waits)
    assert (said is not None and said.ok and said.result == {"n": 1}) is waits
    assert two.boxe.results() == []


def test_old_wishes_in_the_history_are_not_looked_at_by_who_joins(tmp_path: Path) -> None:
    """B7.2"""
    two = Two(tmp_path)
    body = {"request": "old", "target": two.tuka.directory.own.hex(), "action": "kill", "params": {}}
    two.boxe.device.log.append([Draft("rpc_request", None, None, json.dumps(body).encode())], two.boxe.now.wall_ms)
    two.tuka.network.heads = {two.boxe.device.own.id: two.boxe.device.own.seq}
    two.meet()
    assert kinds(two) == ["rpc_request"]


@pytest.mark.parametrize("kind", ["rpc_request", "rpc_ask", "rpc_yes", "rpc_no", "rpc_start", "rpc_answer"])
@pytest.mark.parametrize("body", [b"", b"[]", b'{"request":""}', b'{"request":"r1","target":"zz","action":"rm"}'])
def test_words_of_remote_control_that_are_none_do_nothing(two: Two, kind: str, body: bytes) -> None:
    """B7.5"""
    two.boxe.device.log.append([Draft(kind, None, None, body)], two.boxe.now.wall_ms)
    two.meet()
    assert two.tuka.done == []
    assert two.tuka.results() == []


def test_target_can_neither_say_yes_to_itself_nor_be_answered_when_nobody_waits(two: Two) -> None:
    """B7.5"""
    two.boxe.wish("kill", "TUKA")
    two.boxe.run()
    later(two, 3 * WAITED_OTHERS_MS)
    two.meet()
    for kind in ("rpc_yes", "rpc_answer"):
        two.tuka.device.log.append([Draft(kind, None, None, b'{"request":"r1","ok":true}')], two.tuka.now.wall_ms)
    two.meet()
    assert two.tuka.done == []


@pytest.mark.parametrize("payload", [b"", b"\x01" * 80])
def test_words_on_the_endpoint_that_are_not_sealed_do_nothing(two: Two, payload: bytes) -> None:
    """B7.5"""
    two.boxe.remote.heard(f"{RELAY}/control", payload)
    two.boxe.remote.heard(f"{RELAY}/device", payload)
    two.meet()
    assert kinds(two) == []


def test_actions_of_settings_and_bridge_are_the_same() -> None:
    """B7.3"""
    assert set(ACTIONS) == set(HCOM_ACTIONS)
