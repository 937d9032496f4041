"""`Replica`: one data folder, open for appending and reading.

Owns the order in which a folder is opened (lock, settings, keys, log), and that an append returns only when it is on
disk. Never waits for a daemon or a network: a running daemon is told that something was appended, and that is all.
"""

from __future__ import annotations

import os
import time as clock
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from hcom_replica.api.appending import Item, append_drafts, claimed, draft, draft_of, wall_ms
from hcom_replica.api.body import from_object
from hcom_replica.api.control import Control, FlushReport, WaitReport, wake
from hcom_replica.api.event import Event
from hcom_replica.api.filters import Filter, Many, Query, query_of, several
from hcom_replica.api.names import Names
from hcom_replica.api.opening import Parts, open_parts
from hcom_replica.api.reading import Reader
from hcom_replica.core.append import FIRST
from hcom_replica.core.hello import NAME, Rename, system_draft
from hcom_replica.errors import UsageError
from hcom_replica.folder.paths import Folder, find_folder
from hcom_replica.ids import EventId, parse_event_id

if TYPE_CHECKING:
    from hcom_replica.api.replaying import Pace
    from hcom_replica.api.stable import Stable, StableFrontier, StablePlace, StableStream
    from hcom_replica.core.status import Status

Order = Literal["canonical", "arrival"]
_APPEND_MANY: int = 4_096


class Replica:
    """One device's copy of its group's log. A context manager; use `Replica.open`.

    Several processes may use one folder at once; one object belongs to one thread.

    Attributes:
        folder: the paths in the data folder.
        config: its settings.
        control: syncing: the daemon of this folder.
        damaged: events that were to be read and cannot be any more; all others were read. `audit` tells more.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.folder = parts.folder
        self.config = parts.config
        self.log = parts.log
        self.control = Control(parts)
        self.damaged: dict[EventId, None] = {}
        self._names: Names | None = None
        self._stable: StableStream | None = None

    @classmethod
    def open(
        cls,
        dir: str | os.PathLike[str] | None = None,  # noqa: A002 - the word of the command line
        *,
        name: str | None = None,
        sync: bool | None = None,
        create: bool = True,
    ) -> Self:
        """Open a data folder.

        Args:
            dir: the folder; None is $HCOM_REPLICA_DIR, else $HCOM_DIR/replica, else ~/.hcom-replica.
            name: name of this device, kept in config.toml; None leaves it as it is.
            sync: acknowledge appends only when the disk has them; None is what config.toml says, which is yes.
            create: make the folder, its device key and a group of its own when they are missing.

        Raises:
            ConfigError: the folder, config.toml or a key is not usable, or missing and not to be made.
            StoreError: the log cannot be opened.
        """
        place = find_folder(dir, os.environ)
        return cls(open_parts(Folder(place.path), name=name, sync=sync, create=create))

    @classmethod
    def in_folder(cls, folder: Folder) -> Self:
        """Open a folder whose place is known; as `open` otherwise."""
        return cls(open_parts(folder))

    def close(self) -> None:
        """Give everything back. Idempotent."""
        self.parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- who we are ------------------------------------------------------------------------------------

    @property
    def names(self) -> Names:
        """Names of all devices known here."""
        if self._names is None:
            self._names = Names(self.log, self.parts.device.public)
        return self._names

    @property
    def device(self) -> str:
        """This device's name, as it is shown."""
        shown = self.names.own_name
        return shown if self.names.own_stated else self.parts.name

    @property
    def group(self) -> str:
        """The group's id, 32 hex digits."""
        return self.parts.token.keys.group.hex()

    def introduce(self) -> None:
        """Make sure the log says who this device is: its first event, or a changed name, is appended."""
        now_ms = wall_ms()
        if self.log.own_origin() is None:
            self.log.open_incarnation(FIRST, now_ms)
        elif self.names.own_stated != self.parts.name:
            self.log.append([system_draft(NAME, Rename(self.parts.name))], now_ms)
        else:
            return
        self.names.refresh()

    # --- writing ---------------------------------------------------------------------------------------

    def append(self, kind: str, data: Any = None, agent: str | None = None, time: str | int | None = None) -> EventId:
        """Append one event; it is on disk when this returns.

        Args:
            kind: what it is, 1 to 64 bytes; not beginning with `_`.
            data: anything that has a JSON form.
            agent: who did it on this device, up to 256 bytes.
            time: when it happened, if that is not now: ISO 8601, or microseconds since 1970.

        Raises:
            UsageError: an argument is not usable; nothing was appended.
            StoreFull: no room on the disk; nothing was appended.
        """
        return append_drafts(self.parts, [draft(kind, from_object(data), agent, claimed(time))])[0]

    def append_many(self, items: Iterable[Item | tuple[Any, ...] | dict[str, Any]]) -> list[EventId]:
        """Append many events, thousands to a transaction; faster than one by one by far.

        Args:
            items: each what `append` takes: an `Item`, a tuple in its order, or a dict of its fields.

        Raises:
            UsageError: an item is not usable; the transactions before its own stand.
        """
        ids: list[EventId] = []
        drafts = (draft_of(item) for item in items)
        while page := list(islice(drafts, _APPEND_MANY)):
            ids += append_drafts(self.parts, page)
        return ids

    def redact(self, event: EventId | str) -> EventId | None:
        """Take the body of an event of this device away, here and, as they sync, on all devices; for good.

        Kind, agent, time and place stay, and so does every signature. What was read before cannot be unread.

        Args:
            event: its id.

        Returns:
            Id of the system event that says so; None when it was redacted already.

        Raises:
            UsageError: not an id, not held here, not written by this device, or a system event; nothing was changed.
            StoreError: nothing was changed.
        """
        said = self.log.redact(parse_event_id(event) if isinstance(event, str) else event, wall_ms())
        wake(self.folder)
        return said

    # --- reading ---------------------------------------------------------------------------------------

    def events(  # noqa: PLR0913 - one argument a filter
        self,
        *,
        kind: Many = None,
        agent: Many = None,
        device: Many = None,
        since: str | None = None,
        until: str | None = None,
        claimed_since: str | None = None,
        claimed_until: str | None = None,
        grep: str | None = None,
        where: str | None = None,
        system: bool = False,
        as_of: str | None = None,
        order: Order = "canonical",
        limit: int | None = None,
    ) -> Iterator[Event]:
        """Yield the events that pass all filters, oldest first.

        Args:
            kind: one, or any of several.
            agent: `luna`, or `luna:BOXE` on one device; or several.
            device: a device's name, or an origin's id; or several.
            since: of the hlc, included: ISO time, span before now like `10m`, or an event's id.
            until: the same, for the end.
            claimed_since: the same, of the time an event shows; no event id.
            claimed_until: the same, for the end.
            grep: text in the kind, the agent or the body.
            where: an expression like `data.status == "blocked"`.
            system: also system events.
            as_of: only what this device had received by then, by its own clock: ISO time, span before now; or an
                event's id: what had arrived before that did. Names are those of now.
            order: canonical, the same on every device; or in order of arrival here.
            limit: only the newest so many in that order.

        Raises:
            UsageError: a filter cannot be read.
        """
        query = Query(
            several(kind),
            several(agent),
            several(device),
            since,
            until,
            claimed_since,
            claimed_until,
            grep,
            where,
            system,
        )
        return self.find(query, order=order, newest=limit, as_of=as_of)

    def find(
        self, query: Query, *, order: Order = "canonical", newest: int | None = None, as_of: str | None = None
    ) -> Iterator[Event]:
        """Yield what a query asks for; see `events`."""
        reader, accept = Reader(self.log, self.names, self.note_damaged), self._filter(query)
        if as_of is not None:
            if order != "canonical":
                raise UsageError("what had arrived by a moment is shown in canonical order only")
            return reader.as_of(as_of, wall_ms(), accept, newest)
        return reader.canonical(accept, newest) if order == "canonical" else reader.arrived(accept, newest)

    def json_lines(self, query: Query | None = None, **filters: Any) -> Iterator[bytes]:
        """Give what `replay` yields as lines of JSON, as `Event.json` writes them; many at once, so much faster.

        Args:
            query: filters, or
            **filters: the same, by name: kind, agent, device, since, until, grep, where, system ...

        Yields:
            One or more lines, each with its newline.

        Raises:
            UsageError: a filter cannot be read.
        """
        return Reader(self.log, self.names, self.note_damaged).json_lines(self._filter(query or query_of(filters)))

    def replay(
        self, *, pace: Pace | None = None, stable: bool = False, query: Query | None = None, **filters: Any
    ) -> Iterator[Event]:
        """Yield the unified stream in canonical order, at a pace.

        Args:
            pace: how fast, see `replaying.Pace`; None does not wait.
            stable: only what is final, in stable order: the same on every device.
            query: filters, or
            **filters: the same, by name: kind, agent, device, since, until, grep, where, system ...

        Raises:
            UsageError: a filter cannot be read.
        """
        asked = query or query_of(filters)
        if stable:
            from hcom_replica.api.final import FinalReader  # noqa: PLC0415 - see stable_frontier

            found = FinalReader(self, asked).read()
        else:
            found = self.find(asked)
        return found if pace is None else pace.paced(found)

    def follow(
        self,
        cursor: str | None = None,
        *,
        after: int | None = None,
        timeout_s: float | None = None,
        query: Query | None = None,
        **filters: Any,
    ) -> Generator[Event, None, None]:
        """Yield events as they arrive here, from this and all other devices, late ones included; block in between.

        Args:
            cursor: a name under which the place is kept: the next `follow` goes on there. It moves after a page of
                events has been consumed, so that a consumer that dies sees some again, and misses none.
            after: an arrival number to begin behind; None is the cursor's place, and without a cursor now.
            timeout_s: end when nothing came for so long; None waits for ever.
            query: filters, or
            **filters: the same, by name: kind, agent, device, since, until, grep, where, system ...

        Raises:
            UsageError: a filter cannot be read.
        """
        accept = self._filter(query or query_of(filters))
        begin = after if after is not None else self.log.cursor(cursor) if cursor else self.log.last_arrival()
        return self._follow(begin, accept, cursor, timeout_s)

    def _follow(
        self, begin: int, accept: Filter, cursor: str | None, timeout_s: float | None
    ) -> Generator[Event, None, None]:
        def consumed(arrival: int) -> None:
            if cursor:
                self.log.set_cursor(cursor, arrival)

        from hcom_replica.api.changes import Changes  # noqa: PLC0415 - see stable_frontier

        quiet, reader = clock.monotonic(), Reader(self.log, self.names, self.note_damaged)
        with Changes(self.folder.log) as changes:
            for event in reader.follow(begin, accept, consumed, changes):
                if event is not None:
                    yield event
                    quiet = clock.monotonic()
                elif timeout_s is not None and clock.monotonic() - quiet >= timeout_s:
                    return

    def stable_frontier(self) -> StableFrontier:
        """How far the stable stream has come on this device, and who holds it back."""
        return self._stable_stream().frontier

    def stable_events(
        self, query: Query | None = None, *, after: StablePlace | None = None, **filters: Any
    ) -> Iterator[Stable]:
        """Yield the events of the stable stream, up to the stable frontier: final, and the same on every device.

        Args:
            query: filters, or
            after: begin behind this place.
            **filters: by name: kind, agent, device, since, until, grep, where, system ...

        Raises:
            UsageError: a filter cannot be read.
        """
        return self._stable_stream().events(self._filter(query or query_of(filters)), after)

    def _stable_stream(self) -> StableStream:
        """The stable order as it is now."""
        from hcom_replica.api.stable import StableStream  # noqa: PLC0415 - loads what few commands need

        if self._stable is None:
            self._stable = StableStream(self.parts, self.names)
        else:
            self._stable.look()
        return self._stable

    def event(self, name: EventId) -> Event | None:
        """One event, of the system too; None when it is not held, or damaged."""
        return Reader(self.log, self.names, self.note_damaged).one(name)

    def order_of(self, name: EventId) -> bytes | None:
        """16-byte key of an event in the canonical order; None when it is not held."""
        row = self.log.event(name)
        return None if row is None else row.key

    def note_damaged(self, name: EventId) -> None:
        """Note an event that is stored and cannot be read any more."""
        self.damaged[name] = None

    def _filter(self, query: Query) -> Filter:
        return Filter(query, self.names, self, wall_ms())

    # --- syncing ---------------------------------------------------------------------------------------

    def status(self) -> Status:
        """Where this device stands: what it lacks, who lacks what of it; also with no daemon and no network."""
        from hcom_replica.api.status import read_status  # noqa: PLC0415 - loads what only a daemon else needs

        return read_status(self.parts)

    def flush(self, timeout: float | None = None, device: str | None = None) -> FlushReport:
        """Wait until everything written here is safe elsewhere; see `FlushReport`.

        Args:
            timeout: seconds; None waits for ever.
            device: this one must have it.

        Raises:
            BrokerError: there is no broker, or it does not answer in time.
        """
        return self.control.flush(timeout, device)

    def wait(self, timeout: float | None = None) -> WaitReport:
        """Wait until nothing known is missing here, judged by what is heard from now on; see `WaitReport`.

        Raises:
            BrokerError: there is no broker, or it does not answer in time.
        """
        return self.control.wait(timeout)

    def start_sync(self) -> int:
        """Start this folder's daemon, unless it runs; return its process id.

        Raises:
            DaemonError: it did not come up.
        """
        from hcom_replica.daemon import process  # noqa: PLC0415 - see status

        running, _ = self.control.ask()
        return running if running is not None else process.start(self.folder)

    def stop_sync(self) -> bool:
        """Stop this folder's daemon in order; tell whether one ran.

        Raises:
            DaemonError: it does not stop.
        """
        from hcom_replica.daemon import process  # noqa: PLC0415 - see status

        return process.stop(self.folder) is not None
