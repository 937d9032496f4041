"""What is lacked: which origins nobody reachable has (P7.9)."""

from __future__ import annotations

import pytest

from hcom_replica.ids import OriginId
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Ack, Presence
from tests.unit.core.builders import WALL, at
from tests.unit.core.pulling import ORIGIN, Pulling, device


@pytest.fixture
def boxe() -> Pulling:
    return Pulling()


def test_origin_that_nobody_reachable_has_is_stuck_until_somebody_comes(boxe: Pulling) -> None:
    """P7.9"""
    nova = device("NOVA")
    boxe.parts.hear(nova, Kind.HEAD, nova.head())
    assert boxe.run(0, 5_000) == []
    assert boxe.lacks.stuck(at(5_000)) == [nova.own.id]
    boxe.online(nova, ms=5_000)
    boxe.lacks.news(at(5_000))
    assert len(boxe.tick(5_000)) == 1
    assert boxe.lacks.stuck(at(5_000)) == []


def test_derived_origin_that_waits_for_the_one_it_forks_from_is_not_asked_of_those_who_are_away(boxe: Pulling) -> None:
    """P4.6, P7.9: a mailbox would be filled with what cannot be stored"""
    nova, luna, root = device("NOVA"), device("LUNA"), OriginId(b"root----")
    boxe.online(nova, {ORIGIN: Ack(9, b"branch--"), root: Ack(9, b"root----")})
    boxe.tick(0)
    boxe.parts.hear(nova, Kind.PRESENCE, Presence(nova.counter(), WALL, online=False), now=at(1))
    boxe.run(50, 60_000)
    assert set(boxe.lacks.stuck(at(60_000))) >= {ORIGIN, root}
    boxe.puller.unplaced(at(60_000), ORIGIN, root)
    assert ORIGIN not in boxe.lacks.stuck(at(60_000))
    boxe.puller.stored(at(60_000), root)
    assert ORIGIN in boxe.lacks.stuck(at(60_000))
    assert luna.own.id not in boxe.lacks.stuck(at(60_000))
