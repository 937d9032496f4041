"""Machines that run only hcom, in a group of its own relay, beside a group of ours: with the real program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hcom_replica.testing.real.brokers import MosquittoBroker, mosquitto_path
from tests.harness.hcom import Machine, RealHcom, hcom_path
from tests.interop.conftest import Make

pytestmark = [pytest.mark.hcom, pytest.mark.mosquitto, pytest.mark.slow, pytest.mark.timeout(180)]


class Only:
    """A machine that runs only hcom, with one agent."""

    def __init__(self, home: Path, agent: str) -> None:
        program = hcom_path()
        assert program is not None
        self.hcom = RealHcom(home, program)
        self.agent = agent
        self.hcom.start(agent)

    @property
    def name(self) -> str:
        return f"{self.agent}:{self.hcom.short}"

    def joined(self, *arguments: str) -> None:
        self.hcom.ok("relay", *arguments)
        self.hcom.wait(lambda: bool(self.hcom.query("SELECT 1 FROM kv WHERE key LIKE 'relay_uuid_short_%'")), "letters")

    def token(self) -> str:
        return self.hcom.ok("relay", "token").split()[-1]


@pytest.fixture
def legacy(tmp_path: Path) -> Iterator[tuple[MosquittoBroker, Only, Only]]:
    """A broker with two machines that run only hcom, in one group."""
    if hcom_path() is None or mosquitto_path() is None:
        pytest.skip("hcom or mosquitto is not installed")
    with MosquittoBroker(tmp_path / "theirs") as broker:
        memo, sora = Only(tmp_path / "memo", "memo"), Only(tmp_path / "sora", "sora")
        try:
            memo.joined("new", "--broker", broker.url)
            sora.joined("connect", memo.token())
            yield broker, memo, sora
        finally:
            memo.hcom.stop()
            sora.hcom.stop()


def numbered(count: int, first: int = 0) -> list[str]:
    return [f"message {number}" for number in range(first, first + count)]


def test_messages_and_history_cross_both_ways_once_over_a_restart_until_it_is_left(
    machine: Make, legacy: tuple[MosquittoBroker, Only, Only]
) -> None:
    """B8.1, B8.4 to B8.9"""
    broker, memo, sora = legacy
    boxe = machine("BOXE")
    boxe.hcom.start("luna")
    boxe.found()
    boxe.bridge()
    memo.hcom.fill("memo", numbered(230))
    boxe.hcom.fill("luna", numbered(120))
    boxe.wait_for_events(120, more=True)
    sora.hcom.wait_for_imported(230)  # memo has published what is there before the two groups meet
    said = json.loads(boxe.cli.ok("bridge", "hcom", "--join", "-", "--json", stdin=memo.token()))
    assert said["legacy"]["connected"] is True
    memo.hcom.wait(lambda: memo.hcom.knows("luna:BOXE"), lambda: f"luna at memo's\n{boxe.trouble()}")
    memo.hcom.wait_for_imported(120)
    boxe.hcom.wait_for_imported(230)
    assert memo.hcom.imported("BOXE") == numbered(120)
    assert sora.hcom.imported("BOXE") == numbered(120)
    assert boxe.hcom.imported(memo.hcom.short) == numbered(230)
    assert memo.hcom.listen("memo") == []  # history comes into no inbox

    ask_and_answer(boxe, memo, sora)
    sora.hcom.stop()  # what she misses, she asks for
    boxe.hcom.fill("luna", numbered(110, 120))
    memo.hcom.wait_for_imported(231)
    boxe.stop()  # the one that carries is away
    broker.restart()
    memo.hcom.fill("memo", numbered(150, 230))
    boxe.hcom.fill("luna", numbered(40, 230))
    boxe.start()
    sora.hcom.ok("relay", "daemon", "start")
    memo.hcom.wait_for_imported(271)
    boxe.hcom.wait_for_imported(381)
    sora.hcom.wait(lambda: len(sora.hcom.imported("BOXE")) == 271, lambda: f"{len(sora.hcom.imported('BOXE'))} of 271")
    for hcom, short, count in ((memo.hcom, "BOXE", 270), (sora.hcom, "BOXE", 270), (boxe.hcom, memo.hcom.short, 380)):
        texts = [text for text in hcom.imported(short) if text.startswith("message")]
        assert sorted(texts, key=numbered(count).index) == numbered(count)
    events = [event for event in boxe.events("--kind", "message") if event["agent"] == memo.name]
    assert len(events) == 381
    assert len({event["data"]["_hcom"]["id"] for event in events}) == 381

    assert boxe.cli.json("bridge", "hcom", "--leave")["legacy"] is None
    memo.hcom.wait(lambda: "luna:BOXE" not in memo.hcom.agents(), "luna is gone at memo's")
    assert not (boxe.folder / "legacy.json").exists()
    assert len([event for event in boxe.events("--kind", "message") if event["agent"] == memo.name]) == 381


def ask_and_answer(boxe: Machine, memo: Only, sora: Only) -> None:
    """A message names an agent across the border, and so does its answer."""
    asked = memo.hcom.send("memo", "are you there?", "luna:BOXE", more=("--intent", "request"))
    boxe.hcom.wait_for_imported(231)
    heard = json.loads(boxe.hcom.ok("listen", "1", "--name", "luna", "--json").splitlines()[0])
    assert (heard["text"], heard["from"]) == ("are you there?", memo.name)
    boxe.hcom.send("luna", "yes", memo.name, more=("--reply-to", heard["reply_id"]))
    memo.hcom.wait_for_imported(121)
    assert memo.hcom.listen("memo") == ["yes"]
    answer = "SELECT data FROM events WHERE instance = 'luna:BOXE' AND type = 'message' ORDER BY id DESC LIMIT 1"
    assert json.loads(memo.hcom.query(answer)[0][0])["reply_to"] == f"{asked}:{memo.hcom.short}"
    sora.hcom.wait_for_imported(352)
    assert json.loads(sora.hcom.query(answer)[0][0])["mentions"] == [memo.name]
