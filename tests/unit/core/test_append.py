"""Appending: hlc, chain, commits, incarnations (P3.3, P3.5, P3.6, P4.1 to P4.3)."""

from __future__ import annotations

import pytest

from hcom_replica.core.append import CLOCK, FIRST, Appended, Writer, WriterState, append, open_incarnation
from hcom_replica.core.chain import link, links, walk
from hcom_replica.core.hello import Hello, check_hello
from hcom_replica.core.hlc import millis, pack
from hcom_replica.errors import ProtocolError
from hcom_replica.limits import COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX, DRIFT_MS_MAX
from hcom_replica.wire.event import Draft, decode_event
from hcom_replica.wire.signing import COMMIT, DeviceKey, commit_digest, verify
from tests.unit.core.builders import KEYS, WALL, draft

WRITER = Writer(DeviceKey(bytes(32)), KEYS.group, "BOXE")
NONCE = b"8 random"


def first(*drafts: Draft) -> Appended:
    return append(WRITER, WriterState(None, 0), drafts, WALL, NONCE)


def more(before: Appended, *drafts: Draft, now_ms: int = WALL) -> Appended:
    return append(WRITER, WriterState(before.origin, before.high_water), drafts, now_ms, b"otherone")


def hello_of(appended: Appended) -> Hello:
    event = decode_event(appended.records[0])
    return check_hello(event.kind, event.body, appended.origin.key, appended.origin.incarnation)


def test_first_append_opens_an_origin_with_its_hello_in_front() -> None:
    """P3.6, P2.2"""
    appended = first(draft(b"1"), draft(b"2"))
    assert (appended.first, appended.drafts_at, appended.origin.seq, appended.system) == (1, 1, 3, [1])
    assert appended.origin.incarnation == (1).to_bytes(4, "big") + NONCE
    hello = hello_of(appended)
    assert (hello.name, hello.link, hello.reason) == ("BOXE", None, FIRST)
    assert appended.origin.name == "BOXE"


def test_hello_of_another_origin_is_refused() -> None:
    """P3.6"""
    appended = first()
    event = decode_event(appended.records[0])
    for key, incarnation in ((bytes(32), appended.origin.incarnation), (appended.origin.key, bytes(12))):
        with pytest.raises(ProtocolError) as error:
            check_hello(event.kind, event.body, key, incarnation)
        assert error.value.reason == "hello"


def test_append_goes_on_where_the_origin_is() -> None:
    before = first(draft())
    after = more(before, draft(b"1"), draft(b"2"))
    assert (after.first, after.drafts_at, after.origin.seq) == (3, 0, 4)
    assert after.origin.tip == walk(before.origin.tip, after.records)
    assert after.hlcs[0] > before.hlcs[-1]
    assert after.origin.cum == before.origin.cum + sum(map(len, after.records))


def test_high_water_is_above_everything_appended_though_the_clock_stands_still() -> None:
    """P3.3"""
    appended = first(*[draft()] * 70_000)
    assert appended.hlcs == sorted(set(appended.hlcs))
    assert appended.high_water == appended.hlcs[-1]
    assert millis(appended.hlcs[-1]) == WALL + 1, "the counter carries into the milliseconds"


def sizes(appended: Appended) -> list[tuple[int, int]]:
    """(events, bytes) under each commit."""
    result, seq, cum = [], appended.first - 1, appended.origin.cum - sum(map(len, appended.records))
    for row in appended.commits:
        result.append((row.seq - seq, row.cum - cum))
        seq, cum = row.seq, row.cum
    return result


@pytest.mark.parametrize("size", [0, 100, 200, 5_000, 24_000, 47_000, COMMIT_BYTES_MAX, 300_000])
@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 600])
def test_commits_stay_within_both_bounds_or_are_one_event(size: int, count: int) -> None:
    """P4.3"""
    if size * count > 30_000_000:
        count = 30_000_000 // size
    appended = first(*[draft(bytes(size))] * count)
    for events, covered in sizes(appended):
        assert events == 1 or (events <= COMMIT_EVENTS_MAX and covered <= COMMIT_BYTES_MAX)
    assert appended.commits[-1].seq == appended.origin.seq
    assert sum(events for events, _ in sizes(appended)) == count + 1


def test_commits_are_no_more_than_the_bounds_ask_for() -> None:
    """P4.3: each costs a signature"""
    assert [events for events, _ in sizes(first(*[draft(b"")] * 600))] == [256, 256, 89]


def test_event_over_the_bound_is_a_commit_alone_between_others() -> None:
    """P4.3"""
    appended = first(draft(), draft(bytes(60_000)), draft())
    assert [events for events, _ in sizes(appended)] == [2, 1, 1]


def test_commit_verifies_against_seq_hlc_sum_and_chain() -> None:
    """P4.2"""
    appended = more(first(draft()), *[draft()] * 300)
    for row in appended.commits:
        digest = commit_digest(appended.origin.hash, row.seq, row.hlc, row.cum, row.tip)
        verify(appended.origin.key, COMMIT, digest, row.signature)
        place = row.seq - appended.first
        assert row.hlc == appended.hlcs[place]


def test_clock_that_was_corrected_opens_an_incarnation_at_the_wall_clock() -> None:
    """P3.5"""
    before = first(draft())
    near = more(before, draft(), now_ms=WALL - DRIFT_MS_MAX)
    assert near.origin.id == before.origin.id
    after = more(before, draft(), now_ms=WALL - DRIFT_MS_MAX - 1)
    assert after.origin.generation == 2
    assert millis(after.hlcs[0]) == WALL - DRIFT_MS_MAX - 1
    hello = hello_of(after)
    assert hello.reason == CLOCK
    assert hello.link is not None
    assert (hello.link.origin, hello.link.seq, hello.link.c) == (
        before.origin.id.hex(), before.origin.seq, before.origin.tip.hex(),
    )  # fmt: skip


def test_incarnation_opened_with_a_sound_clock_goes_on_above_the_high_water() -> None:
    """P3.2: what the device has seen stays before what it writes."""
    before = first(draft())
    after = open_incarnation(WRITER, WriterState(before.origin, pack(WALL + 5)), [], WALL, NONCE, "test")
    assert after.hlcs == [pack(WALL + 5) + 1]
    assert after.first == 1
    assert after.origin.id != before.origin.id


def test_chain_hashes_the_body_apart_from_the_header() -> None:
    """P4.1: a body can be redacted without breaking the chain."""
    record = first(draft(b"secret")).records[1]
    assert link(bytes(32), record, b"secret") == links(bytes(32), [record], [b"secret"])[0]
    assert link(bytes(32), record, b"secret") != link(bytes(32), record, b"")
    assert walk(bytes(32), []) == bytes(32)
    assert walk(bytes(32), [record, record]) == link(link(bytes(32), record, b"secret"), record, b"secret")
