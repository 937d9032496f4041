"""Which events are known to be redacted, and which have been found so lately."""

from __future__ import annotations

from hcom_replica.core.redacted import RedactedPlaces
from hcom_replica.ids import EventId
from tests.unit.core.builders import WALL, Device, draft


def test_each_place_is_fresh_once() -> None:
    boxe = Device("BOXE")
    boxe.append(draft(), draft())
    own = boxe.own.id
    places = RedactedPlaces(boxe.log)
    places.refresh()
    assert (places.known, places.take_fresh()) == (set(), set())
    boxe.log.redact(EventId(own, 2), WALL)
    places.refresh()
    assert (places.known, places.take_fresh(), places.take_fresh()) == ({(own, 2)}, {(own, 2)}, set())
    boxe.log.redact(EventId(own, 3), WALL)
    places.refresh()
    places.refresh()
    assert (places.known, places.take_fresh()) == ({(own, 2), (own, 3)}, {(own, 3)})
