"""The hash chain (P4.1): every byte of every event, and their order, are in the tip."""

from __future__ import annotations

import pytest

from hcom_replica.core.chain import link, links, walk
from hcom_replica.wire.event import encode_event
from hcom_replica.wire.signing import hash32
from tests.unit.core.builders import draft

START = bytes(32)
BODIES = [b'"a"', b"", b'"c"']
RECORDS = [encode_event(number + 1, draft(body)) for number, body in enumerate(BODIES)]


def test_link_is_the_hash_of_what_was_before_the_header_and_the_hash_of_the_body() -> None:
    """P4.1"""
    header = RECORDS[0][: len(RECORDS[0]) - len(BODIES[0])]
    assert link(START, RECORDS[0], BODIES[0]) == hash32(START + header + hash32(BODIES[0]))


def test_link_of_a_redacted_body_is_found_from_its_hash() -> None:
    """P4.1: a body may be replaced by its hash, and the chain still be checked"""
    known = hash32(BODIES[2])
    header = RECORDS[2][: len(RECORDS[2]) - len(BODIES[2])]
    assert hash32(START + header + known) == link(START, RECORDS[2], BODIES[2])


def test_links_in_one_go_are_those_one_by_one() -> None:
    one_by_one, tip = [], START
    for record, body in zip(RECORDS, BODIES, strict=True):
        tip = link(tip, record, body)
        one_by_one.append(tip)
    assert links(START, RECORDS, BODIES) == one_by_one
    assert walk(START, RECORDS) == tip
    assert walk(walk(START, RECORDS[:1]), RECORDS[1:]) == tip


def test_walk_over_nothing_stays_where_it_is() -> None:
    assert walk(START, []) == START
    assert links(START, [], []) == []


@pytest.mark.parametrize(
    "records",
    [RECORDS[:2], RECORDS[::-1], [RECORDS[1], *RECORDS[1:]], [*RECORDS, RECORDS[2]]],
    ids=["one less", "other order", "one replaced", "one repeated"],
)
def test_tip_of_another_history_is_another(records: list[bytes]) -> None:
    """P4.1"""
    assert walk(START, records) != walk(START, RECORDS)


def test_tip_from_another_start_is_another() -> None:
    assert walk(b"\x01" + bytes(31), RECORDS) != walk(START, RECORDS)


def test_links_of_unequal_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        links(START, RECORDS, BODIES[:2])
