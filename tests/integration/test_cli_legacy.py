"""`bridge hcom --join` and `--leave` on machines of ours, with no hcom at all: errors, status, who carries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from hcom_replica.bridge.token import HcomToken, encode_token
from hcom_replica.testing.real.brokers import PrivateBroker, free_port
from hcom_replica.testing.real.waiting import wait_until
from tests.harness.group import WAIT_S, Group, Laptop

pytestmark = [pytest.mark.slow]

RELAY = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"


def token_of(port: int) -> str:
    return encode_token(HcomToken(str(UUID(RELAY)), bytes(range(32)), f"mqtt://127.0.0.1:{port}"))


@pytest.fixture
def group(tmp_path: Path, own_broker: PrivateBroker) -> Iterator[Group]:
    """Devices on a broker of the test's own, which the group of hcom's is on, too."""
    with Group(tmp_path, own_broker) as made:
        yield made


@pytest.fixture
def boxe(group: Group) -> Laptop:
    return group.add("BOXE")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("AaGyw9Tl9niQq83vEjRWeJAA", "old hcom token"),
        ("what is this", "not an hcom token"),
        ("", "not an hcom token"),
    ],
)
def test_what_is_no_token_is_refused_and_changes_nothing(boxe: Laptop, text: str, words: str) -> None:
    """B1.1"""
    done = boxe.cli.run("bridge", "hcom", "--join", "-", stdin=text)
    assert done.returncode == 2
    assert done.stderr.startswith("error[token]: ")
    assert words in done.stderr
    assert "hint: " in done.stderr
    assert not (boxe.folder / "legacy.json").exists()


def test_broker_that_does_not_answer_is_said_and_can_be_left_all_the_same(boxe: Laptop, tmp_path: Path) -> None:
    """B8.9"""
    secret = tmp_path / "secret"
    secret.write_text("password of the broker\n")
    done = boxe.cli.run(
        "bridge", "hcom", "--join", "-", "--password-file", str(secret), "--json", stdin=token_of(free_port())
    )
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert said["legacy"]["connected"] is False
    assert "is not connected" in said["problems"][0]
    assert (boxe.folder / "legacy.json").stat().st_mode & 0o777 == 0o600
    other = boxe.cli.run("bridge", "hcom", "--join", "-", stdin=encode_token(HcomToken(RELAY, bytes(32), "mqtt://h:1")))
    assert (other.returncode, "already" in other.stderr) == (5, True)
    assert boxe.cli.ok("emit", "k")
    done = boxe.cli.run("bridge", "hcom", "--leave", "--force", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["legacy"] is None
    assert not (boxe.folder / "legacy.json").exists()
    done = boxe.cli.run("bridge", "hcom", "--leave")
    assert (done.returncode, "joined no group" in done.stderr) == (5, True)


def test_of_two_that_join_one_carries_until_it_leaves(group: Group, boxe: Laptop, own_broker: PrivateBroker) -> None:
    """B8.2, B8.3, B8.9"""
    tuka = group.add("TUKA")
    token = token_of(own_broker.port)

    def legacy(laptop: Laptop) -> dict[str, object]:
        said: dict[str, object] = json.loads(laptop.cli.run("bridge", "hcom", "--json").stdout)["legacy"]
        return said

    boxe.cli.ok("bridge", "hcom", "--join", "-", stdin=token)
    wait_until(lambda: legacy(boxe)["carries"] is True, WAIT_S, lambda: f"BOXE carries; {boxe.trouble()}")
    assert "carries" in boxe.cli.ok("bridge", "hcom")
    tuka.cli.ok("bridge", "hcom", "--join", token)
    wait_until(lambda: legacy(tuka)["carrier"] == "BOXE", WAIT_S, lambda: f"TUKA knows; {tuka.trouble()}")
    assert "stands by for BOXE" in tuka.cli.ok("bridge", "hcom")
    boxe.stop()
    boxe.start()
    wait_until(lambda: legacy(boxe)["carries"] is True, WAIT_S, "BOXE carries again")
    assert legacy(tuka)["carries"] is False
    boxe.cli.ok("bridge", "hcom", "--leave")
    wait_until(lambda: legacy(tuka)["carries"] is True, WAIT_S, lambda: f"TUKA carries; {tuka.trouble()}")
    claims = [(event["device"], event["data"]["state"]) for event in tuka.events("--kind", "hcom_gateway")]
    assert claims == [("BOXE", "join"), ("BOXE", "leave"), ("TUKA", "join")]
