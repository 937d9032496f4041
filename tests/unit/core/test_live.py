"""New own commits to whoever listens, a window each second (P7.6)."""

from __future__ import annotations

import pytest

from hcom_replica.core.live import Live
from hcom_replica.wire.batch import decode_batch
from hcom_replica.wire.event import Draft
from hcom_replica.wire.frame import Kind
from tests.unit.core.builders import ROOM, TOPICS, Device, Parts, at, draft, noise, opened


class Saying:
    """BOXE has just connected, and so many devices are known; they say that they have its log, or nothing of it."""

    def __init__(self, drafts: list[Draft] | None = None, *, devices: int = 1, acked: bool = True) -> None:
        self.device = Device("BOXE")
        self.device.append(*(drafts or [draft()]))
        self.parts = Parts(self.device)
        for number in range(devices):
            other = Device(f"D{number}")
            other.append()
            if acked:
                self.device.send_to(other)
            self.parts.hear(other, Kind.VECTOR, other.vector())
        self.live = Live(self.parts.outbox, TOPICS, self.parts.settings)
        self.live.opened(self.parts.knowledge)

    def moved(self, ms: int, *, listeners: bool = True) -> list[tuple[int, int]]:
        """Returns (first, last) of what was said."""
        self.parts.knowledge.reload()
        self.live.moved(at(ms), self.parts.knowledge, ROOM, listeners=listeners)
        batches = [decode_batch(opened(publish)[1]) for publish in self.parts.published()]
        return [(batch.first, batch.last) for batch in batches]


@pytest.fixture
def saying() -> Saying:
    return Saying()


def test_new_commit_is_said_at_once_and_once(saying: Saying) -> None:
    saying.device.append(draft())
    assert [last for _, last in saying.moved(0)] == [3]
    assert saying.moved(0) == []


def test_what_was_written_before_the_fence_is_not_said() -> None:
    """The head tells of it."""
    assert Saying().moved(0) == []


def test_origin_that_nobody_in_a_large_group_is_known_to_hold_is_said_whole_when_the_fence_has_passed() -> None:
    """P7.6: a thousand who lack its first event need not ask for it"""
    saying = Saying(devices=9, acked=False)
    assert saying.moved(0) == [(1, 2)]
    assert saying.moved(10) == []


@pytest.mark.parametrize(("devices", "acked"), [(8, False), (9, True)], ids=["small group", "held by others"])
def test_origin_that_few_would_ask_for_is_told_by_its_head(devices: int, acked: bool) -> None:
    assert Saying(devices=devices, acked=acked).moved(0) == []


def test_origin_that_nobody_is_known_to_hold_and_that_fits_no_message_is_told_by_its_head() -> None:
    assert Saying(noise(2, 50_000), devices=9, acked=False).moved(0) == []


def test_nothing_is_said_when_nobody_listens_nor_made_up_for_later(saying: Saying) -> None:
    saying.device.append(draft())
    assert saying.moved(0, listeners=False) == []
    assert saying.moved(0) == []


def test_window_of_a_second_is_not_gone_beyond(saying: Saying) -> None:
    """P7.6: beyond it only the head moves"""
    said = []
    for ms in range(0, 1_000, 50):
        saying.device.append(*noise(1, 20_000, seed=ms))
        said += saying.moved(ms)
    assert 3 <= len(said) <= 4
    saying.device.append(draft())
    assert saying.moved(1_000)


def test_event_that_fits_no_message_is_pulled_and_what_comes_after_it_is_said(saying: Saying) -> None:
    saying.device.append(*noise(1, 300_000))
    assert saying.moved(0) == []
    saying.device.append(draft())
    assert [last for _, last in saying.moved(10)] == [4]


def test_each_message_holds_only_what_is_new_although_commits_are_thinned(saying: Saying) -> None:
    said = []
    for ms in range(20):
        saying.device.append(draft())
        said += saying.moved(ms)
    assert said == [(seq, seq) for seq in range(3, 23)]
