"""The standing want (P7.9)."""

from __future__ import annotations

from hcom_replica.core.standing import StandingSlot
from hcom_replica.ids import OriginId
from hcom_replica.wire.messages import WANT_ITEMS_MAX, WantItem, decode_standing
from tests.unit.core.builders import TOPICS, Device, Parts, at, draft, opened

ORIGIN = OriginId(b"origin--")


class Wanting:
    def __init__(self) -> None:
        self.device = Device("BOXE")
        self.device.append()
        self.parts = Parts(self.device)
        self.slot = StandingSlot(self.parts.outbox, self.parts.slots, TOPICS)
        self.hunted: dict[OriginId, int] = {}

    def tick(self, *missing: OriginId) -> list[list[WantItem]]:
        """Returns what was written: items, none for a cleared slot."""
        self.slot.tick(at(0), self.device.signer, self.parts.knowledge, list(missing), self.hunted)
        published = self.parts.published()
        assert {publish.topic for publish in published} <= {TOPICS.standing(self.device.own.id)}
        return [decode_standing(opened(publish)[1]).items if publish.payload else [] for publish in published]


def test_want_is_written_when_it_changes_and_cleared_when_nothing_is_missing() -> None:
    wanting = Wanting()
    assert wanting.tick() == []
    assert wanting.tick(ORIGIN) == [[WantItem(ORIGIN, 1, 0)]]
    assert wanting.tick(ORIGIN) == []
    assert wanting.tick() == [[]]
    assert wanting.tick() == []


def test_want_names_what_is_held_in_part_by_its_hash_from_the_first_seq_missing() -> None:
    wanting = Wanting()
    nova = Device("NOVA")
    nova.append(draft())
    nova.send_to(wanting.device)
    wanting.parts.knowledge.reload()
    assert wanting.tick(nova.own.id) == [[WantItem(nova.own.hash, 3, 0)]]


def test_want_of_another_history_begins_where_that_may_differ() -> None:
    """P4.9, P7.9"""
    wanting = Wanting()
    nova = Device("NOVA")
    nova.append(draft())
    nova.send_to(wanting.device)
    wanting.parts.knowledge.reload()
    wanting.hunted = {nova.own.id: 1}
    assert wanting.tick(nova.own.id) == [[WantItem(nova.own.hash, 2, 0)]]


def test_want_of_an_earlier_connection_is_written_or_cleared_anew() -> None:
    wanting = Wanting()
    wanting.tick(ORIGIN)
    wanting.slot.closed()
    assert wanting.tick() == [[]]
    wanting.slot.seen()
    assert wanting.tick(ORIGIN) == [[WantItem(ORIGIN, 1, 0)]]


def test_want_is_bounded_and_begins_with_what_least_is_held_of() -> None:
    """Section 9: 64 entries"""
    wanting = Wanting()
    nova = Device("NOVA")
    nova.append(draft())
    nova.send_to(wanting.device)
    wanting.parts.knowledge.reload()
    ((*items,),) = wanting.tick(nova.own.id, *(OriginId(b"%08d" % number) for number in range(WANT_ITEMS_MAX)))
    assert len(items) == WANT_ITEMS_MAX
    assert nova.own.hash not in {item.hash for item in items}
