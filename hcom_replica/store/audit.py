"""Auditing a whole log: that its tables agree with each other, row by row, and every origin with its signatures.

Reads one state of all tables in one read transaction, which may take seconds. Believes nothing but the group's id: what
is wrong becomes a finding, and the walk goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

import msgspec

from hcom_replica.core.origin import OriginState
from hcom_replica.errors import ProtocolError, StoreCorrupt
from hcom_replica.ids import OriginId
from hcom_replica.store.arrivals import times_of
from hcom_replica.store.audit_origin import Finding, OriginWalk
from hcom_replica.store.kv import ReadTxn, Table
from hcom_replica.store.meta import read_number, state_of
from hcom_replica.store.names import name_at
from hcom_replica.store.schema import Meta, Stretch, number, origin_end, seq_key, unpack_stretch
from hcom_replica.wire.redaction import Redaction, check_redaction
from hcom_replica.wire.signing import origin_hash, short

_TOLD_MAX: Final = 100
"""Rows of a table that are told one by one."""

Step = Callable[[int, str], None]
"""Told how many events were walked, and where."""


def _pass(_done: int, _where: str) -> None:
    """Tell nobody."""


class OriginAudit(msgspec.Struct, frozen=True):
    """What was walked of one origin.

    Attributes:
        origin: 16 hex digits.
        key: its device's, 64 hex digits.
        base: 0, or the seq before a derived origin's first.
        seq: of its newest event.
        events: whose hashes were checked.
        commits: whose signatures were.
        system_events: among the events.
        late_arrivals: events that arrived after something that sorts behind them.
        drift_ms: the most that its events were ahead of this device's clock beyond the bound.
    """

    origin: str
    key: str
    base: int
    seq: int
    events: int
    commits: int
    system_events: int
    late_arrivals: int
    drift_ms: int


class LogAudit:
    """The audit of one state of a log.

    Args:
        txn: that state.
        group: 16 bytes.
        step: told how far it has come.

    Attributes:
        origins: what was walked, complete when `findings` has ended.
    """

    def __init__(self, txn: ReadTxn, group: bytes, step: Step | None = None) -> None:
        self._txn = txn
        self._group = group
        self._step: Step = step or _pass
        self._states: dict[OriginId, OriginState] = {}
        self._walks: dict[OriginId, OriginWalk] = {}
        self._late: dict[OriginId, int] = {}
        self.origins: list[OriginAudit] = []

    def findings(self) -> Iterator[Finding]:
        """Walk everything; yields what is found, as it is found."""
        yield from self._read_states()
        for origin, state in self._states.items():
            self._step(self._walked, f"origin {origin.hex()}")
            walk = self._walks[origin] = OriginWalk(self._txn, state, self._group)
            yield from walk.findings()
            yield from self._check_origin(state, walk)
        yield from self._check_counts()
        yield from self._check_strangers()
        yield from self._check_arrivals()
        yield from self._check_redactions()
        yield from self._check_meta()
        self.origins = [
            OriginAudit(
                origin.hex(),
                state.key.hex(),
                state.base,
                state.seq,
                self._walks[origin].events,
                self._walks[origin].commits,
                len(self._walks[origin].system),
                self._late.get(origin, 0),
                state.drift_ms,
            )
            for origin, state in self._states.items()
        ]

    @property
    def _walked(self) -> int:
        return sum(walk.events for walk in self._walks.values())

    @property
    def _held(self) -> int:
        return sum(state.seq - state.base for state in self._states.values())

    def _read_states(self) -> Iterator[Finding]:
        for key, value in self._txn.scan(Table.ORIGINS):
            try:
                state = state_of(value)
            except StoreCorrupt as error:
                yield Finding("origin", error.message, key.hex())
                continue
            if origin_hash(self._group, state.descriptor) != state.hash or short(state.hash) != key:
                yield Finding("origin", "its hash is not that of its key and incarnation", key.hex())
            elif not state.base <= state.seq < 1 << 62:
                yield Finding("origin", f"it cannot end at {state.seq}", key.hex())
            else:
                self._states[OriginId(key)] = state

    def _check_origin(self, state: OriginState, walk: OriginWalk) -> Iterator[Finding]:
        """The rows about an origin that are not its chain: which events are the system's, its name, redactions."""
        name = state.id.hex()
        rows = self._txn.scan(Table.SYSTEM, seq_key(state.id, 0), origin_end(state.id))
        marked = [number(key[8:]) for key, _ in rows]
        for seq in sorted(set(marked) ^ set(walk.system))[:_TOLD_MAX]:
            what = "is not marked as a system event" if seq in walk.system else "is marked as a system event"
            yield Finding("system", what, name, seq, seq)
        if len(marked) != state.system:
            yield Finding("origin", f"its row counts {state.system} system events of {len(marked)}", name)
        try:
            if name_at(self._txn, state, state.seq) != state.name and marked == walk.system:
                yield Finding("origin", "its row has another name than its events", name)
        except (StoreCorrupt, ProtocolError):
            pass  # told where the events were walked
        root = state.root(self._group)
        for seq, tip, signature in walk.redacted:
            said = self._txn.get(Table.REDACTIONS, seq_key(short(root), seq) + tip)
            try:
                check_redaction(state.key, Redaction(root, seq, tip, signature))
            except ProtocolError:
                yield Finding("redaction", "its signature does not hold", name, seq, seq)
            if said != signature:
                yield Finding("redaction", "the table of redactions says something else of it", name, seq, seq)

    def _check_counts(self) -> Iterator[Finding]:
        for table in (Table.LOG, Table.INDEX):
            found = self._txn.count(table)
            if found != self._held:
                yield Finding("counter", f"table {table} has {found} rows, and {self._held} events are held")

    def _check_strangers(self) -> Iterator[Finding]:
        """Rows of origins that are not held."""
        for table, what in ((Table.INDEX, "index"), (Table.COMMITS, "commit"), (Table.SYSTEM, "system")):
            start, told = b"", 0
            while told < _TOLD_MAX and (item := next(self._txn.scan(table, start), None)) is not None:
                origin = OriginId(item[0][:8])
                if origin not in self._states:
                    yield Finding(what, "a row of an origin that is not held", origin.hex())
                    told += 1
                start = origin_end(origin)
        if self._txn.count(Table.LOG) != self._walked:
            yield from self._strange_events()

    def _strange_events(self) -> Iterator[Finding]:
        told = 0
        for key, value in islice(self._txn.scan(Table.LOG), 2 * self._txn.count(Table.LOG)):
            origin, seq = OriginId(key[8:]), number(value[:8])
            if self._txn.get(Table.INDEX, seq_key(origin, seq)) != key[:8]:
                yield Finding("event", "stands where the index does not say", origin.hex(), seq, seq)
                told += 1
            if told == _TOLD_MAX:
                return

    def _check_arrivals(self) -> Iterator[Finding]:
        """Numbers without a gap, each event once, and late where something behind it was there (T2.2)."""
        rows = islice(self._txn.scan(Table.ARRIVALS), 2 * self._txn.count(Table.ARRIVALS))
        forked = any(state.forks for state in self._states.values())
        newest, expected, checksum = b"", 1, 0
        for key, value in rows:
            if number(key) != expected:
                yield Finding("arrival", f"number {number(key)} does not follow the one before it")
            try:
                stretch = unpack_stretch(key, value)
                places = self._places(stretch)
            except StoreCorrupt as error:
                yield Finding("arrival", error.message)
                expected = number(key) + 1
                continue
            expected = number(key) + stretch.length
            checksum += sum(map(hash, places))
            # Of one origin they ascend, so what holds of the first and of the last holds of all between them.
            if not forked and {places[0] < newest, places[-1] < newest} != {stretch.late}:
                yield Finding("arrival", f"those from number {number(key)} on are not marked rightly as late")
            newest = max(newest, places[-1])
            if stretch.late:
                self._late[stretch.origin] = self._late.get(stretch.origin, 0) + stretch.length
            self._step(self._walked, f"arrival {expected}")
        if expected != self._held + 1:
            yield Finding("counter", f"{expected - 1} arrivals, and {self._held} events are held")
        if checksum != sum(walk.checksum for walk in self._walks.values()):
            yield from self._doubled_arrivals()

    def _places(self, stretch: Stretch) -> list[bytes]:
        """Keys in `log`; raises StoreCorrupt."""
        return [time + stretch.origin for time in times_of(self._txn, stretch.origin, stretch.first, stretch.length)]

    def _doubled_arrivals(self) -> Iterator[Finding]:
        """Events that two arrivals name."""
        met: set[bytes] = set()
        told = 0
        for at, place in self._arrived():
            if place in met:
                yield Finding("arrival", f"number {at} names an event that another one names", place[8:].hex())
                told += 1
                if told == _TOLD_MAX:
                    return
            met.add(place)

    def _arrived(self) -> Iterator[tuple[int, bytes]]:
        """Number and place of each arrival that can be read; the others have been told of."""
        for row in islice(self._txn.scan(Table.ARRIVALS), 2 * self._txn.count(Table.ARRIVALS)):
            try:
                stretch = unpack_stretch(*row)
                places = self._places(stretch)
            except StoreCorrupt:
                continue
            yield from enumerate(places, stretch.number)

    def _check_redactions(self) -> Iterator[Finding]:
        roots = {short(state.root(self._group)): state for state in self._states.values()}
        for key, signature in self._txn.scan(Table.REDACTIONS):
            origin, seq, tip = OriginId(key[:8]), number(key[8:16]), key[16:]
            state = roots.get(origin)
            if state is None:
                continue  # of an event that is still to come; it was proven when it was stored
            try:
                check_redaction(state.key, Redaction(state.root(self._group), seq, tip, signature))
            except ProtocolError:
                yield Finding("redaction", "its signature does not hold", origin.hex(), seq, seq)

    def _check_meta(self) -> Iterator[Finding]:
        read = {name: read_number(self._txn, name) for name in (Meta.ARRIVAL, Meta.EVENTS, Meta.HIGH_WATER)}
        held = self._held
        plain = held - sum(state.system for state in self._states.values())
        own = self._txn.get(Table.META, Meta.ORIGIN)
        if read[Meta.ARRIVAL] != held:
            yield Finding(
                "counter", f"the newest arrival is said to be {read[Meta.ARRIVAL]}, and {held} events are held"
            )
        if read[Meta.EVENTS] != plain:
            yield Finding("counter", f"{read[Meta.EVENTS]} events are counted, and {plain} are held")
        if own is not None and OriginId(own) not in self._states:
            yield Finding("origin", "the origin that this device writes is not held", own.hex())
        elif own is not None and read[Meta.HIGH_WATER] < self._states[OriginId(own)].hlc:
            yield Finding("counter", "the clock's high water lies below an own event")
