"""The log of one device: every read and every transaction over it, on any Kv.

Owns the boundaries of transactions (storage-v1 section 5): what is appended or ingested together, and that it is
durable before a method returns (unless the store was opened without sync). Processes use it over `LmdbKv`, the
simulator over `MemoryKv`: the very same code. What an append does not need is imported where it is needed: commands
that append one event are run many times a minute.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from hcom_replica.core.append import Appended, Writer
from hcom_replica.core.continuity import Doubt
from hcom_replica.core.origin import CommitRow, OriginState
from hcom_replica.errors import StoreError
from hcom_replica.ids import EventId, OriginId, event_ids
from hcom_replica.store import cursors, meta, pages, peers
from hcom_replica.store.commits import commit_below, point_at
from hcom_replica.store.continuity import Continuity, Finding
from hcom_replica.store.drafts import check_drafts
from hcom_replica.store.kv import Kv, ReadTxn, WriteTxn
from hcom_replica.store.ledger import Ledger
from hcom_replica.store.schema import Arrival, Meta, PeerNote, Received, StoredEvent
from hcom_replica.store.shelf import Shelf, Shelved, shelve
from hcom_replica.store.writer import append_drafts, open_incarnation
from hcom_replica.wire.event import Draft, Event, decode_event

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from hcom_replica.core.kept import Basis, KeptRoster
    from hcom_replica.core.reader import OwnTip, StoredRun
    from hcom_replica.core.report import IngestReport
    from hcom_replica.core.roster import Roster
    from hcom_replica.core.verify import Run
    from hcom_replica.store.views import StoredRows


class Log:
    """The log in a Kv.

    Args:
        kv: the tables; the caller closes it.
        group: 16 bytes; an empty Kv is set up for it.
        writer: who appends; None for a log that is only read.
        entropy: gives fresh random bytes; a simulation passes its seeded one.
        continuity: what tells that the log is an old one; None trusts it.

    Attributes:
        resumed: why this object began a new incarnation before its first append; empty when it did not.
        shelf: what the bridge keeps beside the log.

    Raises:
        StoreFormat: the Kv has a newer format or belongs to another group; nothing was changed.
    """

    def __init__(
        self,
        kv: Kv,
        group: bytes,
        writer: Writer | None = None,
        *,
        entropy: Callable[[int], bytes] = os.urandom,
        continuity: Continuity | None = None,
    ) -> None:
        self._kv = kv
        self._group = group
        self._writer = writer
        self._entropy = entropy
        self._continuity = continuity
        self.resumed = ""
        self.shelf = Shelf(kv)
        meta.adopt(kv, group)

    # --- writing ---------------------------------------------------------------------------------------

    def append(
        self,
        drafts: Sequence[Draft],
        now_ms: int,
        *,
        cursor: tuple[str, int] | None = None,
        imported: cursors.ImportMark | None = None,
        shelved: Callable[[list[EventId]], Iterable[Shelved]] | None = None,
    ) -> list[EventId]:
        """Append events in one transaction; they are acknowledged, that is durable, when this returns.

        Args:
            drafts: the events; none is allowed, and does nothing but the moves below.
            now_ms: wall clock.
            cursor: (name, arrival): a consumer's cursor to move in the same transaction: its result, exactly once.
            imported: the import to move in the same transaction.
            shelved: given the new ids, says what is put on the shelf in the same transaction.

        Returns:
            One id for each draft.

        Raises:
            LimitError: a draft is over a limit; nothing was appended.
            UsageError: the file is not where the import says, or the cursor's name is not usable; nothing was appended.
            StoreFull: no room; nothing was appended.
            StoreError: no writer, or the storage failed; nothing was appended.
        """
        check_drafts(drafts)
        writer, nonce = self._need_writer(), self._entropy(8)
        ids: list[EventId] = []
        with self._kv.write() as txn:
            if cursor is not None:
                cursors.set_cursor(txn, *cursor)
            if imported is not None:
                cursors.move_import(txn, imported)
            if drafts:
                ledger = Ledger(txn, now_ms)
                self._resume(txn, ledger, now_ms)
                appended = append_drafts(txn, ledger, writer, drafts, now_ms, nonce)
                ledger.close()
                self._note(txn, appended.origin)
                ids = _ids(appended)
            if shelved is not None:
                shelve(txn, shelved(ids))
        return ids

    def redact(self, name: EventId, now_ms: int) -> EventId | None:
        """Take away the body of an event of this device, and append the system event that tells all others to.

        Both are one transaction, durable when this returns.

        Args:
            name: of the event.
            now_ms: wall clock.

        Returns:
            Id of the system event; None when the event had been redacted already, and nothing was changed.

        Raises:
            UsageError: the event is not held, another device has written it, or it is a system event.
            StoreError: as `append`. In either case nothing was changed.
        """
        from hcom_replica.store.redactions import redacting_draft

        writer, nonce = self._need_writer(), self._entropy(8)
        with self._kv.write() as txn:
            draft = redacting_draft(txn, writer, name)
            if draft is None:
                return None
            ledger = Ledger(txn, now_ms)
            appended = append_drafts(txn, ledger, writer, [draft], now_ms, nonce)
            ledger.close()
        return _ids(appended)[0]

    def is_to_redact(self, name: EventId) -> bool:
        """Whether `redact` would change something; raises what it would raise."""
        from hcom_replica.store.redactions import redacting_draft

        writer = self._need_writer()
        with self._kv.read() as txn:
            return redacting_draft(txn, writer, name) is not None

    def ingest(self, runs: Iterable[Run], now_ms: int) -> IngestReport:
        """Store verified runs in one transaction: what is held is left out, forks are kept beside each other.

        Raises:
            StoreError: nothing was stored.
        """
        from hcom_replica.store.ingest import Ingest

        with self._kv.write() as txn:
            ingest = Ingest(txn, self._group, now_ms)
            for run in runs:
                ingest.add(run)
            report = ingest.close(self._writer, self._entropy(8))
            if report.reopened is not None:
                self._note(txn, report.reopened)
            return report

    def open_incarnation(self, reason: str, now_ms: int) -> OriginState:
        """Begin a new origin of this device, durably; return its state. `reason` goes into its hello."""
        writer, nonce = self._need_writer(), self._entropy(8)
        with self._kv.write() as txn:
            ledger = Ledger(txn, now_ms)
            state = open_incarnation(txn, ledger, writer, now_ms, nonce, reason)
            ledger.close()
            self._note(txn, state)
        return state

    def resume(self, now_ms: int) -> None:
        """Begin a new incarnation if this log is an old or a copied one, before anything is said of it (T7.5).

        Raises:
            StoreError: nothing was changed.
        """
        with self._kv.read() as txn:
            if self._doubt(txn) is None:
                return
        with self._kv.write() as writing:
            ledger = Ledger(writing, now_ms)
            self._resume(writing, ledger, now_ms)
            ledger.close()

    def _doubt(self, txn: ReadTxn) -> Doubt | None:
        if self._continuity is None or self._continuity.settled:
            return None
        return self._continuity.examine(txn, self._group)

    def _resume(self, txn: WriteTxn, ledger: Ledger, now_ms: int) -> None:
        """Look again, now that no other process can change anything, and begin a new incarnation in doubt."""
        found = self._doubt(txn)
        if found is not None:
            nonce = self._entropy(8)
            state = open_incarnation(txn, ledger, self._need_writer(), now_ms, nonce, found.reason, found.generation)
            self.resumed = found.reason
            self._note(txn, state)

    def _note(self, txn: WriteTxn, own: OriginState) -> None:
        if self._continuity is not None:
            self._continuity.note(txn, self._group, own)

    def promise(self, now_ms: int) -> OwnTip | None:
        """Promise, durably, that no later event of the own origin is at or before now; None when it has no event.

        Returns:
            The own origin, its newest commit and the promise, of one transaction (T5.4).
        """
        from hcom_replica.store import promises

        with self._kv.write() as txn:
            return promises.promise(txn, now_ms)

    def next_boot(self) -> int:
        """Count a start of the daemon, durably; return its number, from 1."""
        with self._kv.write() as txn:
            return meta.next_boot(txn)

    def note_peers(self, notes: Iterable[PeerNote], roster: KeptRoster | None = None) -> None:
        """Keep the newest slot messages of others, and the roster that was judged last."""
        from hcom_replica.store import promises, rosters

        given = list(notes)
        with self._kv.write() as txn:
            promises.keep(txn, given)
            peers.note(txn, given)
            if roster is not None:
                rosters.keep(txn, roster)

    def set_cursor(self, name: str, arrival: int) -> None:
        """Move a consumer's cursor, after its work is done.

        Raises:
            UsageError: the name is empty or over 128 bytes.
        """
        with self._kv.write() as txn:
            cursors.set_cursor(txn, name, arrival)

    # --- reading: the core -----------------------------------------------------------------------------

    def own_origin(self) -> OriginState | None:
        """The origin this device appends to now; None before its first append."""
        with self._kv.read() as txn:
            return meta.own_origin(txn)

    def origin_state(self, origin: OriginId) -> OriginState | None:
        """What is held of an origin; None when nothing is."""
        with self._kv.read() as txn:
            return meta.read_state(txn, origin)

    def origins(self) -> list[OriginState]:
        """All origins of which something is held, by id."""
        with self._kv.read() as txn:
            return meta.read_states(txn)

    def read_run(self, origin: OriginId, first: int, raw_bytes_max: int) -> StoredRun | None:
        """Whole commits from the kept commit at or below first - 1 on; see `core.reader`."""
        from hcom_replica.store import serve

        with self._kv.read() as txn:
            return serve.read_run(txn, origin, first, raw_bytes_max)

    def read_behind(self, held: OriginState, raw_bytes_max: int) -> StoredRun | None:
        """Whole commits behind an earlier state of an origin; see `core.reader`."""
        from hcom_replica.store import serve

        with self._kv.read() as txn:
            return serve.read_behind(txn, held, raw_bytes_max)

    def tip_at(self, origin: OriginId, seq: int) -> bytes:
        """c[seq] of a held seq, the base included.

        Raises:
            StoreError: it is not held.
        """
        with self._kv.read() as txn:
            state = meta.read_state(txn, origin)
            if state is None or not state.base <= seq <= state.seq:
                raise StoreError(f"{origin.hex()}:{seq} is not held")
            return point_at(txn, state, seq).tip

    def commit_at_or_below(self, origin: OriginId, seq: int) -> CommitRow | None:
        """The kept commit with the highest seq that is at most `seq`; None when there is none above the base."""
        with self._kv.read() as txn:
            state = meta.read_state(txn, origin)
            return None if state is None else commit_below(txn, state, seq)

    def system_events(self) -> list[tuple[OriginId, int, Event]]:
        """(origin, seq, event) of all system events held, in unified order."""
        with self._kv.read() as txn:
            return [(row.origin, row.seq, decode_event(row.record)) for row in pages.system_events(txn)]

    def promises(self) -> dict[OriginId, int]:
        """Origin -> nothing of it behind what is held has an hlc at or below that; the own one included."""
        from hcom_replica.store import promises

        with self._kv.read() as txn:
            return promises.promises(txn)

    def kept_roster(self, basis: Basis) -> Roster | None:
        """The roster that is kept as judged from exactly that; None when there is none."""
        from hcom_replica.store import rosters

        with self._kv.read() as txn:
            return rosters.find(txn, basis)

    def redaction_count(self) -> int:
        """How many redactions are known; never less than before."""
        from hcom_replica.store.redactions import redaction_count

        with self._kv.read() as txn:
            return redaction_count(txn)

    def redacted_places(self) -> set[tuple[OriginId, int]]:
        """(origin that is not derived, seq) of all redactions known, whether their events are held or not."""
        from hcom_replica.store.redactions import redacted_places

        with self._kv.read() as txn:
            return redacted_places(txn)

    # --- reading: people and consumers -----------------------------------------------------------------

    def events(
        self, *, start: bytes = b"", stop: bytes | None = None, reverse: bool = False, page: int = pages.PAGE_EVENTS
    ) -> Iterator[StoredEvent]:
        """Yield events in canonical order, those with start <= key < stop; `ids.order_key` makes such keys."""
        return pages.events(self._kv, start=start, stop=stop, reverse=reverse, page=page)

    def events_at(self, places: Sequence[bytes]) -> Iterator[StoredEvent]:
        """Yield the events at some places, 16 bytes each, in that order."""
        return pages.events_at(self._kv, places)

    def event(self, name: EventId) -> StoredEvent | None:
        """One event; None when it is not held."""
        with self._kv.read() as txn:
            return pages.event(txn, name)

    def arrivals(self, after: int, limit: int = pages.PAGE_EVENTS) -> list[Arrival]:
        """Up to `limit` events in the order in which they were stored here, those with a number above `after`."""
        from hcom_replica.store import arrivals

        with self._kv.read() as txn:
            return arrivals.arrivals(txn, after, limit)

    def received(self) -> Iterator[Received]:
        """Yield how all events came here, in order of arrival, without the events."""
        from hcom_replica.store import arrivals

        return arrivals.received_all(self._kv)

    def last_arrival(self) -> int:
        """The newest arrival number; 0 when nothing is held."""
        return self._number(Meta.ARRIVAL)

    def event_count(self) -> int:
        """Events held, system events left out."""
        return self._number(Meta.EVENTS)

    def high_water(self) -> int:
        """The HLC high water."""
        return self._number(Meta.HIGH_WATER)

    def cursor(self, name: str) -> int:
        """The last arrival that a consumer has consumed; 0 before its first."""
        with self._kv.read() as txn:
            return cursors.cursor(txn, name)

    def cursors(self) -> dict[str, int]:
        """All cursors, by name."""
        with self._kv.read() as txn:
            return cursors.cursors(txn)

    def lines_imported(self, content: bytes) -> int:
        """How many lines of the file with this 32-byte hash were imported; 0 when it is unknown."""
        with self._kv.read() as txn:
            return cursors.lines_done(txn, content)

    def peers(self) -> list[PeerNote]:
        """The newest slot messages of others."""
        with self._kv.read() as txn:
            return peers.noted(txn)

    def views(self, progress: Callable[[int, int], None] | None = None) -> AbstractContextManager[StoredRows]:
        """Bring the views up to date, and open one state of all of them for reading.

        Args:
            progress: told how many arrivals of how many are folded.

        Raises:
            StoreError: they cannot be brought up to date.
        """
        from hcom_replica.store.views import open_views

        return open_views(self._kv, progress)

    # --- the storage below -----------------------------------------------------------------------------

    @property
    def durable(self) -> bool:
        """Whether what a method has written is on disk when it returns."""
        return self._kv.durable

    def last_txn(self) -> int:
        """A number that grows with each transaction of any process."""
        return self._kv.last_txn()

    def continuity(self) -> Finding | None:
        """What home and marker say of this log; None for one that is trusted."""
        if self._continuity is None:
            return None
        with self._kv.read() as txn:
            return self._continuity.finding(txn, self._group)

    def replaced(self) -> bool:
        """Whether the file that is open here is not the one of its folder any more (T7.8)."""
        return self._continuity is not None and self._continuity.moved()

    def sync_now(self) -> None:
        """Force everything to disk, for a log that is not `durable`."""
        self._kv.sync_now()

    def check_readers(self) -> int:
        """Clear what readers that died have left (T5.7)."""
        return self._kv.check_readers()

    def _number(self, name: Meta) -> int:
        with self._kv.read() as txn:
            return meta.read_number(txn, name)

    def _need_writer(self) -> Writer:
        if self._writer is None:
            raise StoreError("this log was opened for reading only")
        return self._writer


def _ids(appended: Appended) -> list[EventId]:
    first = appended.first + appended.drafts_at
    return event_ids(appended.origin.id, first, appended.origin.seq)
