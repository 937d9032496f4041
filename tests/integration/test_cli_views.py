"""`list`, `state`, `subscriptions` and `events --as-of` in real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hcom_replica import Replica
from hcom_replica.testing.real.processes import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "replica")


def test_list_shows_each_agent_with_its_newest_status(cli: Cli) -> None:
    """P15.1"""
    for status, context in (("active", "tool:Bash"), ("blocked", "approval")):
        cli.ok("emit", "status", "--agent", "luna", "--data", json.dumps({"status": status, "context": context}))
    cli.ok("emit", "note", "--agent", "nova")
    luna, nova = cli.json_lines("list")
    assert (luna["agent"], luna["status"], luna["context"], luna["here"]) == ("luna", "blocked", "approval", True)
    assert (nova["status"], nova["since"]) == (None, None)
    cli.ok("emit", "life", "--agent", "luna", "--data", '{"action":"stopped"}')
    assert cli.json_lines("list")[0]["status"] == "stopped"
    assert "luna" in cli.ok("list")


def test_state_is_set_added_to_removed_from_and_counted(cli: Cli) -> None:
    """P15.2, P15.3, P15.4, P15.5"""
    cli.ok("state", "set", "port", "8080")
    cli.ok("state", "set", "name", "no JSON")
    cli.ok("state", "add", "team", "luna")
    cli.ok("state", "incr", "runs")
    cli.ok("state", "incr", "runs", "--by", "-3")
    assert cli.json("state", "get", "port")["value"] == 8080
    assert cli.ok("state", "get", "name") == '"no JSON"\n'
    assert cli.ok("state", "get", "team") == "luna\n"
    assert cli.ok("state", "get", "runs") == "-2\n"
    assert cli.json("state") == {"values": ["name", "port"], "sets": ["team"], "counters": ["runs"]}
    cli.ok("state", "remove", "team", "luna")
    assert cli.run("state", "remove", "team", "luna").returncode == 1
    assert cli.run("state", "get", "team").returncode == 1
    assert cli.run("state", "set", "x" * 200, "1").returncode == 2
    assert cli.run("state", "incr", "runs", "--by", "1.5").returncode == 2


def test_redacted_value_is_in_no_view_any_more(cli: Cli) -> None:
    """P3.10"""
    said = cli.json("state", "set", "token", "hunter2")["id"]
    assert "hunter2" in cli.ok("state", "get", "token")
    cli.ok("redact", said, "--yes")
    assert cli.run("state", "get", "token").returncode == 1


def test_subscriptions_are_listed_and_an_expression_that_cannot_be_read_is_refused(cli: Cli) -> None:
    """P15.5"""
    cli.ok("subscriptions", "add", 'kind == "status"')
    assert cli.json("subscriptions") == {"subscriptions": ['kind == "status"']}
    assert cli.run("subscriptions", "add", "kind ==").returncode == 2
    cli.ok("subscriptions", "remove", 'kind == "status"')
    assert cli.ok("subscriptions") == ""


def test_as_of_shows_what_had_arrived_by_a_moment_or_before_an_event(cli: Cli) -> None:
    with Replica.open(cli.folder) as replica:
        first, second = replica.append("note", 1, "luna"), replica.append("note", 2, "luna")
        third = replica.append("note", 3, "luna")
        assert [event.data for event in replica.events(as_of=str(second))] == [1]
        assert [event.data for event in replica.events(as_of=str(third), limit=1)] == [2]
        assert list(replica.events(as_of="1h")) == []
    assert [row["id"] for row in cli.json_lines("events", "--as-of", "2999-01-01")] == list(
        map(str, (first, second, third))
    )
    assert cli.json_lines("events", "--as-of", "2001-01-01") == []
    assert cli.run("events", "--as-of", "soon").returncode == 2
    assert cli.run("events", "--as-of", "0123456789abcdef:1").returncode == 2
    assert cli.run("events", "--as-of", "1h", "--order", "arrival").returncode == 2
    assert cli.run("events", "--as-of", "1h", "--follow").returncode == 2
