"""What a machine answers when it is asked how things stand."""

from __future__ import annotations

import msgspec

from hcom_replica.ids import OriginId


class WaitResult(msgspec.Struct, frozen=True):
    """Whether anything known is missing here.

    Attributes:
        heads_read: the retained heads have been read on this connection.
        missing_events: seqs that signed heads name and that are not held.
    """

    heads_read: bool
    missing_events: int


class LiveInfo(msgspec.Struct, frozen=True):
    """What only a running machine knows, for status.

    Attributes:
        connected: a broker accepted us.
        since_ms: wall time since when; None when not connected.
        counters: messages by fate: taken kinds, and `dropped.<reason>`.
        events_s: events stored per second of late.
        online: origins of devices that are online now.
        clock_off_ms: origin -> how far its device's clock is off, beyond the drift bound.
        own_clock_off_ms: how far ours seems off, when most others say so; 0 otherwise.
        mailbox_refused: segments the broker did not take.
        too_large: first seq of an own event that fits no mailbox; None when all fit.
        epoch: number of the key epoch that the machine is in.
        shut_out: "revoked" or "old token" when this device has no part in the group any more; else empty.
        bound_for: the broker that the group meets at, while this device has yet to go there; else empty.
    """

    connected: bool
    since_ms: int | None
    counters: dict[str, int]
    events_s: float
    online: tuple[OriginId, ...]
    clock_off_ms: dict[OriginId, int]
    own_clock_off_ms: int
    mailbox_refused: int
    too_large: int | None
    epoch: int = 1
    shut_out: str = ""
    bound_for: str = ""
