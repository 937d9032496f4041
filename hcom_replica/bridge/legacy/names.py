"""Names and numbers in our group, and as machines that run only hcom write them (hcom-bridge-v1 B8.4, B8.7)."""

from __future__ import annotations

from typing import Any

import msgspec

from hcom_replica.bridge.directory import Directory
from hcom_replica.bridge.foreigners import peer_device
from hcom_replica.bridge.ledger import BridgeLog
from hcom_replica.bridge.legacy.lanes import Lanes
from hcom_replica.bridge.rows import mark_of
from hcom_replica.ids import EventId
from hcom_replica.wire.event import decode_event


class Known(msgspec.Struct):
    """What is kept of a peer.

    Attributes:
        uuid: its topic.
        short: its letters.
        name: in our group.
        here: it is there.
        reset_ts: as it states it: a newer one is another life of its database.
        ts_s: time of the newest envelope that told of agents.
        packet_bytes: the largest packet that it takes.
        db: 8 hex digits that stand for this life of its database; empty before the first.
        seen: ids that were looked at in this life, as `Intervals`.
        history: what has an id up to this was there before our group met it.
        agents: name to a hash of what was told of it.
    """

    uuid: str
    short: str
    name: str
    here: bool = False
    reset_ts: float = 0.0
    ts_s: int = 0
    packet_bytes: int = 0
    db: str = ""
    seen: bytes = b"\x90"
    history: int = 0
    agents: dict[str, str] = {}


class Names:
    """Translates.

    Args:
        log: of our group.
        directory: of its devices.
        lanes: under what they are published.

    Attributes:
        peers: what is known of each peer, by `peer_device`.
    """

    def __init__(self, log: BridgeLog, directory: Directory, lanes: Lanes) -> None:
        self.peers: dict[bytes, Known] = {}
        self._log = log
        self._directory = directory
        self._lanes = lanes

    def of_peer(self, short: str) -> str:
        """What our group calls a machine of these letters."""
        return f"{short}-HCOM" if self._directory.is_name(short) else short

    def ours(self, text: str) -> str:
        """An agent's name as peers write it, in our group's names."""
        agent, colon, device = text.rpartition(":")
        short = device.upper()
        own = self._lanes.device_of(short) if colon else None
        if own is not None:
            return f"{agent}:{self._directory.name(own)}"
        name = next((known.name for known in self.peers.values() if known.short == short), None)
        return text if name is None else f"{agent}:{name}"

    def theirs(self, name: str) -> str:
        """What peers call a device of our group, or one of their own."""
        named = name.upper()
        for known in self.peers.values():
            if known.name.upper() == named:
                return known.short
        device = next((one for one, _ in self._lanes.known() if self._directory.name(one).upper() == named), None)
        return name if device is None else self._lanes.short_of(device) or name

    def own_event(self, short: str, number: int) -> EventId | None:
        """The event of our group that peers know by letters and number; None when it is none."""
        device = self._lanes.device_of(short.upper())
        return None if device is None else self._lanes.event_at(device, number)

    def replied(self, answered: EventId) -> dict[str, Any]:
        """The fields by which hcom says what a message answers; empty when it cannot."""
        found = self._lanes.number_of(answered, {})
        if found is not None:
            return {"reply_to": f"{found[1]}:{self._lanes.short_of(found[0])}"}
        stored = self._log.event(answered)
        mark = None if stored is None else mark_of(decode_event(stored.record).body)
        known = None if mark is None or mark.peer is None else self.peers.get(peer_device(mark.peer))
        return {} if mark is None or known is None else {"reply_to": f"{mark.id}:{known.short}"}
