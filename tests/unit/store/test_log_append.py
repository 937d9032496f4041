from __future__ import annotations

import pytest

from hcom_replica.core.hello import HELLO
from hcom_replica.core.hlc import millis
from hcom_replica.errors import LimitError, StoreError, StoreFormat, StoreFull, UsageError
from hcom_replica.ids import EventId, OriginId, order_key
from hcom_replica.limits import COMMIT_BYTES_MAX
from hcom_replica.store.cursors import ImportMark
from hcom_replica.store.kv import Table
from hcom_replica.store.log import Log
from hcom_replica.store.memory_kv import MemoryKv, Moment
from hcom_replica.store.schema import Meta
from hcom_replica.wire.event import Draft, decode_event
from tests.unit.store.devices import GROUP, NOW, Device, check_log, draft


def test_append_first_opens_an_origin_with_a_hello() -> None:
    device = Device("BOXE")
    assert device.log.own_origin() is None
    ids = device.emit("a", "b")
    assert ids == [EventId(device.own.id, 2), EventId(device.own.id, 3)]
    hello = device.log.event(EventId(device.own.id, 1))
    assert hello is not None
    assert decode_event(hello.record).kind == HELLO
    assert device.log.event_count() == 2
    check_log(device)


def test_append_again_continues_the_origin() -> None:
    device = Device("BOXE")
    first = device.emit("a")
    second = device.emit("b", "c")
    assert [name.seq for name in first + second] == [2, 3, 4]
    assert {name.origin for name in first + second} == {device.own.id}
    assert device.bodies() == ["a", "b", "c"]


def test_append_nothing_changes_nothing() -> None:
    device = Device("BOXE")
    before = device.log.last_txn()
    assert device.emit() == []
    assert device.log.last_txn() == before


def test_append_many_makes_commits_within_bounds() -> None:
    """T2.4"""
    device = Device("BOXE")
    device.emit(*(str(n) for n in range(1000)))
    device.emit("x" * (COMMIT_BYTES_MAX + 1), "y", "z" * 30_000, "z" * 30_000)
    check_log(device)
    commit = device.log.commit_at_or_below(device.own.id, 999)
    assert commit is not None
    assert 999 - commit.seq < 256


def test_append_one_by_one_thins_commits_to_the_bounds() -> None:
    """T2.4"""
    device = Device("BOXE")
    for n in range(600):
        device.emit(str(n))
    with device.kv.read() as txn:
        assert txn.count(Table.COMMITS) == 3  # at 256, 512 and the newest
    check_log(device)


def test_append_over_a_limit_changes_nothing() -> None:
    device = Device("BOXE")
    device.emit("a")
    with pytest.raises(LimitError):
        device.log.append([draft("b"), Draft("k" * 65)], NOW)
    with pytest.raises(LimitError):
        device.log.append([Draft("note", "\ud800")], NOW)
    assert device.bodies() == ["a"]


def test_append_without_writer_refuses() -> None:
    with pytest.raises(StoreError):
        Log(MemoryKv(), GROUP).append([draft("a")], NOW)


def test_append_on_a_full_disk_loses_nothing_and_works_again() -> None:
    """S1, S5, T5.1: all or nothing, and no gap in the seqs"""
    device = Device("BOXE")
    device.emit("a")
    assert isinstance(device.kv, MemoryKv)

    def full(moment: Moment) -> None:
        if moment is Moment.BEFORE_COMMIT:
            raise StoreFull("full")

    device.kv.fault = full
    with pytest.raises(StoreFull):
        device.emit("b")
    device.kv.fault = None
    assert [name.seq for name in device.emit("c")] == [3]
    assert device.bodies() == ["a", "c"]
    check_log(device)


def test_append_with_a_clock_that_jumps_back_stays_in_order() -> None:
    device = Device("BOXE")
    device.emit("a", now_ms=NOW + 30_000)
    device.emit("b", now_ms=NOW)
    assert device.bodies() == ["a", "b"]
    assert device.own.generation == 1
    check_log(device)


def test_append_after_a_clock_far_ahead_was_corrected_opens_an_incarnation_at_the_wall_clock() -> None:
    device = Device("BOXE")
    device.emit("future", now_ms=NOW + 3_600_000)
    before = device.own
    device.log.promise(NOW + 3_600_000)
    (name,) = device.emit("now", now_ms=NOW)
    assert device.own.generation == 2
    assert device.own.id != before.id
    assert name == EventId(device.own.id, 2)
    assert millis(device.own.hlc) == NOW
    assert device.bodies() == ["now", "future"]
    assert device.log.promises()[device.own.id] == 0
    check_log(device)


def test_open_incarnation_links_to_what_is_held() -> None:
    device = Device("BOXE")
    device.emit("a")
    before = device.own
    device.log.open_incarnation("test", NOW)
    assert device.own.generation == 2
    hello = device.log.system_events()[-1]
    assert hello[0] == device.own.id
    assert f'"link":{{"origin":"{before.id.hex()}","seq":2,"c":"{before.tip.hex()}"}}' in hello[2].body.decode()


def test_promise_raises_the_high_water_and_later_events_are_above_it() -> None:
    """T5.4, P6.3"""
    device = Device("BOXE")
    assert device.log.promise(NOW) is None
    device.emit("a", now_ms=NOW)
    tip = device.log.promise(NOW + 5000)
    assert tip is not None
    assert tip.promise == (NOW + 5000) << 16 == device.log.promises()[device.own.id]
    assert (tip.commit.seq, tip.commit.tip) == (tip.origin.seq, tip.origin.tip)
    device.emit("b", now_ms=NOW)
    assert device.own.hlc > tip.promise


def test_next_boot_counts_from_one() -> None:
    device = Device("BOXE")
    assert [device.log.next_boot() for _ in range(3)] == [1, 2, 3]


def test_append_with_import_goes_on_where_it_stopped() -> None:
    device = Device("BOXE")
    content = bytes(32)
    device.log.append([draft("a"), draft("b")], NOW, imported=ImportMark(content, 0, 2))
    assert device.log.lines_imported(content) == 2
    with pytest.raises(UsageError):
        device.log.append([draft("a"), draft("b")], NOW, imported=ImportMark(content, 0, 2))
    device.log.append([draft("c")], NOW, imported=ImportMark(content, 2, 3))
    assert device.bodies() == ["a", "b", "c"]
    assert device.log.lines_imported(content) == 3


def test_append_with_cursor_moves_both_or_neither() -> None:
    """T5.5"""
    device = Device("BOXE")
    device.log.append([draft("result")], NOW, cursor=("view", 7))
    assert device.log.cursor("view") == 7
    with pytest.raises(UsageError):
        device.log.append([draft("other")], NOW, cursor=("", 8))
    assert device.bodies() == ["result"]
    device.log.set_cursor("view", 9)
    assert device.log.cursors() == {"view": 9}


def test_log_of_another_group_is_refused() -> None:
    """T4.1"""
    kv = MemoryKv()
    Log(kv, GROUP)
    with pytest.raises(StoreFormat, match="belongs to group"):
        Log(kv, b"other group-16-b")


def test_log_of_a_newer_format_is_refused() -> None:
    """T4.1"""
    kv = MemoryKv()
    Log(kv, GROUP)
    with kv.write() as txn:
        txn.put(Table.META, Meta.FORMAT, (2).to_bytes(4, "big"))
    with pytest.raises(StoreFormat, match="format 2"):
        Log(kv, GROUP)


def test_events_pages_give_each_event_once_in_both_directions() -> None:
    device = Device("BOXE")
    device.emit(*(str(n) for n in range(25)))
    forwards = list(device.log.events(page=4))
    backwards = list(device.log.events(page=4, reverse=True))
    assert [event.seq for event in forwards] == list(range(1, 27))
    assert backwards == forwards[::-1]
    part = list(device.log.events(start=forwards[3].key, stop=forwards[9].key, page=2))
    assert part == forwards[3:9]
    assert part[0].key == order_key(part[0].hlc, part[0].origin)
    assert list(device.log.events(start=forwards[3].key, stop=forwards[9].key, page=3, reverse=True)) == part[::-1]


def test_arrivals_know_when_their_transaction_was() -> None:
    device = Device("BOXE")
    device.emit("a", "b", now_ms=NOW)
    device.emit("c", now_ms=NOW + 1)
    device.emit("d", "e", now_ms=NOW + 2)
    received = [(arrival.number, arrival.received_ms - NOW, arrival.late) for arrival in device.log.arrivals(0)]
    assert received == [(1, 0, False), (2, 0, False), (3, 0, False), (4, 1, False), (5, 2, False), (6, 2, False)]
    assert [arrival.received_ms - NOW for arrival in device.log.arrivals(4, 1)] == [2]
    assert device.log.arrivals(6) == []


def test_peers_keep_the_newest_message() -> None:
    device = Device("BOXE")
    author = OriginId(b"12345678")
    device.log.note_peers([(1, author, 0, NOW, b"old"), (2, author, 3, NOW, b"page")])
    device.log.note_peers([(1, author, 0, NOW + 1, b"new")])
    assert device.log.peers() == [(1, author, 0, NOW + 1, b"new"), (2, author, 3, NOW, b"page")]


def test_tip_at_every_seq_matches_the_chain() -> None:
    device = Device("BOXE")
    device.emit(*(str(n) for n in range(300)))
    run = device.log.read_run(device.own.id, 1, 1 << 20)
    assert run is not None
    assert run.prev == device.log.tip_at(device.own.id, 0) == device.own.hash
    for row in run.commits:
        assert device.log.tip_at(device.own.id, row.seq) == row.tip
    between = device.log.read_run(device.own.id, 258, 1)
    assert between is not None
    assert device.log.tip_at(device.own.id, between.first - 1) == between.prev
    with pytest.raises(StoreError):
        device.log.tip_at(device.own.id, 302)


def test_read_run_starts_at_a_kept_commit_and_holds_at_least_one() -> None:
    """P4.7"""
    device = Device("BOXE")
    for _ in range(4):
        device.emit(*("x" * 1000 for _ in range(40)))
    one = device.log.read_run(device.own.id, 100, 1)
    assert one is not None
    assert one.first <= 100 <= one.last
    assert len(one.commits) == 1
    assert one.raw_bytes == sum(map(len, one.records))
    rest = device.log.read_run(device.own.id, one.first, 1 << 20)
    assert rest is not None
    assert rest.last == device.own.seq
    assert device.log.read_run(device.own.id, device.own.seq + 1, 1) is None
    assert device.log.read_run(OriginId(bytes(8)), 1, 1) is None


def test_reading_page_by_page_holds_no_transaction_between_pages() -> None:
    """T5.6: a reader that takes its time keeps nobody from writing"""
    device = Device("BOXE")
    device.emit(*(str(n) for n in range(8)))
    seen = []
    for event in device.log.events(page=3):
        seen.append(event.seq)
        if len(seen) <= 3:
            device.emit(f"more {len(seen)}")  # memory refuses this while a reader of the same thread is open
    assert seen == list(range(1, 13))
