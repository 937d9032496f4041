"""Reading all heads again when some were lost (P7.13)."""

from __future__ import annotations

import pytest

from hcom_replica.core.effects import Subscribe
from hcom_replica.core.reread import Reread
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Ack
from tests.unit.core.builders import TOPICS, Device, Parts, at, draft

SETTINGS = Settings(reread_ms=1_000)


class Group:
    """BOXE, which looks, and others that it has heard heads of."""

    def __init__(self, others: int = 12) -> None:
        self.boxe = Device("BOXE")
        self.boxe.append()
        self.parts = Parts(self.boxe, SETTINGS)
        self.reread = Reread(self.parts.outbox, TOPICS, SETTINGS)
        self.others = [Device(f"D{number}") for number in range(others)]
        for other in self.others:
            other.append()
            self.heard(other)

    def heard(self, other: Device) -> None:
        """The head of a device comes."""
        self.parts.hear(other, Kind.HEAD, other.head())

    def named(self, *origins: OriginId) -> None:
        """The first of the others says that it holds the first event of these."""
        speaker = self.others[0]
        self.parts.hear(speaker, Kind.VECTOR, speaker.vector(entries={o: Ack(1, bytes(8)) for o in origins}))

    def read_at(self, *times_ms: int) -> list[int]:
        """When the heads were asked for, of these times."""
        found = []
        for ms in times_ms:
            self.reread.tick(at(ms), self.parts.knowledge)
            asked = [effect for effect in self.parts.effects() if isinstance(effect, Subscribe)]
            assert all(effect == Subscribe((TOPICS.heads,), no_local=True) for effect in asked)
            found += [ms] * len(asked)
        return found


@pytest.fixture
def group() -> Group:
    return Group()


def stranger(name: str) -> Device:
    """A device of which nothing was heard."""
    device = Device(name)
    device.append()
    return device


def test_origin_that_is_named_and_has_no_head_makes_a_device_read_all_heads_until_two_readings_bring_none(
    group: Group,
) -> None:
    """P7.13: where one head was lost, others were that nobody has named yet"""
    lost, unnamed = stranger("LOST"), stranger("MORE")
    group.named(lost.own.id)
    assert group.read_at(0, 500) == [0]
    group.heard(lost)
    assert group.read_at(1_000, 1_500) == [1_000]
    assert group.reread.wake_at() == 2_000
    group.heard(unnamed)
    assert group.read_at(2_000, 3_000, 4_000, 5_000) == [2_000, 3_000]
    assert group.reread.wake_at() is None


def test_head_that_nobody_has_is_looked_for_once(group: Group) -> None:
    """P7.13: the broker has forgotten it, and its device is gone"""
    gone = stranger("GONE")
    group.named(gone.own.id)
    assert group.read_at(*range(0, 10_000, 1_000)) == [0, 1_000]
    group.named(gone.own.id, stranger("GON2").own.id)
    assert group.read_at(*range(10_000, 20_000, 1_000)) == [10_000, 11_000]


def test_next_connection_brings_all_heads_by_itself(group: Group) -> None:
    group.named(stranger("LOST").own.id)
    assert group.read_at(0) == [0]
    group.reread.closed()
    assert group.reread.wake_at() is None


def test_where_all_heads_were_heard_nothing_is_read_again(group: Group) -> None:
    group.named(*(other.own.id for other in group.others), group.boxe.own.id)
    assert group.read_at(0, 1_000, 2_000) == []


def test_branch_has_no_head(group: Group) -> None:
    one = stranger("TWIN")
    two = one.clone()
    one.append()
    two.append(*[draft(b"two")] * 2)
    for twin in (one, two):
        twin.send_to(group.boxe)
    group.parts.knowledge.reload()
    group.heard(two)
    derived = [state.id for state in group.boxe.log.origins() if state.forks]
    assert derived
    group.named(*derived)
    assert group.read_at(0, 1_000) == []


def test_small_group_waits_for_the_repetition_of_a_head() -> None:
    """P7.13: to read all costs more than it brings"""
    group = Group(others=8)
    group.named(stranger("LOST").own.id)
    assert group.read_at(0, 1_000, 2_000) == []


def test_large_group_reads_less_often() -> None:
    """P7.13: 10 ms for each head that comes"""
    group = Group(others=120)
    group.named(stranger("LOST").own.id)
    assert group.read_at(0, 1_000, 1_199, 1_200) == [0, 1_200]
