"""What scripts read of the state they share (protocol-v1 P15.2 to P15.5)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hcom_replica.core.crdt.shared import (
    AMOUNT_MAX,
    ITEM_BYTES_MAX,
    KIND,
    NAME_BYTES_MAX,
    Member,
    count,
    fold,
    member,
    members,
    names,
)
from hcom_replica.wire.event import Event
from tests.unit.core.builders import MemoryRows


def told(*changes: Mapping[str, object]) -> MemoryRows:
    rows = MemoryRows()
    for number, change in enumerate(changes):
        body = {"key": "k", "tag": f"t{number}", **change}
        fold(rows, Event(1, KIND, None, None, msgspec.json.encode(body)))
    return rows


def test_member_names_the_additions_that_a_removal_has_to_take_back() -> None:
    """P15.4"""
    added = {"op": "add", "item": "x"}
    rows = told(added, added, {"op": "remove", "item": "x", "seen": ["t0"]})
    assert member(rows, "k", "x") == Member(("t0", "t1"), ("t0",))
    assert member(rows, "k", "x").live == ["t1"]
    assert member(rows, "k", "y") == Member((), ())


def test_names_in_use_are_those_of_values_of_counters_and_of_sets_that_are_not_empty() -> None:
    """P15.3, P15.4, P15.5"""
    rows = told(
        {"op": "add", "key": "team", "item": "x"},
        {"op": "add", "key": "team", "item": "y"},
        {"op": "add", "key": "left", "item": "x"},
        {"op": "remove", "key": "left", "item": "x", "seen": ["t2"]},
        {"op": "set", "key": "title", "value": "a"},
        {"op": "incr", "key": "runs", "by": 1},
    )
    assert names(rows) == {"values": ["title"], "sets": ["team"], "counters": ["runs"]}


def test_names_members_and_tags_of_the_greatest_length_are_kept() -> None:
    """P15.2"""
    key, item, tag = "k" * NAME_BYTES_MAX, "i" * ITEM_BYTES_MAX, "\U0001f600" * 32
    rows = told({"op": "add", "key": key, "item": item}, {"op": "incr", "key": key, "tag": tag, "by": AMOUNT_MAX})
    assert members(rows, key) == [item]
    assert count(rows, key) == AMOUNT_MAX
