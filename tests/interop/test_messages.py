"""What hcom's users see of each other through the bridge: with the real program on every machine."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.harness.hcom import Machine
from tests.interop.conftest import Make

pytestmark = [pytest.mark.hcom, pytest.mark.slow, pytest.mark.timeout(180)]


def numbered(count: int, first: int = 0) -> list[str]:
    return [f"message {number}" for number in range(first, first + count)]


def test_messages_agents_replies_and_subscriptions_cross_as_on_one_machine(pair: tuple[Machine, Machine]) -> None:
    """B4.1, B4.3, B4.6"""
    boxe, tuka = pair
    tuka.hcom.ok("events", "sub", "--file", "*.py", "--name", "rose")
    asked = boxe.hcom.send("luna", "are you there?", "rose:TUKA", more=("--intent", "request", "--thread", "t1"))
    tuka.hcom.wait_for_imported(1)
    said = json.loads(tuka.hcom.ok("listen", "1", "--name", "rose", "--json").splitlines()[0])
    assert (said["text"], said["from"], said["thread"], said["intent"]) == (
        "are you there?", "luna:BOXE", "t1", "request",
    )  # fmt: skip
    tuka.hcom.send("rose", "yes", "luna:BOXE", more=("--reply-to", said["reply_id"], "--intent", "ack"))
    boxe.hcom.wait_for_imported(1)
    ((data,),) = boxe.hcom.query("SELECT data FROM events WHERE instance = 'rose:TUKA' AND type = 'message'")
    assert json.loads(data)["reply_to_local"] == asked
    assert boxe.hcom.listen("luna") == ["yes"]
    with boxe.hcom.database() as db:
        status = {"status": "active", "context": "tool:Edit", "detail": "main.py", "position": 0}
        row = ("2026-11-27T00:00:00+00:00", "status", "luna", json.dumps(status))
        db.execute("INSERT INTO events (timestamp, type, instance, data) VALUES (?, ?, ?, ?)", row)
    tuka.hcom.wait(
        lambda: bool(tuka.hcom.query("SELECT 1 FROM events WHERE instance = 'sys_[hcom-events]'")), "a notice"
    )
    assert any("main.py" in text or "Edit" in text for text in tuka.hcom.listen("rose"))


def test_all_that_is_written_while_one_is_away_comes_in_order_once(pair: tuple[Machine, Machine]) -> None:
    """B2.4, B4.4"""
    boxe, tuka = pair
    tuka.network.cut()
    boxe.hcom.fill("luna", numbered(3_000))
    boxe.hcom.send("luna", "the last", "rose:TUKA")
    tuka.hcom.send("rose", "from the one that is cut off")
    tuka.network.heal()
    tuka.hcom.wait_for_imported(3_001)
    assert tuka.hcom.imported() == [*numbered(3_000), "the last"]
    boxe.hcom.wait_for_imported(1)
    assert boxe.hcom.imported() == ["from the one that is cut off"]


def test_mail_for_an_agent_of_a_device_that_is_away_arrives_on_return(pair: tuple[Machine, Machine]) -> None:
    """B4.3, B4.7, B4.8"""
    boxe, tuka = pair
    tuka.stop()
    boxe.hcom.wait(lambda: "mail is kept" in boxe.hcom.agents()["rose:TUKA"][1], "rose is shown as away")
    boxe.hcom.send("luna", "for when you are back", "rose:TUKA")
    boxe.cli.ok("flush", "--timeout", "20")
    boxe.stop()
    tuka.start()
    tuka.hcom.wait_for_imported(1)
    assert tuka.hcom.listen("rose") == ["for when you are back"]
    tuka.hcom.ok("stop", "rose")
    boxe.start()
    boxe.hcom.wait(lambda: "rose:TUKA" not in boxe.hcom.agents(), "rose is gone")


def test_daemons_and_workers_that_are_killed_lose_and_double_nothing(pair: tuple[Machine, Machine]) -> None:
    """B2.4, B4.4"""
    boxe, tuka = pair
    for round_ in range(3):
        boxe.hcom.fill("luna", numbered(400, 400 * round_))
        tuka.hcom.wait_for_imported(400 * round_ + 1)
        (tuka if round_ % 2 == 0 else boxe).kill()
        worker = int((tuka.hcom.folder / ".tmp" / "relay.pid").read_text())
        os.kill(worker, signal.SIGKILL)
        (tuka if round_ % 2 == 0 else boxe).start()
    tuka.hcom.wait_for_imported(1_200, 90)
    assert tuka.hcom.imported() == numbered(1_200)


def test_device_that_joins_later_has_all_of_the_history_and_no_flood(machine: Make) -> None:
    """B4.7"""
    boxe, nobo = machine("BOXE"), machine("NOBO")
    boxe.hcom.start("luna")
    token = boxe.found()
    boxe.bridge()
    boxe.hcom.fill("luna", numbered(1_000))
    boxe.wait_for_events(1_000, more=True)
    nobo.hcom.start("nova")
    nobo.join(token)
    nobo.bridge()
    nobo.hcom.wait_for_imported(1_000)
    assert nobo.hcom.imported() == numbered(1_000)
    assert nobo.hcom.listen("nova") == []
    boxe.hcom.send("luna", "live")
    nobo.hcom.wait_for_imported(1_001)
    assert nobo.hcom.listen("nova") == ["live"]


def test_reset_and_restored_databases_delete_nothing_anywhere(pair: tuple[Machine, Machine]) -> None:
    """B2.6, B4.5"""
    boxe, tuka = pair
    boxe.hcom.fill("luna", numbered(100))
    tuka.hcom.wait_for_imported(100)
    with boxe.hcom.database() as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    copy = (boxe.hcom.folder / "hcom.db").read_bytes()
    boxe.hcom.fill("luna", numbered(20, 100))
    tuka.hcom.wait_for_imported(120)
    boxe.stop()  # else it starts hcom's worker, which would make a database of its own meanwhile
    boxe.hcom.stop()
    for path in boxe.hcom.folder.glob("hcom.db*"):
        path.unlink()
    (boxe.hcom.folder / "hcom.db").write_bytes(copy)
    boxe.start()
    boxe.hcom.fill("luna", numbered(30, 120))
    tuka.hcom.wait_for_imported(150)
    boxe.hcom.ok("reset")
    boxe.hcom.start("luna")
    boxe.hcom.send("luna", "after the reset")
    tuka.hcom.wait_for_imported(151)
    assert tuka.hcom.imported() == [*numbered(150), "after the reset"]


def test_remote_control_reaches_the_other_hcom_when_it_is_allowed_and_is_refused_when_not(
    pair: tuple[Machine, Machine],
) -> None:
    """B7.1, B7.3, B7.4"""
    boxe, tuka = pair
    tuka.hcom.send("rose", "only in the other database")
    fetched = boxe.hcom.ok("events", "--remote-fetch", "--device", "TUKA", "--last", "5")
    assert "only in the other database" in fetched
    refused = boxe.hcom.run("config", "-i", "rose:TUKA", "tag", "x")
    assert refused.returncode != 0
    assert "TUKA does not let BOXE do config_set" in refused.stdout + refused.stderr
    said = [event["kind"] for event in boxe.events() if event["kind"].startswith("rpc_")]
    assert set(said) >= {"rpc_request", "rpc_ask", "rpc_yes", "rpc_start", "rpc_answer"}


def test_list_shows_the_agents_of_all_hcoms_and_what_became_of_them(pair: tuple[Machine, Machine]) -> None:
    """B2.7, P15.1"""
    boxe, tuka = pair

    def listed(machine: Machine) -> dict[str, str]:
        return {row["name"]: row["status"] for row in machine.cli.json_lines("list")}

    assert listed(boxe) == listed(tuka) == {"luna:BOXE": "inactive", "rose:TUKA": "inactive"}
    tuka.hcom.ok("reset")
    boxe.hcom.wait(lambda: listed(boxe)["rose:TUKA"] == "stopped", lambda: f"rose has stopped; {listed(boxe)}")


def test_messages_from_a_script_reach_the_same_agents(pair: tuple[Machine, Machine]) -> None:
    """B4.4, B4.6"""
    boxe, tuka = pair
    boxe.cli.ok("send", "@rose:TUKA", "@luna", "--from", "script", "--", "from a script")
    tuka.hcom.wait_for_imported(1)
    assert tuka.hcom.listen("rose") == ["from a script"]
    boxe.hcom.wait_for_imported(1)
    assert boxe.hcom.listen("luna") == ["from a script"]


def test_message_too_large_for_hcom_is_whole_in_the_log_and_marked_in_hcom(pair: tuple[Machine, Machine]) -> None:
    """B4.9"""
    boxe, tuka = pair
    text = "x" * 1_040_000
    boxe.hcom.fill("luna", [text, "behind"])
    tuka.hcom.wait_for_imported(2)
    cut, behind = tuka.hcom.imported()
    assert behind == "behind"
    assert len(cut) > 800_000
    assert "the whole text has 1040000 characters" in cut
    whole = [event["data"]["text"] for event in tuka.events("--kind", "message")]
    assert whole[0] == text


@pytest.mark.parametrize("direction", ["to the old", "from the old"])
def test_machine_with_an_older_hcom_takes_part(machine: Make, direction: str) -> None:
    """B2.9, B4.6"""
    old, new = machine("OLDO", "0.7.24"), machine("NEWE")
    old.hcom.start("olda")
    new.hcom.start("nova")
    writer, reader = (new, old) if direction == "to the old" else (old, new)
    token = writer.found()
    writer.bridge()
    reader.join(token)
    reader.bridge()
    agent, target = ("nova", "olda:OLDO") if direction == "to the old" else ("olda", "nova:NEWE")
    writer.hcom.wait(lambda: writer.hcom.knows(target), "the other's agent")
    writer.hcom.fill(agent, numbered(500))
    writer.hcom.send(agent, "to everybody")
    reader.hcom.wait_for_imported(501)
    assert reader.hcom.imported() == [*numbered(500), "to everybody"]
    assert "message 0" in reader.hcom.ok("listen", "1", "--name", target.partition(":")[0])
