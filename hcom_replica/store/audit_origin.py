"""Walking one origin's rows: every hash, every commit, every signature (protocol-v1 section 4, storage-v1 T2.3, T2.4).

Owns where a difference is looked for. From one commit to the next everything is compared at once; only where something
differs, event by event. A commit whose signature holds is believed: what lies before it has then been changed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter, lt
from typing import Final

import msgspec

from hcom_replica.core.chain import chained, links
from hcom_replica.core.origin import CommitRow, OriginState
from hcom_replica.errors import ProtocolError, StoreCorrupt
from hcom_replica.limits import COMMIT_EVENTS_MAX
from hcom_replica.store.commits import base_point
from hcom_replica.store.kv import Item, ReadTxn, Table
from hcom_replica.store.schema import ANCHOR, number, origin_end, seq_key, unpack_commit
from hcom_replica.wire.event import RedactedEvent, decode_events, encoded_bytes
from hcom_replica.wire.signing import COMMIT, commit_digest, verify

_pack: Final = struct.Struct(">Q").pack
_SEQ: Final = itemgetter(slice(8, None))
_FIRST: Final = itemgetter(slice(8))
_PROBE: Final = 64
"""One row of the index in so many is also looked up by its key: so every page is, and what leads to it."""

_LOOSE_MAX: Final = 1 << 16
"""So many events at most are looked at one by one behind the last commit, or where commits are lacking."""

_NONE: Final = b""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that is not as it should be.

    Attributes:
        what: `event`, `commit`, `index`, `order`, `hole`, `origin`, `arrival`, `system`, `redaction`, `counter`,
            `structure`; and of the history itself: `fork`, `drift`, `late`, `missing`, `unknown key`, `revoked writer`.
        origin: 16 hex digits; empty for what concerns no origin.
        first: seq from which on; 0 where none is meant.
        last: seq up to which.
        detail: one clause, for people.
        device: name of the origin's device.
    """

    what: str
    detail: str
    origin: str = ""
    first: int = 0
    last: int = 0
    device: str = ""


class OriginWalk:
    """The walk over one origin.

    Args:
        txn: one state of all tables.
        state: its row of `origins`.
        group: 16 bytes.

    Attributes:
        events: walked so far.
        commits: whose signature holds.
        system: seqs of system events met.
        redacted: (seq, c, signature of the redaction) of redacted ones met.
        checksum: sum of the hashes of the keys of `log` that were met, for the comparison with `arrivals`.
    """

    def __init__(self, txn: ReadTxn, state: OriginState, group: bytes) -> None:
        self._txn = txn
        self._state = state
        self._root = state.root(group)
        self._tip: bytes = _NONE
        self._cum = self._hlc = 0
        self._at = state.base
        self.events = 0
        self.commits = 0
        self.system: list[int] = []
        self.redacted: list[tuple[int, bytes, bytes]] = []
        self.checksum = 0

    def findings(self) -> Iterator[Finding]:
        """Walk it; yields what is found, as it is found."""
        state = self._state
        try:
            start = base_point(self._txn, state)
            self._tip, self._cum = start.tip, start.cum
        except StoreCorrupt as error:
            yield self._finding("commit", f"where it was forked off: {error.message}", state.base, state.base)
        yield from self._strays(seq_key(state.id, 0), seq_key(state.id, state.base + 1))
        for key, value in self._txn.scan(Table.COMMITS, seq_key(state.id, 0), origin_end(state.id)):
            try:
                row = unpack_commit(key, value)
            except StoreCorrupt as error:
                yield self._finding("commit", error.message, _seq(key), _seq(key))
                continue
            if row.seq == state.base and row.signature == ANCHOR:
                continue
            if not self._at < row.seq <= state.seq:
                yield self._finding("commit", "stands outside of what is held", row.seq, row.seq)
                continue
            yield from self._stretch(row, self._rows(self._at + 1, row.seq))
        yield from self._end()

    def _rows(self, first: int, last: int) -> list[Item]:
        """Rows of the index; a few more than there can be show that there are too many."""
        found = self._txn.scan(Table.INDEX, seq_key(self._state.id, first), seq_key(self._state.id, last + 1))
        return list(islice(found, last - first + 2))

    def _strays(self, start: bytes, stop: bytes) -> Iterator[Finding]:
        for key, _ in islice(self._txn.scan(Table.INDEX, start, stop), COMMIT_EVENTS_MAX):
            yield self._finding("index", "a row for what is not held", _seq(key), _seq(key))

    def _end(self) -> Iterator[Finding]:
        state = self._state
        if self._at < state.seq:
            yield self._finding("commit", "no commit covers the newest events", self._at + 1, state.seq)
            upto = min(state.seq, self._at + _LOOSE_MAX)
            yield from self._by_one(self._at + 1, upto, self._rows(self._at + 1, upto))
        yield from self._strays(seq_key(state.id, state.seq + 1), origin_end(state.id))
        if self._tip and (state.tip, state.cum, state.hlc) != (self._tip, self._cum, self._hlc):
            yield self._finding("origin", "its row does not say what its newest event is", state.seq, state.seq)

    def _stretch(self, row: CommitRow, rows: list[Item]) -> Iterator[Finding]:
        """Walk from behind the last commit to the next one."""
        first, self._at = self._at + 1, row.seq
        records = self._records(first, row.seq, rows)
        signed = self._is_signed(row)
        self.commits += signed
        if records is not None and self._tip:
            tip, hlc, cum = self._tip, rows[-1][1], self._cum + encoded_bytes(records)
            found = self._chain(tip, rows, records)
            if found is not None and signed and (found, number(hlc), cum) == (row.tip, row.hlc, row.cum):
                self._tip, self._hlc, self._cum = row.tip, row.hlc, row.cum
                return
            if found is not None and not signed:
                yield self._finding("commit", "its signature does not hold", row.seq, row.seq)
                self._tip, self._hlc, self._cum = found, number(hlc), cum
                return
        elif not signed:
            yield self._finding("commit", "its signature does not hold", row.seq, row.seq)
        yield from self._by_one(first, row.seq, rows)
        if signed:
            if self._tip and records is not None:
                yield self._finding("event", "not what was signed: an event of these was changed", first, row.seq)
            self._tip, self._hlc, self._cum = row.tip, row.hlc, row.cum
        else:
            self._tip = _NONE

    def _records(self, first: int, last: int, rows: list[Item]) -> list[bytes] | None:
        """The records of a stretch, if all its rows are where they belong; None otherwise."""
        origin, count = self._state.id, last - first + 1
        if count > COMMIT_EVENTS_MAX or len(rows) != count:
            return None
        seqs = list(map(_pack, range(first, last + 1)))
        if [key for key, _ in rows] != [origin + seq for seq in seqs]:
            return None
        keys = [time + origin for _, time in rows]
        try:
            values = self._txn.get_many(Table.LOG, keys)
            for key, _ in rows[::_PROBE]:
                self._txn.get_many(Table.INDEX, [key])
        except StoreCorrupt:
            return None
        if list(map(_FIRST, values)) != seqs:
            return None
        self.events += count
        self.checksum += sum(map(hash, keys))
        return list(map(_SEQ, values))

    def _chain(self, tip: bytes, rows: list[Item], records: list[bytes]) -> bytes | None:
        """C at the end of a stretch, if its records are events with the hlcs of their rows; None otherwise."""
        try:
            events, whole = decode_events(records)
        except ProtocolError:
            return None
        times = [time for _, time in rows]
        if [_pack(event.hlc) for event in events] != times or not all(map(lt, times, times[1:])):
            return None
        if number(times[0]) <= self._hlc:
            return None
        first = _seq(rows[0][0])
        self.system += [first + at for at, event in enumerate(events) if event.kind[:1] == "_"]
        if not whole:
            tips = chained(tip, records, events)
            gone = [(first + at, event) for at, event in enumerate(events) if isinstance(event, RedactedEvent)]
            self.redacted += [(seq, tips[seq - first], event.signature) for seq, event in gone]
            return tips[-1]
        return links(tip, records, [event.body for event in events])[-1]

    def _by_one(self, first: int, last: int, rows: list[Item]) -> Iterator[Finding]:
        """Say of each row of a stretch what is wrong with it by itself."""
        found = dict(rows)
        if last - first + 1 > COMMIT_EVENTS_MAX:
            yield self._finding("commit", "more events than a commit covers", first, last)
        before = self._hlc
        for seq in range(first, min(last, first + _LOOSE_MAX) + 1):
            time = found.pop(seq_key(self._state.id, seq), None)
            said, hlc = self._one(seq, time)
            if said is None and hlc <= before:
                said = Finding("order", "its hlc does not lie behind that of the event before it")
            before = max(before, hlc)
            if said is not None:
                yield self._finding(said.what, said.detail, seq, seq)
        for key in found:
            yield self._finding("index", f"row {key.hex()} does not belong here", first, last)

    def _one(self, seq: int, time: bytes | None) -> tuple[Finding | None, int]:
        """What is wrong with one event, and its hlc."""
        if time is None:
            return Finding("hole", "the index has no row for it"), 0
        value = self._txn.get(Table.LOG, time + self._state.id)
        if value is None:
            return Finding("index", "the log has no event where the index says"), number(time)
        if number(value[:8]) != seq:
            return Finding("event", f"says to be number {number(value[:8])}"), number(time)
        try:
            (event,), _ = decode_events([value[8:]])
        except ProtocolError as error:
            return Finding("event", f"cannot be read: {error.message}"), number(time)
        if event.hlc != number(time):
            return Finding("event", "says another hlc than its place"), number(time)
        return None, event.hlc

    def _is_signed(self, row: CommitRow) -> bool:
        digest = commit_digest(self._root, row.seq, row.hlc, row.cum, row.tip)
        try:
            verify(self._state.key, COMMIT, digest, row.signature)
        except ProtocolError:
            return False
        return True

    def _finding(self, what: str, detail: str, first: int, last: int) -> Finding:
        return Finding(what, detail, self._state.id.hex(), first, last)


def _seq(key: bytes) -> int:
    return number(key[8:16])
