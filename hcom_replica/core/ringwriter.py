"""Publishing a mailbox ring, and clearing one (protocol-v1 P8.1).

Order: the index is raised and acknowledged by the broker BEFORE a slot that it speaks of is overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from hcom_replica.core.effects import Now
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.ownslots import OwnSlots
from hcom_replica.core.packer import Bundle
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import RAW, Kind, Packed, Signer
from hcom_replica.wire.messages import INDEX_ENTRIES_MAX, Index, Segment
from hcom_replica.wire.signing import hash32
from hcom_replica.wire.topics import Topics


class Sealed(NamedTuple):
    """One slot's line in the index, and what goes into the slot."""

    line: Segment
    payload: bytes


class RingWriter:
    """What is on its way to the slots of our rings.

    Args:
        outbox: where effects go.
        slots: guards the index, as all our slots but segments.
        topics: the group's.
        settings: see there.
        taken: called with each slot that the broker took.
        refused: called with the slots that it did not take, or whose index it did not take.
    """

    def __init__(
        self,
        outbox: Outbox,
        slots: OwnSlots,
        topics: Topics,
        settings: Settings,
        *,
        taken: Callable[[int], None],
        refused: Callable[[list[int]], None],
    ) -> None:
        self._outbox = outbox
        self._slots = slots
        self._topics = topics
        self._settings = settings
        self._taken = taken
        self._refused = refused
        self._busy = 0

    def settled(self) -> bool:
        """Nothing is on its way to the broker."""
        return self._busy == 0

    def closed(self) -> None:
        """The link has ended: what was on its way may or may not have arrived."""
        self._busy = 0

    def seal(self, signer: Signer, origin: OriginId, ready: Bundle, slots: list[int]) -> list[Sealed]:
        """Make what goes into `slots`, one for each part of a run of `origin`."""
        if ready.whole is not None:
            pieces = [(Kind.SEGMENT, ready.whole)]
        else:
            pieces = [(Kind.SEGMENT_PART, Packed(RAW, encode(part))) for part in ready.parts]
        sealed: list[Sealed] = []
        for number, (slot, (kind, packed)) in enumerate(zip(slots, pieces, strict=True)):
            payload = self._outbox.seal(self._topics.segment(signer.origin, slot), kind, signer, packed)
            digest = hash32(payload)[:8]
            line = Segment(slot, origin, ready.first, ready.last, digest, number, len(pieces), ready.raw)
            sealed.append(Sealed(line, payload))
        return sealed

    def write(self, now: Now, signer: Signer, lines: list[Segment], payloads: Mapping[int, bytes]) -> None:
        """Publish the index of a ring with these lines, then, once it is taken, new payloads of some slots."""
        self._busy = 1
        self._outbox.trace("mailbox written", slots=len(payloads), bytes=sum(map(len, payloads.values())))

        def index_taken(taken: bool) -> None:
            self._busy -= 1
            if not taken:
                self._refused(list(payloads))
                return
            for slot, payload in payloads.items():
                self._busy += 1
                topic = self._topics.segment(signer.origin, slot)
                self._outbox.publish(topic, payload, retain=True, done=partial(self._slot_taken, slot))

        index = Index(self._outbox.counter(), now.wall_ms, self._settings.mailbox_slots, lines)
        self._slots.write(now, self._topics.index(signer.origin), Kind.INDEX, signer, index, index_taken)

    def clear(self, now: Now, origin: OriginId, slots: int) -> None:
        """Clear a ring of so many slots, also those that no index names any more."""
        for slot in range(min(slots, INDEX_ENTRIES_MAX)):
            self._outbox.publish(self._topics.segment(origin, slot), b"", retain=True)
        self._slots.put(now, self._topics.index(origin), b"")
        self._outbox.trace("mailbox cleared", origin=origin.hex())

    def _slot_taken(self, slot: int, taken: bool) -> None:
        self._busy -= 1
        if taken:
            self._taken(slot)
        else:
            self._refused([slot])
