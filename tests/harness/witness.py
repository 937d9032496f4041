"""What a broker holds and carries, seen by a raw client that has the group's token but is no device."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from hcom_replica.core.slotmessage import SlotMessage, decode_slot
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.ports import Delivered
from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.wire.frame import open_frame
from hcom_replica.wire.messages import Head, Index, Presence
from hcom_replica.wire.signing import hash32
from hcom_replica.wire.token import decode_token
from hcom_replica.wire.topics import Topics
from tests.harness.links import LinkOwner


@dataclass(frozen=True, slots=True)
class Slots:
    """One device's slots as they stand on the broker.

    Attributes:
        head: None when there is none that is sound.
        presence: None when there is none that is sound.
        index: None when there is none that is sound.
        false_lines: slots of the ring whose content is not what the index says.
    """

    head: Head | None
    presence: Presence | None
    index: Index | None
    false_lines: list[int]


class Witness:
    """Looks at one group on one broker.

    Args:
        broker: running.
        token: the group's.
    """

    def __init__(self, broker: PrivateBroker, token: str) -> None:
        self._broker = broker
        self.keys = decode_token(token).keys
        self.topics = Topics(self.keys)

    def retained(self) -> dict[str, bytes]:
        """All retained messages of the whole broker, of this group and of others."""
        with LinkOwner(self._broker.address, credentials=self._broker.credentials) as owner:
            owner.subscribed("#")
            end = f"end/{secrets.token_hex(8)}"
            owner.published(end, b"end")
            owner.wait_for(Delivered, lambda message: message.topic == end)
            return {message.topic: message.payload for message in owner.of(Delivered) if message.retain}

    def slots(self, origin: OriginId) -> Slots:
        """What stands in an origin's slots now."""
        held, topics = self.retained(), self.topics
        head = self._open(held, topics.head(origin))
        presence = self._open(held, topics.presence(origin))
        index = self._open(held, topics.index(origin))
        assert head is None or isinstance(head, Head)
        assert presence is None or isinstance(presence, Presence)
        assert index is None or isinstance(index, Index)
        lines = index.segments if index is not None else []
        false = [
            line.slot for line in lines if hash32(held.get(topics.segment(origin, line.slot), b""))[:8] != line.digest
        ]
        return Slots(head, presence, index, false)

    def _open(self, held: dict[str, bytes], topic: str) -> SlotMessage | None:
        if topic not in held:
            return None
        try:
            frame = open_frame(self.keys, topic, held[topic])
            return decode_slot(frame.kind, frame.payload)
        except ProtocolError:
            return None  # somebody else's junk
