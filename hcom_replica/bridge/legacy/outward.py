"""From our log to machines that run only hcom: which events are given, in order of arrival (hcom-bridge-v1 B8.7).

Owns the cursor over arrivals. What is looked at on the way is kept in the same transaction: who has which agents, and
which events of peers are in the log already, whichever device has written them there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hcom_replica.bridge.delivery import KINDS
from hcom_replica.bridge.directory import Directory
from hcom_replica.bridge.handover import taken_key
from hcom_replica.bridge.ledger import Arrived, BridgeLog, Key, Shelved
from hcom_replica.bridge.legacy.lanes import Lanes
from hcom_replica.bridge.legacy.peers import Peers
from hcom_replica.bridge.roster import Roster
from hcom_replica.bridge.rows import mark_of
from hcom_replica.core.effects import Now
from hcom_replica.ids import EventId
from hcom_replica.wire.event import RedactedEvent, decode_event, is_system

CURSOR: Final = "hcom-legacy"
PAGE: Final = 256


class Outward:
    """Looks through the log.

    Args:
        log: of our group.
        directory: of its devices.
        lanes: under what they are published.
        roster: of their agents.
        peers: what is known of theirs.
        group: what the log calls the peers' group.
    """

    def __init__(
        self, log: BridgeLog, directory: Directory, lanes: Lanes, roster: Roster, peers: Peers, group: str
    ) -> None:
        self._log = log
        self._directory = directory
        self._lanes = lanes
        self._roster = roster
        self._peers = peers
        self._group = group

    def scan(self, now: Now) -> bool:
        """Look at what has arrived, a page at a time; return whether there is more.

        Raises:
            StoreError: what was decided is not on disk: make new objects.
        """
        page = self._log.arrivals(self._log.cursor(CURSOR), PAGE)
        since = self._directory.foreigners.since(self._group) or 0
        notes: dict[bytes, bytes | None] = {}
        for arrived in page:
            notes.update(self._look_at(arrived, notes, now, historic=arrived.number < since))
        if page:
            self._log.append([], now.wall_ms, cursor=(CURSOR, page[-1].number), shelved=lambda _ids: notes.items())
        return len(page) == PAGE

    def _look_at(
        self, arrived: Arrived, fresh: dict[bytes, bytes | None], now: Now, *, historic: bool
    ) -> Iterator[Shelved]:
        name, stored = EventId(arrived.event.origin, arrived.event.seq), decode_event(arrived.event.record)
        if is_system(stored.kind):
            self._directory.refresh()
            return
        device, event = self._directory.read(name.origin, stored)
        peer = self._directory.foreigners.peers.get(device)
        if peer is not None and peer.group == self._group:
            own = self._directory.device(name.origin) == self._directory.own
            yield from self._peers.known_row(stored, name, own=own)
            return
        yield from self._roster.told(device, event)
        if event.kind not in KINDS or isinstance(event, RedactedEvent) or self._lanes.is_given(name):
            return
        mark = mark_of(event.body)
        key = b"" if mark is None else taken_key(Key.LANE_TAKEN, device, mark)
        if not key or (key not in fresh and self._log.shelf.get(key) is None):
            self._lanes.lane(device, self._directory.name(device), self._peers.letters())
            yield from self._lanes.give(device, name, now, historic=historic)
            if key:
                yield key, b""
        yield self._lanes.passed(name)
