"""The own vector: when, within which budget, on which pages (P6.4, P7.5)."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from hcom_replica.core import vectors as module
from hcom_replica.core.settings import Settings
from hcom_replica.core.vectors import VectorSlots, page_of, pages_of, word_ms
from hcom_replica.ids import OriginId
from hcom_replica.limits import VECTOR_PAGE_ENTRIES
from hcom_replica.wire.messages import decode_vector, unpack_entries
from hcom_replica.wire.signing import hash32
from tests.unit.core.builders import TOPICS, Device, Parts, at, draft, opened


class Vectors:
    """A vector slot; notes pages written."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.device = Device("BOXE")
        self.device.append()
        self.parts = Parts(self.device, settings or Settings())
        self.held = 0
        self.slot = VectorSlots(self.parts.outbox, self.parts.slots, TOPICS, self.parts.settings)

    def tick(self, ms: int, devices: int = 2) -> int:
        """Tick; returns how many pages were written."""
        self.parts.knowledge.reload()
        self.slot.tick(at(ms), self.device.signer, self.parts.knowledge, devices)
        published = [publish for publish in self.parts.published() if publish.payload]
        self.pages = [decode_vector(opened(publish)[1]) for publish in published]
        self.topics = [publish.topic for publish in published]
        return len(self.pages)

    def hold(self, count: int) -> None:
        """Hold so many origins more."""
        for _ in range(count):
            self.held += 1
            other = Device(f"D{self.held}")
            other.append()
            other.send_to(self.device)


def test_vector_is_written_on_connect_on_change_and_not_otherwise() -> None:
    """P7.5"""
    vectors = Vectors()
    vectors.slot.opened(at(0))
    assert vectors.tick(0) == 1
    assert vectors.tick(60_000) == 0
    vectors.slot.moved()
    assert vectors.tick(120_000) == 0, "nothing has changed"
    vectors.device.append()
    vectors.slot.moved()
    assert vectors.tick(180_000) == 1
    entries = unpack_entries(vectors.pages[0].entries)
    assert entries[vectors.device.own.id] == (vectors.device.own.seq, vectors.device.own.tip[:8])


def test_vectors_of_all_devices_stay_within_the_budget() -> None:
    """P7.5: about 1 KB/s for the whole group"""
    vectors = Vectors()
    vectors.slot.opened(at(0))
    devices, size, seconds = 50, 0, 600
    for ms in range(0, seconds * 1_000, 250):
        vectors.device.append()
        vectors.slot.moved()
        vectors.parts.knowledge.reload()
        vectors.slot.tick(at(ms), vectors.device.signer, vectors.parts.knowledge, devices)
        size += sum(len(publish.payload) for publish in vectors.parts.published())
    assert size * devices / seconds < 1_100


def test_vector_asked_for_is_written_at_once_changed_or_not() -> None:
    vectors = Vectors()
    vectors.slot.opened(at(0))
    vectors.tick(0, devices=1_000)
    vectors.slot.hurry(at(1))
    assert vectors.tick(1) == 1


def test_vector_of_a_log_without_sync_acknowledges_nothing() -> None:
    """P6.4, T5.8"""
    vectors = Vectors(Settings(durable=False))
    vectors.slot.opened(at(0))
    vectors.tick(0)
    assert not vectors.pages[0].durable


def test_vector_of_many_origins_has_pages_and_only_changed_ones_are_written_again() -> None:
    """Section 9: 128 entries a page"""
    vectors = Vectors()
    vectors.hold(VECTOR_PAGE_ENTRIES)
    vectors.slot.opened(at(0))
    assert vectors.tick(0) == 2
    assert {page.pages for page in vectors.pages} == {2}
    assert sum(len(unpack_entries(page.entries)) for page in vectors.pages) == VECTOR_PAGE_ENTRIES + 1
    vectors.device.append(draft())
    vectors.slot.moved()
    assert vectors.tick(600_000) == 1


def test_vector_is_not_written_while_offline() -> None:
    """S8"""
    vectors = Vectors()
    assert vectors.tick(0) == 0
    vectors.slot.opened(at(0))
    vectors.slot.closed()
    assert vectors.tick(0) == 0
    assert vectors.slot.wake_at() is None


def crowd(pages: int = 4) -> Vectors:
    """A vector of some pages that has just been opened."""
    vectors = Vectors()
    vectors.hold(VECTOR_PAGE_ENTRIES * pages * 2 // 3)
    vectors.slot.opened(at(0))
    return vectors


def test_vector_in_a_large_group_is_written_page_by_page_from_a_random_time_on() -> None:
    """P7.5: what a thousand devices say on connect would be a burst of megabytes"""
    vectors = crowd()
    assert vectors.tick(0, devices=1_000) == 0
    assert vectors.slot.wake_at() not in (None, 0)
    times = []
    while (ms := vectors.slot.wake_at()) is not None:
        assert vectors.tick(ms, devices=1_000) == 1
        times.append((ms, vectors.topics[0]))
    assert len(times) == len({topic for _, topic in times}) == vectors.pages[0].pages == 4
    gaps = [after - before for (before, _), (after, _) in pairwise(times)]
    assert min(gaps) > 1_500_000, "its part of 1 KB/s"
    page_ms, round_ms = word_ms(Settings(), len(vectors.parts.knowledge.states), 1_000)
    assert page_ms > 1_500_000
    assert round_ms == 4 * page_ms


def test_vector_waits_longer_where_the_group_has_turned_out_larger_than_it_seemed() -> None:
    """P7.5: on connect few are known, and a share of theirs would be a large one"""
    vectors = crowd(pages=1)
    assert vectors.tick(0, devices=50) == 0
    early = vectors.slot.wake_at()
    assert early is not None
    assert vectors.tick(early, devices=1_000) == 0
    late = vectors.slot.wake_at()
    assert late is not None
    assert late > 10 * early
    assert vectors.tick(late, devices=1_000) == 1
    again = vectors.slot.wake_at()
    vectors.device.append()
    vectors.slot.moved()
    assert again is None
    assert vectors.tick(late + 1_000_000, devices=1_000) == 0


def test_page_that_was_split_is_written_after_its_other_half() -> None:
    """S4: what moved to a new page is missing nowhere meanwhile"""
    vectors = Vectors()
    vectors.hold(VECTOR_PAGE_ENTRIES - 10)
    vectors.slot.opened(at(0))
    assert vectors.tick(0) == 1
    vectors.hold(20)
    vectors.slot.moved()
    written = [vectors.topics[0] for ms in range(10**9, 10**10, 10**9) if vectors.tick(ms, devices=2_000)]
    assert written == [TOPICS.vector(vectors.device.own.id, number) for number in (1, 0)]


def test_vector_asked_for_shows_the_page_of_the_asker_whatever_the_budget_says() -> None:
    """P7.5"""
    vectors = crowd()
    vectors.tick(0, devices=1_000)
    own = vectors.device.own.id
    vectors.slot.asked([own])
    assert vectors.slot.wake_at() == 0
    assert vectors.tick(1, devices=1_000) == 1
    assert own in unpack_entries(vectors.pages[0].entries)
    assert (vectors.slot.wake_at() or 0) > 1_500_000, "it counts against the budget"


def test_origins_that_share_a_page_beyond_its_room_are_left_out_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGES_MAX", 1)
    vectors = Vectors()
    vectors.hold(VECTOR_PAGE_ENTRIES + 5)
    (page,) = pages_of({state.id: state for state in vectors.device.log.origins()})
    assert len(unpack_entries(page)) == VECTOR_PAGE_ENTRIES


@pytest.mark.parametrize("count", [1, 128, 129, 1_000])
def test_every_origin_is_on_the_page_that_its_id_names(count: int) -> None:
    vectors = Vectors()
    state = vectors.device.own
    states = {OriginId(hash32(b"%d" % n)[:8]): state for n in range(count)}
    named = {key: msgspec.structs.replace(state, hash=key + bytes(24)) for key in states}
    pages = pages_of(named)
    found = {origin: number for number, page in enumerate(pages) for origin in unpack_entries(page)}
    assert found == {origin: page_of(origin, len(pages)) for origin in named}
