"""Head, vector and presence: when they are written (P7.4, P7.5, P6.2)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hcom_replica.core.announce import HeadSlot, PresenceSlot
from hcom_replica.core.effects import Promise
from hcom_replica.wire.messages import decode_head, decode_presence
from tests.unit.core.builders import TOPICS, Device, Parts, at, opened


class Heads:
    """A head slot whose promises are kept at once; notes when heads were written."""

    def __init__(self) -> None:
        self.device = Device("BOXE")
        self.device.append()
        self.parts = Parts(self.device)
        self.slot = HeadSlot(self.parts.outbox, self.parts.slots, TOPICS, self.parts.settings)
        self.times: list[int] = []

    def run(self, start: int, stop: int, append_every: int | None = None) -> list[int]:
        """Tick every 50 ms; returns the times of new heads."""
        self.times = []
        for ms in range(start, stop, 50):
            if append_every is not None and ms % append_every == 0:
                self.device.append()
                self.slot.moved(at(ms))
            self.slot.tick(at(ms))
            for effect in self.parts.outbox.take():
                if isinstance(effect, Promise):
                    tip = self.device.log.promise(at(ms).wall_ms)
                    assert tip is not None
                    self.slot.promised(at(ms), self.device.signer, "BOXE", tip)
                    self.times.append(ms)
        return self.times


@pytest.fixture
def heads() -> Heads:
    return Heads()


def test_head_is_written_when_the_fence_has_passed_and_then_slowly(heads: Heads) -> None:
    """P7.4: every 300 s"""
    heads.slot.opened(at(0))
    assert heads.run(0, 700_000) == [0, 300_000, 600_000]


def test_head_after_activity_comes_within_250_ms_and_is_repeated(heads: Heads) -> None:
    """P7.4: then after 5, 30 and 120 s"""
    heads.slot.opened(at(0))
    heads.run(0, 20_000)
    heads.device.append()
    heads.slot.moved(at(20_000))
    assert heads.run(20_000, 500_000) == [20_250, 25_250, 55_250, 175_250, 475_250]


def test_head_while_busy_comes_at_growing_intervals_up_to_five_seconds(heads: Heads) -> None:
    """P7.4: a burst of appends does not become a burst of heads."""
    heads.slot.opened(at(0))
    heads.run(0, 20_000)
    times = heads.run(20_000, 60_000, append_every=50)
    gaps = [after - before for before, after in pairwise(times)]
    assert times[0] == 20_250
    assert max(gaps) <= 5_000
    assert gaps == sorted(gaps)
    assert len(times) < 16


def test_head_is_not_asked_for_while_offline(heads: Heads) -> None:
    heads.slot.opened(at(0))
    heads.run(0, 1_000)
    heads.slot.closed()
    assert heads.run(1_000, 700_000) == []
    assert heads.slot.wake_at() is None


def test_promise_that_comes_after_the_link_has_ended_writes_nothing(heads: Heads) -> None:
    """S8"""
    heads.slot.opened(at(0))
    heads.slot.tick(at(0))
    heads.slot.closed()
    tip = heads.device.log.promise(at(0).wall_ms)
    assert tip is not None
    heads.slot.promised(at(0), heads.device.signer, "BOXE", tip)
    assert heads.parts.published() == []


def test_head_names_the_newest_commit_and_its_promise(heads: Heads) -> None:
    """P6.3"""
    heads.slot.opened(at(0))
    heads.run(0, 100)
    tip = heads.device.log.promise(at(100).wall_ms)
    assert tip is not None
    heads.slot.promised(at(100), heads.device.signer, "BOXE", tip)
    head = decode_head(opened(heads.parts.published()[-1])[1])
    own = heads.device.own
    assert (head.seq, head.hlc, head.tip, head.cum, head.system) == (own.seq, own.hlc, own.tip, own.cum, own.system)
    assert head.promise == tip.promise >= own.hlc
    assert heads.slot.told == own.seq


def test_head_of_another_origin_has_not_been_told(heads: Heads) -> None:
    """Closing waits for the head of the new incarnation, which may be shorter than the one before."""
    heads.slot.opened(at(0))
    heads.run(0, 100)
    assert heads.slot.told > 0
    heads.slot.opened(at(200))
    assert heads.slot.told == 0


# --- presence ------------------------------------------------------------------------------------------------------


def test_presence_outdoes_the_will_of_the_session_before_and_not_that_of_its_own() -> None:
    """P6.2: online < will < offline of one session < online of the next"""
    device = Device("BOXE")
    device.append()
    parts = Parts(device)
    slot = PresenceSlot(parts.outbox, parts.slots, TOPICS)
    counters = []
    for _ in range(2):
        slot.new_session()
        slot.say(at(0), device.signer, online=True)
        topic, will = slot.will(at(0), device.signer)
        slot.say(at(0), device.signer, online=False)
        assert topic == TOPICS.presence(device.own.id)
        assert not will.online
        online, offline = (decode_presence(opened(publish)[1]) for publish in parts.published())
        assert (online.online, offline.online) == (True, False)
        counters += [online.counter, will.counter, offline.counter]
    assert counters == sorted(set(counters))
