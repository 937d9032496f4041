"""From the log to hcom: every event once, in order, in the right inboxes, whatever happens (B4.1 to B4.10)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hcom_replica.bridge.handover import OUR_AGENT
from hcom_replica.core.effects import Now
from hcom_replica.core.hello import RETIRE, Retire, system_draft
from hcom_replica.wire.event import Draft
from hcom_replica.wire.signing import device_id
from tests.unit.bridge.hcoms import Bridged
from tests.unit.store.devices import Device, answers, send


class Two:
    """Two devices with an hcom each, and a network that carries events when a test says so."""

    def __init__(self, folder: Path) -> None:
        self.boxe = Bridged(folder / "boxe", Device("BOXE"))
        self.tuka = Bridged(folder / "tuka", Device("TUKA"))
        self.boxe.hcom.start("luna")
        self.tuka.hcom.start("rose")

    def meet(self) -> None:
        """Both see each other, and all that is written is carried and handed over."""
        for _ in range(3):
            self.boxe.run()
            self.tuka.run()
            for one, other in ((self.boxe, self.tuka), (self.tuka, self.boxe)):
                send(one.device, other.device)
                other.network.present = frozenset(state.id for state in one.device.log.origins())


@pytest.fixture
def two(tmp_path: Path) -> Two:
    made = Two(tmp_path)
    made.meet()
    return made


def test_events_come_to_hcom_once_in_order_as_its_own_peers_would_send_them(two: Two) -> None:
    """B4.1, B4.4, B4.6"""
    for number in range(250):
        two.boxe.hcom.say("luna", str(number))
    two.boxe.hcom.row("status", "luna", {"status": "active", "context": "tool:Edit", "detail": "a.py"})
    two.meet()
    assert two.tuka.hcom.texts() == [str(number) for number in range(250)]
    rows = two.tuka.hcom.rows("luna:BOXE")
    assert [row["_relay"]["id"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[0]["from"] == "luna:BOXE"
    assert "_hcom" not in rows[0]
    assert rows[0]["_replica"]["id"].startswith(two.boxe.device.own.id.hex())
    assert rows[-1]["detail"] == "a.py"
    assert two.tuka.hcom.wiped == 0
    assert two.tuka.hcom.dropped == []
    assert two.boxe.hcom.rows("luna:%") == []


def test_agents_of_the_other_device_are_shown_and_away_ones_say_so(two: Two) -> None:
    """B4.3"""
    assert two.boxe.hcom.agents_of("TUKA") == {"rose:TUKA": ("listening", "")}
    two.tuka.hcom.row("status", "rose", {"status": "blocked", "detail": "waits"})
    two.meet()
    assert two.boxe.hcom.agents_of("TUKA") == {"rose:TUKA": ("blocked", "waits")}
    two.boxe.network.present = frozenset()
    two.boxe.run()
    (shown,) = two.boxe.hcom.agents_of("TUKA").values()
    assert shown[0] == "inactive"
    assert "device away since 20" in shown[1]
    assert "mail is kept" in shown[1]
    two.tuka.hcom.stop("rose")
    two.meet()
    assert two.boxe.hcom.agents_of("TUKA") == {}


def test_devices_are_said_again_within_the_time_after_which_hcom_forgets_them(two: Two) -> None:
    """B4.3"""
    before = len(two.boxe.wire.published)
    for _ in range(10):
        two.boxe.step(10_000)
    assert 2 <= len(two.boxe.wire.published) - before <= 3


def test_devices_that_left_are_said_no_more(two: Two) -> None:
    """B4.1"""
    tuka = device_id(two.tuka.device.writer.device.public)
    two.boxe.device.log.append([system_draft(RETIRE, Retire(tuka.hex(), {}))], two.boxe.now.wall_ms)
    two.boxe.run()
    before = len(two.boxe.wire.published)
    two.boxe.step(100_000)
    assert len(two.boxe.wire.published) == before


def test_hundreds_wait_for_hcom_and_nothing_is_decided_while_its_worker_is_away(two: Two) -> None:
    """B4.4"""
    two.tuka.wire.worker = False
    for number in range(350):
        two.boxe.hcom.say("luna", str(number))
    two.boxe.run()
    send(two.boxe.device, two.tuka.device)
    two.tuka.run()
    assert not two.tuka.handover.busy()
    assert two.tuka.handover.pending() >= 350
    two.tuka.wire.worker = True
    two.tuka.step()
    assert len(two.tuka.hcom.texts()) == 100
    two.tuka.run()
    assert two.tuka.hcom.texts() == [str(number) for number in range(350)]


@pytest.mark.parametrize("taken", [True, False])
def test_daemon_that_dies_between_decision_and_import_doubles_and_loses_nothing(two: Two, taken: bool) -> None:
    """B4.4"""
    for number in range(250):
        two.boxe.hcom.say("luna", str(number))
    two.boxe.run()
    send(two.boxe.device, two.tuka.device)
    lost: list[Any] = []
    take = two.tuka.hcom.take
    for _ in range(4):
        two.tuka.hcom.take = take if taken else (lambda topic, payload: lost.append(payload))  # type: ignore[method-assign]
        two.tuka.step()
        two.tuka.hcom.take = take  # type: ignore[method-assign]
        two.tuka.boot()
    two.tuka.run()
    assert two.tuka.hcom.texts() == [str(number) for number in range(250)]
    assert two.tuka.hcom.wiped == 0


def test_restored_folder_learns_from_hcoms_rows_what_was_handed_over(two: Two) -> None:
    """B4.5"""
    two.boxe.hcom.say("luna", "first")
    two.meet()
    old = two.tuka.device.clone(77)
    for number in range(150):
        two.boxe.hcom.say("luna", str(number))
    two.meet()
    two.tuka.boot(old)
    two.meet()
    two.boxe.hcom.say("luna", "last")
    two.meet()
    assert two.tuka.hcom.texts() == ["first", *map(str, range(150)), "last"]
    assert two.tuka.hcom.wiped == 0


def test_restored_hcom_is_given_again_what_it_lost(two: Two) -> None:
    """B4.5"""
    two.boxe.hcom.say("luna", "first")
    two.meet()
    two.tuka.hcom.backup()
    for number in range(150):
        two.boxe.hcom.say("luna", str(number))
    two.meet()
    two.tuka.hcom.restore()
    two.meet()
    two.boxe.hcom.say("luna", "last")
    two.meet()
    assert two.tuka.hcom.texts() == ["first", *map(str, range(150)), "last"]
    assert two.tuka.hcom.wiped == 0


def test_reset_hcom_is_not_given_its_history_again_but_all_that_comes(two: Two) -> None:
    """B4.5, B4.10"""
    two.boxe.hcom.say("luna", "before")
    two.meet()
    two.tuka.hcom.reset()
    two.tuka.hcom.set_kv("relay_local_reset_ts", 1_795_400_000.25)
    two.meet()
    assert two.tuka.hcom.texts() == []
    two.boxe.hcom.say("luna", "written later, by a clock that is behind")
    two.meet()
    assert two.tuka.hcom.texts() == ["written later, by a clock that is behind"]
    (row,) = [row for row in two.tuka.hcom.rows() if row["type"] == "message"]
    assert row["ts"].startswith("2026-11-23T02:13:21")
    assert row["_replica"]["time"].startswith("2026-11-22T17:39:23")
    assert two.tuka.hcom.wiped == 0


def test_reset_hcom_is_given_all_that_it_lacks_when_that_is_asked_for(two: Two) -> None:
    """B4.5"""
    for number in range(150):
        two.boxe.hcom.say("luna", str(number))
    two.meet()
    two.tuka.hcom.reset()
    two.tuka.hcom.start("rose", created=99.0)
    two.meet()
    two.boxe.hcom.say("luna", "after the reset")
    two.meet()
    assert two.tuka.hcom.texts() == ["after the reset"]
    two.tuka.gateway.refill()
    two.meet()
    two.boxe.hcom.say("luna", "last")
    two.meet()
    assert two.tuka.hcom.texts() == ["after the reset", *map(str, range(150)), "last"]
    assert two.tuka.hcom.inbox("rose") == ["after the reset", "last"]
    assert two.tuka.hcom.wiped == 0


def test_envelopes_never_go_back_in_time_when_the_clock_does(two: Two) -> None:
    """B4.2"""
    two.tuka.now = Now(two.tuka.now.wall_ms + 7_200_000, two.tuka.now.mono_ms)
    two.boxe.hcom.say("luna", "while the clock is ahead")
    two.meet()
    two.tuka.now = Now(two.tuka.now.wall_ms - 7_200_000, two.tuka.now.mono_ms)
    two.boxe.hcom.say("luna", "after it was corrected")
    two.meet()
    two.tuka.boot()
    two.boxe.hcom.say("luna", "and after a restart")
    two.meet()
    assert two.tuka.hcom.texts() == ["while the clock is ahead", "after it was corrected", "and after a restart"]
    assert two.tuka.hcom.dropped == []


def test_letters_that_hcom_knows_from_another_group_keep_their_uuid_and_their_rows(tmp_path: Path) -> None:
    """B4.1"""
    two = Two(tmp_path)
    two.boxe.hcom.say("luna", "known since the old group")
    old = "0000beef-0000-4000-8000-000000000000"
    two.tuka.hcom.set_kv("relay_short_BOXE", old)
    two.tuka.hcom.set_kv(f"relay_events_{old}", 40)
    data = {
        "text": "known since the old group",
        "scope": "broadcast",
        "_relay": {"device": old, "id": 40, "short": "BOXE"},
    }
    two.tuka.hcom.row("message", "luna:BOXE", data)
    two.boxe.hcom.row(
        "message", "luna", {"text": "new", "scope": "broadcast"}, timestamp="2026-11-22T18:00:00.000000+00:00"
    )
    two.meet()
    assert two.tuka.hcom.texts() == ["known since the old group", "new"]
    assert two.tuka.hcom.dropped == []
    assert two.tuka.hcom.wiped == 0
    assert two.tuka.hcom.rows()[-1]["_relay"]["id"] > 40


def test_name_that_hcom_has_for_itself_gets_another_one(tmp_path: Path) -> None:
    """B4.1"""
    boxe = Bridged(tmp_path / "boxe", Device("BOXE"))
    other = Bridged(tmp_path / "other", Device("BOXE", draw=3), short="MAHI")
    other.hcom.set_kv(f"relay_uuid_short_{other.hcom.uuid}", "MAHI")
    other.hcom.set_kv("relay_short_MAHI", other.hcom.uuid)
    device = Device("MAHI")
    device.log.append([Draft("message", "luna", None, b'{"text":"hi"}')], boxe.now.wall_ms)
    send(device, other.device)
    other.run()
    assert [row["instance"] for row in other.hcom.rows()] == ["luna:MAHI-R"]


# --- names, and whose inbox --------------------------------------------------------------------------------


def test_mentions_reach_the_agent_that_is_meant_and_no_namesake(two: Two) -> None:
    """B4.6"""
    two.tuka.hcom.start("luna", created=5.0)
    two.meet()
    two.boxe.hcom.say("luna", "to rose there", "rose:TUKA", delivered_to=["rose:TUKA"])
    two.boxe.hcom.say("luna", "to her own luna", "luna")
    two.boxe.hcom.say("luna", "to a third", "rose:NOBO")
    two.boxe.hcom.say("luna", "to a person", "bigboss")
    two.meet()
    assert two.tuka.hcom.inbox("rose") == ["to rose there"]
    assert two.tuka.hcom.inbox("luna") == []
    assert two.tuka.hcom.inbox("bigboss") == ["to a person"]
    assert two.tuka.hcom.texts() == ["to rose there", "to her own luna", "to a third", "to a person"]


def test_older_hcom_is_given_no_name_that_it_would_take_for_its_own_agents(tmp_path: Path) -> None:
    """B4.6"""
    two = Two(tmp_path)
    two.tuka.hcom.db.execute("PRAGMA user_version=18")
    two.meet()
    two.boxe.hcom.say("luna", "to another rose", "rose:NOBO")
    two.meet()
    (row,) = [row for row in two.tuka.hcom.rows() if row["type"] == "message"]
    assert row["mentions"] == []
    assert row["_replica"]["mentions"] == ["rose:NOBO"]


@pytest.mark.parametrize(
    ("agent", "sender"), [("rose:TUKA", "rose:TUKA"), ("_device", "_device"), ("__rpc", None), ("a:b:c", "luna:NOBO")]
)
def test_names_of_a_hostile_member_stay_its_own(two: Two, agent: str, sender: str | None) -> None:
    """B4.6"""
    body = json.dumps(
        {"text": "x", "from": sender, "scope": "broadcast", "_relay": {"device": "y"}, "_replica": 3}
    ).encode()
    two.boxe.device.log.append([Draft("message", agent, None, body)], two.boxe.now.wall_ms)
    two.meet()
    (row,) = [row for row in two.tuka.hcom.rows() if row.get("text") == "x"]
    assert row["instance"].endswith(":BOXE")
    assert row["instance"].count(":") == 1
    assert row.get("from") is None or row["from"].endswith(":BOXE")
    assert row["_relay"]["short"] == "BOXE"
    assert isinstance(row["_replica"], dict)


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[]", b'{"mentions":5,"scope":"mentions","reply_to":[]}', b"[" * 9999, b'{"text":3}']
)
@pytest.mark.parametrize("kind", ["message", "status", "life", "agent", "control", "rpc_result"])
def test_bodies_of_a_hostile_member_stop_nothing(two: Two, kind: str, body: bytes) -> None:
    """B4.4: and what hcom would carry out is never handed over."""
    two.boxe.device.log.append([Draft(kind, "luna", 1 << 62, body)], two.boxe.now.wall_ms)
    two.boxe.hcom.say("luna", "behind")
    two.meet()
    assert two.tuka.hcom.texts()[-1] == "behind"
    assert {row["type"] for row in two.tuka.hcom.rows()} <= {"message", "status", "life"}


def test_redacted_events_are_not_handed_over(two: Two) -> None:
    """B4.4"""
    two.boxe.hcom.say("luna", "secret")
    two.boxe.run()
    name = two.boxe.source.event_of_row(1)
    assert name is not None
    two.boxe.device.redact(name)
    two.meet()
    assert two.tuka.hcom.texts() == []


def test_new_device_gets_all_of_the_history_and_no_flood(tmp_path: Path) -> None:
    """B4.7"""
    two = Two(tmp_path)
    for number in range(300):
        two.boxe.hcom.say("luna", str(number))
    two.boxe.run()
    two.tuka.network.heard = False
    two.tuka.run()
    two.tuka.network.heads = {two.boxe.device.own.id: two.boxe.device.own.seq}
    two.tuka.network.heard = True
    two.tuka.run()
    two.meet()
    assert two.tuka.hcom.texts() == [str(number) for number in range(300)]
    assert two.tuka.hcom.inbox("rose") == []
    assert {row["_replica"]["scope"] for row in two.tuka.hcom.rows() if row["type"] == "message"} == {"broadcast"}
    two.boxe.hcom.say("luna", "from now on")
    two.meet()
    assert two.tuka.hcom.inbox("rose") == ["from now on"]


def test_agent_made_while_its_device_catches_up_gets_none_of_what_was_written_before(two: Two) -> None:
    """B4.7: judged by position; the writer's clock says nothing."""
    for number in range(250):
        two.boxe.hcom.say("luna", str(number))
    two.boxe.run()
    two.tuka.network.heads = {two.boxe.device.own.id: two.boxe.device.own.seq}
    two.tuka.hcom.start("younger", created=9.0)
    two.tuka.run()
    send(two.boxe.device, two.tuka.device)
    two.tuka.run()
    two.boxe.hcom.row("message", "luna", {"text": "live", "scope": "broadcast"}, timestamp="2020-01-01T00:00:00+00:00")
    two.meet()
    assert two.tuka.hcom.inbox("rose") == [*map(str, range(250)), "live"]
    assert two.tuka.hcom.inbox("younger") == ["live"]


def test_agent_of_a_name_that_was_there_before_gets_no_mail_of_its_namesake(two: Two) -> None:
    """B4.7, B4.8"""
    two.boxe.hcom.say("luna", "to the first rose", "rose:TUKA")
    two.boxe.run()
    two.tuka.network.heads = {two.boxe.device.own.id: two.boxe.device.own.seq}
    two.tuka.hcom.stop("rose")
    two.tuka.run()
    two.tuka.hcom.start("rose", created=50.0)
    two.tuka.run()
    two.meet()
    assert two.tuka.hcom.inbox("rose") == []
    assert two.tuka.hcom.texts() == ["to the first rose"]
    assert "could not come to rose:TUKA" in two.boxe.hcom.inbox("luna")[0]


def test_mail_to_an_agent_of_an_away_device_arrives_when_it_is_back(two: Two) -> None:
    """B4.3, B4.7"""
    two.boxe.network.present = frozenset()
    two.boxe.run()
    assert "rose:TUKA" in two.boxe.hcom.agents_of("TUKA")
    two.boxe.hcom.say("luna", "for when you are back", "rose:TUKA")
    two.boxe.run()
    two.tuka.boot()
    two.meet()
    assert two.tuka.hcom.inbox("rose") == ["for when you are back"]


def test_mail_that_cannot_be_delivered_is_answered_once(two: Two) -> None:
    """B4.8"""
    two.tuka.hcom.stop("rose")
    two.tuka.run()
    two.boxe.hcom.say("luna", "are you there?", "rose:TUKA")
    two.boxe.hcom.say("ext_robot", "from no agent", "rose:TUKA", sender_kind="external")
    for _ in range(3):
        two.meet()
        two.tuka.boot()
        two.boxe.boot()
    answers = [row for row in two.boxe.hcom.rows() if row["instance"].startswith(OUR_AGENT)]
    assert [row["text"] for row in answers] == [
        "your message could not come to rose:TUKA: no agent of that name is there any more"
    ]
    assert answers[0]["mentions"] == ["luna"]
    assert answers[0]["reply_to_local"] == 1
    assert two.tuka.hcom.texts() == ["are you there?", "from no agent"]


# --- replies, and what is too large ------------------------------------------------------------------------


def test_replies_point_to_the_right_message_on_every_machine(two: Two, tmp_path: Path) -> None:
    """B4.6, B2.8"""
    nobo = Bridged(tmp_path / "nobo", Device("NOBO"))
    two.boxe.hcom.say("luna", "noise")
    question = two.boxe.hcom.say("luna", "question", "rose:TUKA")
    two.meet()
    (row,) = [row for row in two.tuka.hcom.rows() if row.get("text") == "question"]
    stated = f"{row['_relay']['id']}:BOXE"
    two.tuka.hcom.say("rose", "answer", "luna:BOXE", reply_to=stated, reply_to_local=row["id"])
    two.meet()
    (answer,) = [row for row in two.boxe.hcom.rows() if row.get("text") == "answer"]
    assert answer["reply_to"] == f"{question}:BOXE"
    assert answer["reply_to_local"] == question
    for run in answers(two.boxe.device, nobo.device, two.boxe.device.own.id, 1, 1 << 20):
        nobo.device.log.ingest([run], nobo.now.wall_ms)
    send(two.boxe.device, nobo.device)
    nobo.run()
    (seen,) = [row for row in nobo.hcom.rows() if row.get("text") == "answer"]
    (asked,) = [row for row in nobo.hcom.rows() if row.get("text") == "question"]
    assert seen["reply_to"] == f"{asked['_relay']['id']}:BOXE"
    assert "reply_to_local" not in seen


@pytest.mark.parametrize("packet_bytes", [128 << 10, 1 << 20])
@pytest.mark.parametrize(("char", "count"), [("x", 1_040_000), ("ü", 1_040_000), ("\u0001", 400_000)])
def test_text_that_is_too_large_for_hcom_is_cut_and_says_so(two: Two, packet_bytes: int, char: str, count: int) -> None:
    """B4.9"""
    two.tuka.wire.packet_bytes = packet_bytes
    two.boxe.hcom.say("luna", char * count)
    two.boxe.hcom.say("luna", "behind")
    two.meet()
    first, second = two.tuka.hcom.texts()
    assert second == "behind"
    assert first.startswith(char * 10_000)
    assert f"the whole text has {count} characters" in first
    assert len(json.dumps(first, ensure_ascii=False)) > packet_bytes * 0.3
    whole = [text for text in two.tuka.logged() if len(text) > 1000]
    assert whole == [char * count]


def test_other_data_that_is_too_large_is_replaced_and_says_so(two: Two) -> None:
    """B4.9"""
    two.tuka.wire.packet_bytes = 128 << 10
    two.boxe.hcom.row("status", "luna", {"status": "active", "detail": "y" * 500_000})
    two.boxe.hcom.row("message", "luna", {"scope": "broadcast", "text": "t", "delivered_to": ["z" * 300] * 900})
    two.boxe.hcom.say("luna", "behind")
    two.meet()
    status, message, behind = two.tuka.hcom.rows()
    assert status["status"] == "active"
    assert status["_replica"]["too_large_bytes"] > 500_000
    assert message["_replica"]["too_large_bytes"] > 200_000
    assert behind["text"] == "behind"


def test_many_large_texts_come_in_several_packets(two: Two) -> None:
    """B4.4"""
    two.tuka.wire.packet_bytes = 128 << 10
    for number in range(60):
        two.boxe.hcom.say("luna", f"{number} " + "x" * 20_000)
    two.meet()
    assert [text.partition(" ")[0] for text in two.tuka.hcom.texts()] == [str(number) for number in range(60)]


def test_many_agents_are_shown_as_far_as_they_fit(two: Two) -> None:
    """B4.3"""
    two.boxe.wire.packet_bytes = 128 << 10
    for number in range(300):
        two.tuka.hcom.start(f"agent{number}", created=float(number), directory="/d" * 200)
    two.meet()
    assert 10 < len(two.boxe.hcom.agents_of("TUKA")) <= 100


# --- what was not written by hcom --------------------------------------------------------------------------


def test_messages_written_without_hcom_reach_agents_of_this_device_and_of_others(two: Two) -> None:
    """B4.4, B4.6"""
    log, now_ms = two.tuka.device.log, two.tuka.now.wall_ms
    body = {"from": None, "scope": "mentions", "text": "from a script", "mentions": ["rose", "luna:BOXE"]}
    log.append([Draft("message", "script", None, json.dumps(body).encode())], now_ms)
    log.append([Draft("status", "script", None, b'{"status":"done"}')], now_ms)
    two.meet()
    assert two.tuka.hcom.inbox("rose") == ["from a script"]
    assert two.boxe.hcom.inbox("luna") == ["from a script"]
    assert [row["instance"] for row in two.tuka.hcom.rows("script%")] == ["script:TUKA-R"]
    assert [row["type"] for row in two.boxe.hcom.rows("script%")] == ["message", "status"]
    two.tuka.hcom.say("rose", "thanks", "script:TUKA-R")
    two.meet()
    assert two.boxe.hcom.texts()[-1] == "thanks"
