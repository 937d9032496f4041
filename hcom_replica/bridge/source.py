"""From hcom's database to the log: every event of this device's agents, once, in order (hcom-bridge-v1 section 2).

Owns where reading goes on. That place is derived from the events themselves: it is written in the transaction that
appends them, and what comes back from other devices after this folder was restored counts as taken. A database that was
reset, replaced or restored is told by the rows that are in the log already: reading goes on behind the last that both
have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from hcom_replica.bridge.agents import LocalAgents, Told
from hcom_replica.bridge.database import HcomDatabase, Row
from hcom_replica.bridge.directory import Directory
from hcom_replica.bridge.intervals import Intervals
from hcom_replica.bridge.ledger import BridgeLog, Key, Network, Shelved, event_bytes, event_of, u64
from hcom_replica.bridge.rows import body_of, draft_of, mark_of
from hcom_replica.core.effects import Now, Trace
from hcom_replica.ids import EventId
from hcom_replica.wire.event import Draft, decode_event

ROWS_MAX: Final = 256
"""Rows in one transaction: as many events as one commit covers."""

HOLD_MS: Final = 15_000
"""How long reading waits, in a folder that was restored, for what other devices have of it."""

_DB_BYTES: Final = 4


class Place(msgspec.Struct):
    """Where reading goes on.

    Attributes:
        line: (8 hex digits of a life of the database, id behind which its rows begin), oldest first: rows up to there
            are those of the life before.
        back: arrival number up to which the log was searched for own events that came back.
        searched: the whole log was searched once: from then on this origin's events are known without.
    """

    line: list[tuple[str, int]] = []
    back: int = 0
    searched: bool = False


_pack = msgspec.msgpack.encode


class Source:
    """Reads one database.

    Args:
        log: where events go.
        directory: of its devices.
        path: of hcom.db.
        entropy: gives random bytes.
        trace: is given what is worth a line in the log.

    Attributes:
        database: open; None while it cannot be.
        agents: of this device.
    """

    def __init__(
        self,
        log: BridgeLog,
        directory: Directory,
        path: Path,
        entropy: Callable[[int], bytes],
        trace: Callable[[Trace], None],
    ) -> None:
        self.database: HcomDatabase | None = None
        self._log = log
        self._directory = directory
        self._path = path
        self._entropy = entropy
        self._trace = trace
        self._seen_version = -1
        self._held_since_ms: int | None = None
        stored = log.shelf.get(Key.SOURCE.of())
        self._place = msgspec.msgpack.decode(stored, type=Place) if stored else Place()
        self._taken = Intervals()
        self.agents = LocalAgents(log.shelf)

    # --- the look ------------------------------------------------------------------------------------------

    def look(self, now: Now, network: Network) -> bool:
        """Take what is new; never waits.

        Returns:
            Whether it is to look again at once: there is more, or something was taken.

        Raises:
            BridgeError: the database cannot be read now; nothing is lost.
            StoreError: nothing was appended.
        """
        database = self._opened()
        if self._search_back(database):
            return True
        if self._must_wait(now, network):
            return False
        if database.replaced():
            more = self._take(database, now, network)
            if not more:  # whatever was written to the old file is read by now, the file itself being open here
                self.close()
            return True
        version = database.data_version()
        if version == self._seen_version:
            return False
        self._check_line(database)
        more = self._take(database, now, network)
        self._seen_version = -1 if more else version
        return more

    def close(self) -> None:
        """Give the database back."""
        if self.database is not None:
            self.database.close()
            self.database = None
            self._seen_version = -1

    def event_of_row(self, row: int) -> EventId | None:
        """The event that a row of this device became."""
        found = self._note(row)
        return None if found is None else event_of(found[8:])

    def row_of(self, body: bytes) -> int | None:
        """The row, in the database as it is now, that an event of this device was."""
        mark = mark_of(body)
        return mark.id if mark is not None and self._life_of(mark.id) == mark.db else None

    # --- where to go on ------------------------------------------------------------------------------------

    def _opened(self) -> HcomDatabase:
        if self.database is None:
            self.database = HcomDatabase(self._path)
            if not self._place.line:
                self._begin_life(0)
            self._load_taken()
        return self.database

    def _load_taken(self) -> None:
        life, _ = self._place.line[-1]
        self._taken = Intervals(self._log.shelf.get(Key.OWN.of(bytes.fromhex(life))))

    def _begin_life(self, behind: int) -> None:
        """A database that was not seen before goes on behind a row of the one before it."""
        kept = [(life, begins) for life, begins in self._place.line if begins < behind]
        life = self._entropy(_DB_BYTES).hex()
        self._place = Place([*kept, (life, behind)], self._place.back, self._place.searched)
        self._log.shelf.put([(Key.SOURCE.of(), _pack(self._place))])
        self._taken = Intervals()

    def _life_of(self, row: int) -> str | None:
        return next((life for life, begins in reversed(self._place.line) if begins < row), None)

    def _note(self, row: int) -> bytes | None:
        """Hash 8, event 16 of a row that was taken."""
        life = self._life_of(row)
        return None if life is None else self._log.shelf.get(Key.ROW.of(bytes.fromhex(life), u64(row)))

    def _note_at_or_below(self, row: int) -> tuple[int, bytes] | None:
        """The newest row up to `row` that was taken: its id and its hash."""
        for life, begins in reversed(self._place.line):
            if begins < row:
                db = bytes.fromhex(life)
                found = self._log.shelf.page(Key.ROW.of(db, u64(begins)), Key.ROW.of(db, u64(row + 1)), 1, reverse=True)
                if found:
                    key, value = found[0]
                    return int.from_bytes(key[-8:], "big"), value[:8]
                row = begins
        return None

    def _check_line(self, database: HcomDatabase) -> None:
        """Begin a new life of the database where it is not the one that was read before."""
        newest = self._note_at_or_below((1 << 63) - 1)
        if newest is None or _is(database.row(newest[0]), newest[1]):
            return
        low, high = 0, newest[0] - 1  # rows up to `low` are equal, those above `high` are not
        while low < high:
            middle = (low + high + 1) // 2
            found = self._note_at_or_below(middle)
            if found is None or found[0] <= low or _is(database.row(found[0]), found[1]):
                low = middle
            else:
                high = found[0] - 1
        equal = self._note_at_or_below(low)
        self._begin_life(equal[0] if equal is not None else 0)
        self._trace(
            Trace("hcom database replaced", (("file", str(self._path)), ("same_up_to_row", equal[0] if equal else 0)))
        )

    def _search_back(self, database: HcomDatabase) -> bool:
        """Count own events that came from elsewhere as taken; tell whether there is more to search.

        From other devices, after this folder was restored; or, when this log is new, from the log before it.
        """
        page = self._log.arrivals(self._place.back)
        own = self._log.own_origin()
        notes: list[Shelved] = []
        for arrived in page:
            event = arrived.event
            known = self._place.searched and own is not None and event.origin == own.id
            if not known and self._directory.device(event.origin) == self._directory.own:
                body = decode_event(event.record).body
                notes += self._came_back(EventId(event.origin, event.seq), body, database)
            self._place.back = arrived.number
        more = self._place.back < self._log.last_arrival()
        if notes or not (more or self._place.searched):
            self._place.searched = self._place.searched or not more
            self._log.shelf.put([*notes, (Key.SOURCE.of(), _pack(self._place))])
        return more

    def _came_back(self, name: EventId, body: bytes, database: HcomDatabase) -> Iterable[Shelved]:
        """An event of an own row; one of a row that is another one here was written by a copy of this machine."""
        mark = mark_of(body)
        life = None if mark is None else self._life_of(mark.id)
        if mark is None or life is None or not _is(database.row(mark.id), bytes.fromhex(mark.hash)):
            return
        db = bytes.fromhex(life)
        yield Key.ROW.of(db, u64(mark.id)), bytes.fromhex(mark.hash) + event_bytes(name)
        if life == self._place.line[-1][0]:
            self._taken.add(mark.after, mark.id)
            yield Key.OWN.of(db), self._taken.encode()

    def _must_wait(self, now: Now, network: Network) -> bool:
        """In a folder that was restored, what others have of it comes first, for a while."""
        if not self._log.resumed:
            return False
        if self._held_since_ms is None:
            self._held_since_ms = now.mono_ms
        waited_ms = now.mono_ms - self._held_since_ms
        return waited_ms < HOLD_MS and not (network.settled() and not network.behind())

    # --- taking --------------------------------------------------------------------------------------------

    def _take(self, database: HcomDatabase, now: Now, network: Network) -> bool:
        life, begins = self._place.line[-1]
        after = self._taken.reach(begins)
        rows, looked_at = database.own_rows(after, ROWS_MAX)
        drafts: list[Draft] = []
        taken: list[Row] = []
        last = after
        for row in rows:
            if row.id not in self._taken:
                drafts.append(draft_of(row, life, last, self._answered(row, database)))
                taken.append(row)
            last = row.id
        told = self.agents.news(database, network)
        more = len(rows) == ROWS_MAX
        if drafts or told:
            self._append(life, taken, [*drafts, *(one.draft for one in told)], told, now)
        self._taken.add(after, looked_at)
        return more or bool(drafts or told)  # what was taken is on its way to the others before anything else is done

    def _append(
        self,
        life: str,
        taken: list[Row],
        drafts: list[Draft],
        told: list[Told],
        now: Now,
    ) -> None:
        db = bytes.fromhex(life)
        reached = Intervals(self._taken.encode())
        for row, draft in zip(taken, drafts, strict=False):
            mark = mark_of(draft.body)
            reached.add(mark.after if mark is not None else row.id - 1, row.id)

        def notes(ids: list[EventId]) -> Iterable[Shelved]:
            for row, name in zip(taken, ids, strict=False):
                yield Key.ROW.of(db, u64(row.id)), row.hash + event_bytes(name)
            yield Key.OWN.of(db), reached.encode()
            yield from self.agents.kept(told)

        self._log.append(drafts, now.wall_ms, shelved=notes)
        self._taken = reached
        self.agents.tell(told)

    def _answered(self, row: Row, database: HcomDatabase) -> str | None:
        """Our id of the event that a message answers; None when it answers none that is known."""
        if '"reply_to' not in row.data:
            return None
        local = body_of(row.data).get("reply_to_local")
        if not isinstance(local, int) or not 0 < local < 1 << 63:
            return None
        own = self.event_of_row(local)
        if own is not None:
            return str(own)
        answered = database.row(local)
        ours = body_of(answered.data).get("_replica") if answered is not None else None
        found = ours.get("id") if isinstance(ours, dict) else None
        return found if isinstance(found, str) else None


def _is(row: Row | None, hashed: bytes) -> bool:
    return row is not None and row.hash == hashed
