"""The table `redactions`, and taking away the bodies that it names (storage-v1 T2.6, T5.9).

Keeps every redaction that this device knows of, whether its event is held or not. So an event that is held loses its
body in the transaction in which its redaction becomes known, and one that comes later is never stored with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hcom_replica.core.append import Writer
from hcom_replica.core.origin import OriginState
from hcom_replica.errors import UsageError
from hcom_replica.ids import EventId, OriginId
from hcom_replica.store.commits import point_at
from hcom_replica.store.kv import ReadTxn, Table, WriteTxn
from hcom_replica.store.meta import read_state, read_states
from hcom_replica.store.pages import event
from hcom_replica.store.schema import number, seq_key
from hcom_replica.wire.event import REDACTED, Draft, decode_event, is_system
from hcom_replica.wire.redaction import REDACT, Redaction, redacted, sign_redaction, stated_redaction, statement
from hcom_replica.wire.signing import short

_SEQ_AT: Final = 8
_TIP_AT: Final = 16


class Redactions:
    """The redactions of one write transaction. Its reads must see all rows: the caller flushes what it gathers.

    Args:
        txn: the transaction.
        group: 16 bytes.
    """

    def __init__(self, txn: WriteTxn, group: bytes) -> None:
        self._txn = txn
        self._group = group
        self._any = txn.count(Table.REDACTIONS) > 0
        self._branches: dict[OriginId, list[OriginId]] | None = None

    def look_again(self) -> None:
        """Origins were added, or rows moved from one to another."""
        self._branches = None

    def note(self, redaction: Redaction) -> None:
        """Keep a proven redaction, and take the body of its event away if that is held. Idempotent."""
        key = seq_key(redaction.origin, redaction.seq) + redaction.tip
        if self._txn.get(Table.REDACTIONS, key) is None:
            self._txn.put(Table.REDACTIONS, key, redaction.signature)
            self._any = True
            self._take_body(redaction)

    def without_bodies(self, held: OriginState, first: int, records: list[bytes], tips: list[bytes]) -> list[bytes]:
        """Return the records that are about to be stored, those that are known to be redacted without their bodies.

        Args:
            held: the origin they are added to.
            first: seq of the first.
            records: encoded events, redacted or not.
            tips: c after each.
        """
        if not self._any:
            return records
        root, last = held.root(self._group), first + len(records) - 1
        start, stop = seq_key(short(root), first), seq_key(short(root), last) + b"\xff" * 33
        kept = list(records)
        for key, signature in self._txn.scan(Table.REDACTIONS, start, stop):
            at = number(key[_SEQ_AT:_TIP_AT]) - first
            if tips[at] == key[_TIP_AT:]:
                kept[at] = _redacted(kept[at], Redaction(root, first + at, tips[at], signature))
        return kept

    def _take_body(self, redaction: Redaction) -> None:
        for state in self._of_incarnation(redaction.origin):
            if state.base < redaction.seq <= state.seq and self._is_at(state, redaction):
                (time,) = self._txn.get_many(Table.INDEX, [seq_key(state.id, redaction.seq)])
                (value,) = self._txn.get_many(Table.LOG, [time + state.id])
                self._txn.put(Table.LOG, time + state.id, value[:8] + _redacted(value[8:], redaction))
                return

    def _is_at(self, state: OriginState, redaction: Redaction) -> bool:
        return point_at(self._txn, state, redaction.seq).tip == redaction.tip

    def _of_incarnation(self, root: OriginId) -> Iterable[OriginState]:
        """The origin that is not derived, and its branches: a fork may have moved the event there."""
        state = read_state(self._txn, root)
        if state is not None:
            yield state
        for branch in self._branches_of(root):
            state = read_state(self._txn, branch)
            if state is not None:
                yield state

    def _branches_of(self, root: OriginId) -> list[OriginId]:
        if self._branches is None:
            self._branches = {}
            for state in read_states(self._txn):
                if state.forks:
                    self._branches.setdefault(short(state.root(self._group)), []).append(state.id)
        return self._branches.get(root, [])


def redacting_draft(txn: ReadTxn, writer: Writer, name: EventId) -> Draft | None:
    """Make the system event by which a device redacts an event of its own; None when it is redacted already.

    Raises:
        UsageError: the event is not held, another device has written it, or it is a system event.
    """
    state = read_state(txn, name.origin)
    row = event(txn, name)
    if state is None or row is None:
        raise UsageError(f"no event {name} is held here", hint="hcom-replica events --json shows the ids of events")
    if state.key != writer.device.public:
        raise UsageError(
            f"event {name} was written by another device",
            hint="only the device that wrote an event can redact it: run it there",
        )
    if row.record[:1] == REDACTED:
        return None
    if is_system(decode_event(row.record).kind):
        raise UsageError(f"event {name} is a system event", hint="system events say who is who, and hold nothing else")
    tip = point_at(txn, state, name.seq).tip
    redaction = sign_redaction(writer.device, state.root(writer.group), name.seq, tip)
    return Draft(REDACT, None, None, statement(redaction, state.key, state.incarnation))


def redaction_count(txn: ReadTxn) -> int:
    """Return how many redactions are known; cheap, and never less than before."""
    return txn.count(Table.REDACTIONS)


def redacted_places(txn: ReadTxn) -> set[tuple[OriginId, int]]:
    """Return (origin that is not derived, seq) of all redactions known."""
    return {(OriginId(key[:_SEQ_AT]), number(key[_SEQ_AT:_TIP_AT])) for key, _ in txn.scan(Table.REDACTIONS)}


def note_stated(txn: WriteTxn, group: bytes, records: Iterable[bytes]) -> None:
    """Note what system events say that were appended here; their rows, and all others, must be written.

    Args:
        txn: the transaction.
        group: 16 bytes.
        records: of the system events.
    """
    for said in map(decode_event, records):
        redaction = stated_redaction(group, said.body) if said.kind == REDACT else None
        if redaction is not None:
            Redactions(txn, group).note(redaction)


def _redacted(record: bytes, redaction: Redaction) -> bytes:
    """The record without its body. System events keep theirs: they say who is who (P3.8)."""
    if record[:1] == REDACTED:
        return record
    event = decode_event(record)
    return record if is_system(event.kind) else redacted(record, event, redaction)
