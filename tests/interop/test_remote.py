"""hcom's remote control between two real hcoms: each action, by hcom's own commands and by hand (section 7).

A script stands for an AI tool: it is launched, seen, typed into and killed across the bridge.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hcom_replica.folder.config import HCOM_ACTIONS
from hcom_replica.folder.config_edit import change_config
from hcom_replica.testing.real.processes import is_alive
from tests.harness.hcom import Machine, hcom_path
from tests.interop.conftest import Make

pytestmark = [pytest.mark.hcom, pytest.mark.slow, pytest.mark.timeout(180)]

TOOL = """#!/bin/sh
[ "$1" = --version ] && echo "2.0.0 (Claude Code)" && exit
echo "a stand-in is ready"
while read -r line; do echo "heard $line"; done
"""


@pytest.fixture
def open_pair(machine: Make, tmp_path: Path) -> tuple[Machine, Machine]:
    """Two machines, of which TUKA lets the other do everything, and has a stand-in for an AI tool on its path."""
    tool = tmp_path / "bin" / "claude"
    tool.parent.mkdir()
    tool.write_text(TOOL)
    tool.chmod(0o755)
    path = os.pathsep.join([str(tool.parent), str(Path(hcom_path() or "").parent), os.environ["PATH"]])
    boxe, tuka = machine("BOXE"), machine("TUKA", env={"PATH": path})
    boxe.hcom.start("luna")
    tuka.hcom.start("rose")
    token = boxe.found()
    boxe.bridge()
    tuka.join(token)
    change_config(tuka.folder / "config.toml", {"hcom.allow": HCOM_ACTIONS})
    tuka.bridge()
    boxe.hcom.wait(lambda: boxe.hcom.knows("rose:TUKA"), "rose is known at BOXE")
    return boxe, tuka


def done(machine: Machine, *words: str) -> Any:
    """What came of a wish by hand that must be done."""
    return machine.cli.json("bridge", "remote", "TUKA", *words)["result"]


def steps(machine: Machine, action: str) -> list[str]:
    """The steps of an action in the log, in its order."""
    events = [event for event in machine.events() if event["kind"].startswith("rpc_")]
    return [event["kind"] for event in events if event["data"]["action"] == action]


WAITED = ["rpc_request", "rpc_ask", "rpc_yes", "rpc_start", "rpc_answer"]


def test_each_action_reaches_the_other_hcom_and_is_in_the_log(open_pair: tuple[Machine, Machine]) -> None:
    """B7.1, B7.2, B7.4, B7.6, B7.7"""
    boxe, tuka = open_pair
    set_durably(boxe, tuka)
    boxe.hcom.wait(lambda: boxe.hcom.agents()["rose:TUKA"][1] == "", "TUKA is back")
    assert "late" in boxe.hcom.ok("config", "-i", "rose:TUKA", "tag", "late")
    assert "late" in boxe.hcom.ok("config", "-i", "rose:TUKA", "tag")
    assert steps(boxe, "config_set")[-5:] == WAITED
    assert done(boxe, "config_get", 'fields=["tag"]')["tag"]["value"] == "durable"
    for words in (["term", "rose:TUKA"], ["transcript", "rose:TUKA"], ["kill", "rose:TUKA"], ["r", "rose:TUKA"]):
        refused = boxe.hcom.run(*words)
        assert refused.returncode == 1  # rose runs in no terminal of hcom's: it is hcom that says so
        assert "timed out" not in refused.stdout + refused.stderr
    assert "sub-" in boxe.hcom.ok("events", "sub", "--file", "*.py", "--for", "rose", "--device", "TUKA")
    assert "sub-" in boxe.hcom.ok("events", "sub", "list", "--device", "TUKA")

    boxe.hcom.ok("1", "claude", "--headless", "--device", "TUKA", "--dir", str(tuka.hcom.home))
    ((name, pid),) = tuka.hcom.query("SELECT name, pid FROM instances WHERE tool = 'claude'")
    boxe.hcom.wait(lambda: boxe.hcom.knows(f"{name}:TUKA"), "the tool's agent is known at BOXE")
    boxe.hcom.wait(lambda: "stand-in is ready" in boxe.hcom.run("term", f"{name}:TUKA").stdout, "its screen")
    boxe.hcom.ok("term", "inject", f"{name}:TUKA", "across", "--enter")
    boxe.hcom.wait(lambda: "heard across" in done(boxe, "term_screen", f"target={name}")["content"], "what was typed")
    boxe.hcom.ok("kill", f"{name}:TUKA")
    boxe.hcom.wait(lambda: not is_alive(pid), "the tool is killed")
    assert steps(boxe, "launch") == steps(boxe, "kill")[-5:] == WAITED

    assert "1/1" in boxe.hcom.ok("relay", "off", "--all")
    boxe.hcom.wait(lambda: steps(tuka, "relay_off") == WAITED, lambda: f"the steps; {steps(tuka, 'relay_off')}")
    assert "enabled = false" in (tuka.hcom.folder / "config.toml").read_text()


def set_durably(boxe: Machine, tuka: Machine) -> None:
    """TUKA is away: what is wanted durably is done when it is back, what nobody waits for expires."""
    tuka.stop()
    waited = boxe.cli.run("bridge", "remote", "TUKA", "config_set", "field=tag", "value=waited", "--timeout", "0.5")
    assert waited.returncode == 1
    assert "TUKA did not answer" in waited.stderr
    asked = boxe.cli.json("bridge", "remote", "TUKA", "config_set", "field=tag", "value=durable", "--durable")
    assert asked["answered"] is False
    boxe.cli.ok("flush", "--timeout", "20")
    tuka.start()
    boxe.hcom.wait(lambda: steps(boxe, "config_set").count("rpc_answer") == 2, lambda: f"{steps(boxe, 'config_set')}")
    assert 'tag = "durable"' in (tuka.hcom.folder / "config.toml").read_text()
    answers = {event["data"]["request"]: event["data"] for event in boxe.events("--kind", "rpc_answer")}
    assert answers.pop(asked["request"])["ok"] is True
    ((expired),) = answers.values()
    assert "expired" in json.dumps(expired)
    assert steps(boxe, "config_set").count("rpc_start") == 1
