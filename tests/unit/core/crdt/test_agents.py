"""What is known of agents by events that say nothing (protocol-v1 P15.1)."""

from __future__ import annotations

import pytest

from hcom_replica.core.crdt.agents import AgentRow, agents, fold
from hcom_replica.core.origin import fresh_origin
from hcom_replica.limits import AGENT_BYTES_MAX
from hcom_replica.wire.batch import Descriptor
from hcom_replica.wire.event import Event, RedactedEvent
from tests.unit.core.builders import KEYS, MemoryRows

STATE = fresh_origin(KEYS.group, Descriptor(bytes(32), bytes(12), ()))


def status(body: bytes, agent: str = "luna") -> Event:
    return Event(1, "status", agent, None, body)


def known(*events: Event) -> dict[str, AgentRow]:
    rows = MemoryRows()
    for seq, event in enumerate(events, 1):
        fold(rows, STATE, seq, event)
    return {name: row for _, name, row in agents(rows)}


def word(row: AgentRow) -> str | None:
    return None if row.status is None else row.status.word


def test_status_that_is_redacted_counts_no_more_and_the_one_before_it_does() -> None:
    """Section 15: redacted events count in none"""
    gone = RedactedEvent(2, "status", "luna", None, b"", b"header", 9, bytes(32), bytes(64))
    assert word(known(status(b'{"status":"active"}'), gone)["luna"]) == "active"


def test_agent_of_whom_all_is_redacted_is_known_no_more() -> None:
    """Section 15: redacted events count in none"""
    assert known(RedactedEvent(2, "message", "luna", None, b"", b"header", 9, bytes(32), bytes(64))) == {}


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"status":"\xff"}', b'{"status":7}', b"[" * 10_000])
def test_status_that_says_nothing_sound_tells_that_its_agent_is_there_and_no_more(body: bytes) -> None:
    """P15.1"""
    assert known(status(body)) == {"luna": AgentRow()}
    assert word(known(status(b'{"status":"active"}'), status(body))["luna"]) == "active"


def test_agent_of_the_longest_name_there_may_be_is_kept() -> None:
    """P3.1, P15.1"""
    name = "n" * AGENT_BYTES_MAX
    assert word(known(status(b'{"status":"active"}', name))[name]) == "active"
