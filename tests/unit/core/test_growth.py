"""What follows when the log has grown: what is told, what is asked for, what becomes of the own origin."""

from __future__ import annotations

from hcom_replica.store.meta import write_number
from hcom_replica.store.schema import Meta
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import (
    Presence,
    decode_head,
)
from tests.unit.core.builders import TOPICS, WALL, Device, draft
from tests.unit.core.host import Host, cleared, live, made, twin_with_more


def test_batch_that_does_not_go_on_in_time_from_what_is_held_is_refused_and_counted(host: Host) -> None:
    """P3.2: each batch is sound by itself; that its writer has set the clock of its log back shows in the store."""
    nova = made("NOVA")
    nova.append(draft(bytes(50_000)))  # a commit alone, so that the next one is served by itself
    liar = nova.clone()
    host.hear(*live(nova))
    with liar.kv.write() as txn:
        write_number(txn, Meta.HIGH_WATER, 0)
    liar.append(draft(b"early"), now_ms=WALL - 60_000)
    batch = liar.batch_bytes(first=nova.own.seq + 1)
    host.hear(TOPICS.live, liar.sealed(Kind.LIVE, TOPICS.live, batch))
    assert host.dropped() == {"order": 1}
    held = host.device.log.origin_state(nova.own.id)
    assert held == nova.log.origin_state(nova.own.id)


def test_own_append_goes_out_live_when_somebody_listens_and_the_head_follows(boxe: Device, host: Host) -> None:
    """P7.4, P7.6"""
    nova = made("NOVA")
    host.told(nova, Kind.PRESENCE, Presence(nova.counter(), WALL, online=True))
    host.take()
    boxe.append(draft(b"new"))
    host.appended()
    assert len(host.take(Kind.LIVE)) == 1
    host.run(1_000)
    assert decode_head(host.take(Kind.HEAD)[-1][1]).seq == boxe.own.seq


def test_own_append_with_nobody_there_moves_the_head_only(boxe: Device, host: Host) -> None:
    host.take()
    boxe.append(draft(b"new"))
    host.appended().run(1_000)
    assert host.take(Kind.LIVE) == []


def test_incarnation_opened_by_another_process_is_noticed_with_the_promise_at_the_latest(
    boxe: Device, host: Host
) -> None:
    """The promise is of the log as it is: it may be the first to tell."""
    old = boxe.own.id
    boxe.log.open_incarnation("another process", WALL)
    host.run(300_000)
    assert host.opened == []
    assert boxe.own.id != old
    assert {TOPICS.head(boxe.own.id), TOPICS.presence(boxe.own.id)} <= host.retained.keys()
    assert TOPICS.presence(old) in cleared(host)


def test_own_commits_beyond_what_is_held_are_stored_behind_a_new_incarnation(boxe: Device, host: Host) -> None:
    """P7.2: from anyone, at any time"""
    twin = twin_with_more(boxe)
    old = boxe.own.id
    host.hear(TOPICS.live, twin.sealed(Kind.LIVE, TOPICS.live, twin.batch_bytes()))
    assert boxe.own.id != old
    held = boxe.log.origin_state(old)
    assert held is not None
    assert held.seq == twin.own.seq
