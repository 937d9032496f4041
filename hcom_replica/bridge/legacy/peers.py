"""What machines that run only hcom have done: from their snapshots to the log, each event once (B8.4, B8.5, B8.10).

Owns what is known of each: its name, its agents, which ids were looked at. An event, and that it was taken, are written
in one transaction; what a snapshot says twice, or another carrier has written, is known by (UUID, id, timestamp).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from hcom_replica.bridge.database import Row
from hcom_replica.bridge.foreigners import PEERS_MAX, Told, peer_device
from hcom_replica.bridge.intervals import Intervals
from hcom_replica.bridge.ledger import PEER_KIND, BridgeLog, Key, Shelved, event_bytes, event_of, u64
from hcom_replica.bridge.legacy.names import Known, Names
from hcom_replica.bridge.legacy.peer_rows import (
    Rows,
    Waiting,
    event_hash,
    event_key,
    event_range,
    is_usual,
    is_uuid,
    stable_hash,
)
from hcom_replica.bridge.roster import AGENTS_MAX
from hcom_replica.bridge.rows import Mark, agent_draft, body_of, mark_of, marked_draft
from hcom_replica.bridge.snapshot import Agent, HcomEvent, Snapshot, State
from hcom_replica.core.effects import Now
from hcom_replica.ids import EventId
from hcom_replica.wire.event import Draft, Event

GONE_MS: Final = 120_000
"""Silence after which a peer counts as gone; hcom's own limit is 90 seconds."""

PACKET_OLD: Final = 128 * 1024
"""What a peer takes that does not say how much."""

STUCK_MS: Final = 15_000
"""How long new events of a peer wait for older ones of which nothing comes."""

WAIT_MS: Final = 60_000
"""How long they wait at all: today is not to come after a long history."""

WAITING_MAX: Final = 64
"""Snapshots that wait, of one peer."""

_LETTERS: Final = re.compile(r"[A-Z0-9]{2,12}")
_DB_BYTES: Final = 4

_pack = msgspec.msgpack.encode


class Peers:
    """Takes what peers say.

    Args:
        log: where it goes.
        group: what the log calls theirs, 16 hex digits.
        names: see there.
        entropy: gives random bytes.

    Attributes:
        by_device: what is known of each, by `peer_device`.
    """

    def __init__(
        self,
        log: BridgeLog,
        group: str,
        names: Names,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._log = log
        self._group = group
        self._names = names
        self._entropy = entropy
        self._heard_ms: dict[bytes, int] = {}
        self._waiting: dict[bytes, Waiting] = {}
        self._last: dict[bytes, set[tuple[int, str]]] = {}
        self.by_device = {
            key[1:]: msgspec.msgpack.decode(value, type=Known)
            for key, value in log.shelf.page(*Key.PEER_STATE.all(), PEERS_MAX)
        }

    def letters(self) -> set[str]:
        """Letters that peers have."""
        return {known.short for known in self.by_device.values() if known.short}

    def packet_bytes_max(self) -> int:
        """What every peer that is there takes."""
        return min((known.packet_bytes for known in self.by_device.values() if known.here), default=PACKET_OLD)

    def is_live(self, device: bytes, now_ms: int, within_ms: int) -> bool:
        """Whether something of a peer was heard lately."""
        return device in self._heard_ms and now_ms - self._heard_ms[device] <= within_ms

    # --- what comes ----------------------------------------------------------------------------------------

    def take(self, uuid: str, snapshot: Snapshot, ts_s: int, now: Now, *, live: bool) -> bytes | None:
        """Take a snapshot; return whose it is, None when it is not taken.

        Raises:
            StoreError: nothing was changed; make a new object.
        """
        device = peer_device(uuid)
        known = self.by_device.get(device)
        if snapshot.state is None:
            if known is not None and known.here and ts_s >= known.ts_s:
                self._gone(device, known, now)
            return None
        if known is None and (not is_uuid(uuid) or len(self.by_device) >= PEERS_MAX):
            return None
        short = snapshot.state.short_id.upper()
        if not _LETTERS.fullmatch(short):
            return None
        ids = [event.id for event in snapshot.events]
        known = known or Known(uuid, "", "", history=max(ids, default=0))
        drafts = self._met(known, short, snapshot.state, live=live)
        if live:
            self._heard_ms[device] = now.mono_ms
        if ts_s >= known.ts_s:
            drafts += self._agents(known, snapshot.state.instances)
            known.ts_s = ts_s
        self._renew(known, snapshot.state.reset_ts)
        fresh = self._fresh(device, snapshot.events)
        rows = Rows(fresh, min(ids) - 1, max(ids)) if ids else Rows([], 0, 0)
        self.by_device[device] = known
        if rows.after > Intervals(known.seen).last:
            self._waiting.setdefault(device, Waiting([], now.mono_ms, now.mono_ms)).rows.append(rows)
            rows = Rows([], 0, 0)
        self._write(device, known, drafts, rows, now)
        return device

    def answered(self, device: bytes, rows: Rows, now: Now) -> None:
        """Take what a peer has answered.

        Raises:
            StoreError: nothing was changed; make a new object.
        """
        known = self.by_device[device]
        self._write(device, known, [], rows, now)
        waiting = self._waiting.get(device)
        if waiting is not None:
            self._waiting[device] = waiting._replace(moved_ms=now.mono_ms)
            if waiting.rows[0].after <= Intervals(known.seen).last:
                self._release(device, now)

    def _release(self, device: bytes, now: Now) -> None:
        """What has waited for older events is taken."""
        for rows in self._waiting.pop(device).rows:
            self._write(device, self.by_device[device], [], rows, now)

    def tick(self, now: Now) -> None:
        """Who was silent for too long is gone; what has waited for too long is taken."""
        for device, waiting in list(self._waiting.items()):
            stuck = now.mono_ms - waiting.moved_ms > STUCK_MS or now.mono_ms - waiting.since_ms > WAIT_MS
            if stuck or len(waiting.rows) > WAITING_MAX:
                self._release(device, now)
        for device, known in self.by_device.items():
            if known.here and not self.is_live(device, now.mono_ms, GONE_MS):
                self._gone(device, known, now)

    def connected(self, now_ms: int) -> None:
        """Silence is counted from now on."""
        self._heard_ms = {device: now_ms for device, known in self.by_device.items() if known.here}

    def hole(self, device: bytes) -> tuple[int, int] | None:
        """(after, upto): ids that were not looked at, below some that were: first those for which others wait."""
        seen = Intervals(self.by_device[device].seen)
        if device in self._waiting:
            return self.anchor(device, seen.last), self._waiting[device].rows[0].after
        after = seen.reach(0)
        upto = seen.next_low(after)
        return None if upto is None else (after, upto)

    def anchor(self, device: bytes, upto: int) -> int:
        """The id before that of the newest row, up to an id, that is in the log; the id itself where there is none.

        Asked for again, that row tells whether the peer's database is still the one that it was.
        """
        found = self._log.shelf.page(*event_range(device, upto), 1, reverse=True)
        return int.from_bytes(found[0][0][9:17], "big") - 1 if found else upto

    def begin_again(self, device: bytes) -> None:
        """The peer has not the rows any more that it had: all is asked for again."""
        self._begin_life(self.by_device[device])

    def _fresh(self, device: bytes, events: Sequence[HcomEvent]) -> list[HcomEvent]:
        """Those that the snapshot before did not have: most of each is said again every few seconds."""
        before = self._last.get(device, set())
        self._last[device] = {(event.id, event.ts) for event in events}
        return [event for event in events if (event.id, event.ts) not in before]

    # --- what is told of it --------------------------------------------------------------------------------

    def _met(self, known: Known, short: str, state: State, *, live: bool) -> list[Draft]:
        known.packet_bytes = max(PACKET_OLD // 8, state.max_packet or PACKET_OLD)
        name = self._names.of_peer(short)
        here = known.here or live
        if (known.short, known.name, known.here) == (short, name, here):
            return []
        known.short, known.name, known.here = short, name, here
        return [self._told(known)]

    def _told(self, known: Known) -> Draft:
        told = Told(known.uuid, known.name, self._group, known.here)
        return Draft(PEER_KIND, None, None, msgspec.json.encode(told))

    def _gone(self, device: bytes, known: Known, now: Now) -> None:
        known.here = False
        self._heard_ms.pop(device, None)
        self._write(device, known, [self._told(known)], Rows([], 0, 0), now)

    def _agents(self, known: Known, instances: dict[str, Agent]) -> list[Draft]:
        usual = [name for name in instances if name and ":" not in name and name[0] != "_"]
        shown = {name: stable_hash(instances[name]) for name in usual[:AGENTS_MAX]}
        changed = [name for name, stable in shown.items() if known.agents.get(name) != stable]
        drafts = [agent_draft(f"{name}:{known.name}", instances[name], known.uuid) for name in changed]
        drafts += [agent_draft(f"{name}:{known.name}", None, known.uuid) for name in known.agents if name not in shown]
        known.agents = shown
        return drafts

    def _renew(self, known: Known, reset_ts: float) -> None:
        """A database that was reset begins with other rows under the same ids."""
        if reset_ts > known.reset_ts or not known.db:
            if known.db:
                self._begin_life(known)
            known.db = known.db or self._entropy(_DB_BYTES).hex()
            known.reset_ts = reset_ts

    def _begin_life(self, known: Known) -> None:
        """The peer's database is another one: its ids say nothing of those before."""
        known.db, known.seen, known.history = self._entropy(_DB_BYTES).hex(), Intervals().encode(), 0

    # --- events --------------------------------------------------------------------------------------------

    def _write(self, device: bytes, known: Known, drafts: list[Draft], rows: Rows, now: Now) -> None:
        taken: list[bytes] = []
        made: list[Draft] = []
        after = rows.after
        for event in rows.events:
            if not is_usual(event) or self._is_taken(device, known, event):
                continue
            key = event_key(device, event.id, event.ts)
            if key not in taken:
                taken.append(key)
                made.append(self._draft(known, device, event, min(after, event.id - 1)))
                after = event.id
        seen = Intervals(known.seen)
        seen.add(rows.after, rows.upto)
        before, known.seen = known.seen, seen.encode()
        if not drafts and not made and known.seen == before:
            return

        def notes(ids: list[EventId]) -> Iterable[Shelved]:
            for key, name in zip(taken, ids[len(drafts) :], strict=True):
                yield key, event_bytes(name)
            yield Key.PEER_STATE.of(device), _pack(known)

        self._log.append([*drafts, *made], now.wall_ms, shelved=notes)  # whoever it is, is told of first

    def _is_taken(self, device: bytes, known: Known, event: HcomEvent) -> bool:
        """Whether it is in the log; an id that was of another time is of another life of the peer's database."""
        prefix = Key.PEER_EVENT.of(device, u64(event.id))
        found = self._log.shelf.page(prefix, prefix + b"\xff" * 9)
        if any(key == event_key(device, event.id, event.ts) for key, _ in found):
            return True
        if found and event.id in Intervals(known.seen):
            self._begin_life(known)
        return False

    def _draft(self, known: Known, device: bytes, event: HcomEvent, after: int) -> Draft:
        data = body_of(bytes(event.data).decode("utf-8", "replace"))
        for field in ("mentions", "delivered_to"):
            if isinstance(data.get(field), list):
                data[field] = [self._names.ours(one) if isinstance(one, str) else one for one in data[field]]
        answered = self._answers(device, data)
        instance = f"{event.instance}:{known.name}" if event.instance else ""
        row = Row(event.id, event.ts, event.type, instance, bytes(event.data).decode("utf-8", "replace"))
        hashed = event_hash(device, event.id, event.ts).hex()
        mark = Mark(known.db, event.id, after, hashed, peer=known.uuid, old=event.id <= known.history)
        return marked_draft(row, mark, data, answered)

    def _answers(self, device: bytes, data: dict[str, Any]) -> str | None:
        """Our id of the event that a message answers; None when it answers none that is known."""
        stated = data.get("reply_to")
        if not isinstance(stated, str):
            return None
        number, _, short = stated.partition(":")
        if not number.isdecimal() or len(number) > 18:
            return None
        found = self._names.own_event(short, int(number)) if short else None
        if found is None:
            by = next((key for key, known in self.by_device.items() if known.short == short), device)
            found = self.event_at(by, int(number))
        return None if found is None else str(found)

    def event_at(self, device: bytes, number: int) -> EventId | None:
        """The event that a row of a peer became, the newest where an id was used again."""
        prefix = Key.PEER_EVENT.of(device, u64(number))
        found = self._log.shelf.page(prefix, prefix + b"\xff" * 9)
        return event_of(found[-1][1]) if found else None

    # --- what is in the log already ------------------------------------------------------------------------

    def known_row(self, event: Event, name: EventId, *, own: bool) -> Iterable[Shelved]:
        """An event of the log is of a peer of this group: what is to be kept of that.

        Args:
            event: itself.
            name: its id.
            own: this device has taken it; else another carrier, and what that has looked at counts here, too.
        """
        mark = mark_of(event.body)
        if mark is None or mark.peer is None:
            return
        device = peer_device(mark.peer)
        yield Key.PEER_EVENT.of(device, u64(mark.id), bytes.fromhex(mark.hash)), event_bytes(name)
        if not own:
            known = self.by_device.setdefault(device, Known(mark.peer, "", ""))
            seen = Intervals(known.seen if known.db == mark.db else None)
            seen.add(mark.after, mark.id)
            known.db, known.seen, known.history = mark.db, seen.encode(), 0
            yield Key.PEER_STATE.of(device), _pack(known)
