"""What is found and cleared under the topics of earlier epochs (protocol-v1 P12.15)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from hcom_replica.core import earlier
from hcom_replica.core.earlier import EarlierEpochs
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.frame import Signer
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.signing import DeviceKey
from hcom_replica.wire.topics import Topics
from tests.unit.core.builders import KEYS, at

OWN, LEFT, OTHER = (OriginId(bytes([number]) * 8) for number in (1, 2, 3))
BEFORE = Topics(KEYS)
SIGNER = Signer(DeviceKey(bytes(32)), bytes(12), OWN)


class Bench:
    """A device in its second epoch, of which nobody is awaited any more."""

    def __init__(self) -> None:
        self.origins = [OWN]
        self.cleared: list[str] = []
        topics = Topics(GroupKeys(KEYS.group, bytes(32), 2))
        topics.rekey(topics.keys, [KEYS])
        slots: Any = SimpleNamespace(put=lambda now, topic, payload: self.cleared.append(topic))
        mailbox: Any = SimpleNamespace()
        self.earlier = EarlierEpochs(cast("Any", None), slots, topics, Settings(), mailbox)

    def tick(self, mono_ms: int) -> None:
        membership = SimpleNamespace(doubt=lambda: None, awaited=list)
        origins = [SimpleNamespace(id=origin) for origin in self.origins]
        knowledge = SimpleNamespace(membership=membership, own_origins=lambda: origins)
        self.earlier.tick(at(mono_ms), SIGNER, cast("Knowledge", knowledge))


def test_slot_is_cleared_once_the_log_tells_that_it_is_of_an_earlier_incarnation() -> None:
    bench = Bench()
    for origin in (OWN, LEFT, OTHER):
        bench.earlier.saw(BEFORE.vector(origin, 0), b"x")
    bench.tick(0)
    assert bench.cleared == [BEFORE.vector(OWN, 0)]
    bench.origins.append(LEFT)
    bench.tick(60_000)
    assert bench.cleared == [BEFORE.vector(OWN, 0), BEFORE.vector(LEFT, 0)]
    bench.tick(120_000)
    assert len(bench.cleared) == 2


def test_slot_that_was_emptied_is_not_cleared() -> None:
    bench = Bench()
    bench.earlier.saw(BEFORE.head(OWN), b"x")
    bench.earlier.saw(BEFORE.head(OWN), b"")
    bench.tick(0)
    assert bench.cleared == []


def test_of_slots_of_others_only_so_many_are_kept_in_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earlier, "_OTHERS_MAX", 2)
    bench = Bench()
    for origin in (LEFT, OTHER, OriginId(b"4" * 8), OriginId(b"5" * 8)):
        bench.earlier.saw(BEFORE.head(origin), b"x")
        bench.tick(0)
    bench.origins += [LEFT, OriginId(b"5" * 8)]
    bench.tick(0)
    assert bench.cleared == [BEFORE.head(OriginId(b"5" * 8))]
