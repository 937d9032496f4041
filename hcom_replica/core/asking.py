"""Asking a device for its vector now (P7.5)."""

from __future__ import annotations

from hcom_replica.core.outbox import Outbox
from hcom_replica.ids import OriginId
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import Kind, Signer, pack
from hcom_replica.wire.messages import ASK_VECTOR, Ask
from hcom_replica.wire.topics import Topics


def ask_vector(outbox: Outbox, topics: Topics, signer: Signer, to: OriginId | None) -> None:
    """Publish the question; None asks anybody."""
    ask = pack(encode(Ask(outbox.counter(), to, ASK_VECTOR)))
    outbox.publish(topics.ask, outbox.seal(topics.ask, Kind.ASK, signer, ask), retain=False)
