"""Our standing want: a retained request to nobody in particular (P7.9)."""

from __future__ import annotations

from collections.abc import Mapping

from hcom_replica.core.effects import Now
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.ownslots import OwnSlots
from hcom_replica.ids import OriginId
from hcom_replica.wire.frame import Kind, Signer
from hcom_replica.wire.messages import WANT_ITEMS_MAX, Standing, WantItem
from hcom_replica.wire.topics import Topics


class StandingSlot:
    """The slot, and whether the broker may hold one of ours that is out of date."""

    def __init__(self, outbox: Outbox, slots: OwnSlots, topics: Topics) -> None:
        self._outbox = outbox
        self._slots = slots
        self._topics = topics
        self._stands: list[WantItem] | None = []

    def seen(self) -> None:
        """The broker holds one of ours from before this process."""
        self._stands = None

    def closed(self) -> None:
        """The link has ended."""
        self._stands = None

    def tick(
        self, now: Now, signer: Signer, knowledge: Knowledge, missing: list[OriginId], hunted: Mapping[OriginId, int]
    ) -> None:
        """Say what is missing that nobody reachable has, or clear the slot.

        Args:
            now: the time.
            signer: who says it.
            knowledge: what is held.
            missing: origins.
            hunted: of some of them, behind which held seq something else is looked for (P4.9).
        """
        held = {origin: hunted.get(origin, knowledge.have(origin)) for origin in missing}
        items = [_item(knowledge, origin, held[origin] + 1) for origin in sorted(held, key=held.__getitem__)]
        items = items[:WANT_ITEMS_MAX]
        if items == self._stands:
            return
        topic = self._topics.standing(signer.origin)
        if items:
            standing = Standing(self._outbox.counter(), now.wall_ms, items)
            self._slots.write(now, topic, Kind.STANDING, signer, standing)
        else:
            self._slots.put(now, topic, b"")
        self._stands = items


def _item(knowledge: Knowledge, origin: OriginId, first: int) -> WantItem:
    state = knowledge.states.get(origin)
    return WantItem(state.hash if state is not None else origin, first, 0)
