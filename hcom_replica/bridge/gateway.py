"""The other devices of the group, played for hcom on the loopback endpoint (hcom-bridge-v1 section 4).

Owns when what is published: a device at once when it has new events or its agents changed, else every 45 seconds, for
hcom forgets a device after 90. It never waits; `poll` does what is due.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from hcom_replica.bridge.away import Away
from hcom_replica.bridge.database import HcomDatabase
from hcom_replica.bridge.directory import Directory
from hcom_replica.bridge.endpoint import Endpoint
from hcom_replica.bridge.envelope import seal
from hcom_replica.bridge.handover import Handover, Hcom
from hcom_replica.bridge.ledger import BridgeLog, Network
from hcom_replica.bridge.numbering import Alias, Numbering
from hcom_replica.bridge.roster import Roster
from hcom_replica.bridge.snapshot import Agent, Snapshot, State, encode_snapshot
from hcom_replica.bridge.wishes import ACTIONS
from hcom_replica.core.effects import Now
from hcom_replica.limits import KIB

ANNOUNCE_MS: Final = 45_000
"""Half of the time after which hcom takes a device for gone."""

PACKET_BYTES: Final = 128 * KIB
"""What every hcom takes, while none has said how much it does."""

LOOK_MS: Final = 250
"""How often it is looked who is online and who has changed, while nothing is handed over."""


class Said(NamedTuple):
    """What was published of a device: when it is due again, its state, the newest number among its events."""

    due_ms: int
    state: State | None
    upto: int


_NOTHING: Final = Said(0, None, 0)


class Gateway:
    """Plays the other devices.

    Args:
        log: of the group.
        directory: of its devices.
        numbering: under what hcom knows them.
        roster: their agents.
        handover: what is handed over.
        endpoint: where hcom listens.
        key: 32 bytes, of the private relay group.
        relay_id: the same.
        entropy: gives random bytes.
    """

    def __init__(  # noqa: PLR0913 - put together in one place, from parts that are tested alone
        self,
        log: BridgeLog,
        directory: Directory,
        numbering: Numbering,
        roster: Roster,
        handover: Handover,
        endpoint: Endpoint,
        *,
        key: bytes,
        relay_id: str,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._log = log
        self._directory = directory
        self._numbering = numbering
        self._roster = roster
        self._handover = handover
        self._endpoint = endpoint
        self._key = key
        self._relay_id = relay_id
        self._entropy = entropy
        self._said: dict[bytes, Said] = {}
        self._away = Away(directory)
        self._seen_version = -1
        self._look_ms = 0
        self._refill = False

    def poll(self, database: HcomDatabase, short: str, now: Now, network: Network) -> bool:
        """Do what is due; return whether there is more to do at once.

        Raises:
            BridgeError: hcom's database cannot be read now; nothing is lost.
            StoreError: nothing was changed.
        """
        if self._directory.follow(now.wall_ms):
            return True
        hcom = Hcom(database, short, self._endpoint.packet_bytes_max() or PACKET_BYTES, database.reset_s())
        if self._refill:
            self._handover.refill(hcom, now)
            self._refill = False
        version = database.data_version()
        again: list[bytes] = []
        if version != self._seen_version:
            again = self._handover.confirm(hcom)
            self._seen_version = version
            for device in again:
                self._said.pop(device, None)
        stepped = bool(self._endpoint.listeners()) and self._handover.step(hcom, now)
        if stepped or again or now.mono_ms >= self._look_ms:
            self._look_ms = now.mono_ms + LOOK_MS
            self._announce(hcom, now, network)
        return stepped

    def refill(self) -> None:
        """At the next look, begin to give hcom again whatever it does not have."""
        self._refill = True

    def again(self) -> None:
        """Another database, or another worker of hcom: say everything again."""
        self._said.clear()
        self._seen_version = -1

    # --- announcing ----------------------------------------------------------------------------------------

    def _announce(self, hcom: Hcom, now: Now, network: Network) -> None:
        self._away.look(network)
        devices = {
            *self._directory.others(),
            *(device for device, events in self._handover.under_way.items() if events),
        }
        for device in sorted(devices):
            alias = self._numbering.alias(device, self._directory.name(device), hcom.database, hcom.short)
            state = self._state(alias, device, hcom, self._away.text(device, now))
            events = self._handover.under_way.get(device, [])
            said = self._said.get(device, _NOTHING)
            newest = events[-1].id if events else said.upto
            if now.mono_ms >= said.due_ms or state != said.state or newest > said.upto:
                self._publish(device, alias, Snapshot(state, events), hcom, now)
                self._said[device] = Said(now.mono_ms + ANNOUNCE_MS, state, newest)

    def _state(self, alias: Alias, device: bytes, hcom: Hcom, away: str) -> State:
        agents = self._roster.shown(device, away=away, not_before_s=hcom.reset_s)
        actions = () if device in self._directory.foreigners.peers else ACTIONS
        return State(alias.short, fitting(agents, hcom.state_bytes_max), actions, hcom.packet_bytes_max)

    def _publish(self, device: bytes, alias: Alias, snapshot: Snapshot, hcom: Hcom, now: Now) -> None:
        if self._numbering.move_time(alias, now, hcom.database):
            self._log.shelf.put([self._numbering.kept(device, alias)])
        topic = f"{self._relay_id}/{alias.uuid}"
        self._endpoint.retain(topic, seal(self._key, topic, alias.ts_s, encode_snapshot(snapshot), self._entropy(24)))


def fitting(agents: dict[str, Agent], bytes_max: int) -> dict[str, Agent]:
    """As many of the agents, the newest first, as fit."""
    kept: dict[str, Agent] = {}
    for name, agent in agents.items():
        bytes_max -= len(msgspec.json.encode(agent)) + len(name) + 8
        if bytes_max < 0:
            break
        kept[name] = agent
    return kept
