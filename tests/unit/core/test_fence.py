"""The fence of a connection (P7.1, S8)."""

from __future__ import annotations

import pytest

from hcom_replica.core.effects import Disconnect, Publish, Subscribe
from hcom_replica.core.fence import Fence, Stage
from tests.unit.core.builders import TOPICS, Device, Parts, at, opened


class Fencing:
    def __init__(self) -> None:
        self.parts = Parts(Device("BOXE"))
        self.fence = Fence(self.parts.outbox, TOPICS, self.parts.settings)

    def up(self) -> tuple[str, ...]:
        """Connect; returns the filters asked for."""
        self.fence.link_up(at(0), ())
        return tuple(name for e in self.parts.effects() if isinstance(e, Subscribe) for name in e.filters)

    def echo(self, ms: int) -> bytes:
        """Grant all, and let the echo come."""
        (publish,) = [e for e in self.parts.effects() if isinstance(e, Publish)]
        nonce = opened(publish)[1]
        self.fence.echoed(at(ms), nonce)
        return nonce


@pytest.fixture
def fencing() -> Fencing:
    return Fencing()


def test_fence_opens_a_grace_after_its_echo(fencing: Fencing) -> None:
    filters = fencing.up()
    assert set(TOPICS.shared()) < set(filters)
    fencing.fence.subscribed(at(0), filters)
    fencing.echo(100)
    assert not fencing.fence.tick(at(599))
    assert not fencing.fence.open
    assert fencing.fence.wake_at() == 600
    assert fencing.fence.tick(at(600))
    assert fencing.fence.open
    assert not fencing.fence.tick(at(601)), "it opens once"


def test_fence_is_not_sent_before_all_subscriptions_are_answered(fencing: Fencing) -> None:
    """What the broker holds comes with the subscriptions."""
    first, *rest = fencing.up()
    fencing.fence.subscribed(at(0), tuple(rest))
    assert fencing.parts.effects() == []
    fencing.fence.subscribed(at(0), (first,))
    assert fencing.fence.stage is Stage.FENCING


def test_echo_of_another_connection_does_not_count(fencing: Fencing) -> None:
    fencing.fence.subscribed(at(0), fencing.up())
    old = fencing.echo(1)
    fencing.fence.link_down()
    assert not fencing.fence.connected
    fencing.fence.subscribed(at(0), fencing.up())
    fencing.fence.echoed(at(2), old)
    assert fencing.fence.stage is Stage.FENCING


@pytest.mark.parametrize("answered", [False, True])
def test_broker_that_does_not_answer_in_time_is_left(fencing: Fencing, answered: bool) -> None:
    filters = fencing.up()
    if answered:
        fencing.fence.subscribed(at(0), filters)
        fencing.parts.effects()
    fencing.fence.tick(at(14_999))
    fencing.parts.effects()
    assert not fencing.fence.tick(at(15_000))
    assert [type(effect) for effect in fencing.parts.effects()] == [Disconnect]


def test_echo_that_does_not_come_is_called_for_again(fencing: Fencing) -> None:
    """P7.1: it may be lost in a queue that overflows with what the broker keeps"""
    fencing.fence.subscribed(at(0), fencing.up())
    (first,) = fencing.parts.effects()
    assert fencing.fence.wake_at() == 2_000
    fencing.fence.tick(at(1_999))
    assert fencing.parts.effects() == []
    fencing.fence.tick(at(2_000))
    (again,) = fencing.parts.effects()
    assert isinstance(first, Publish)
    assert isinstance(again, Publish)
    assert opened(again) == opened(first)
    assert fencing.fence.wake_at() == 4_000
    fencing.fence.echoed(at(2_100), opened(again)[1])
    assert fencing.fence.wake_at() == 2_600
