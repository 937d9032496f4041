"""Appending inside a write transaction: state in, `core.append`, rows out (storage-v1 T5.1, T5.3)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hcom_replica.core import append as pure
from hcom_replica.core.append import Appended, Writer, WriterState
from hcom_replica.core.hlc import drift_ms
from hcom_replica.core.origin import OriginState
from hcom_replica.store.commits import add_commits
from hcom_replica.store.kv import Table, WriteTxn
from hcom_replica.store.ledger import Ledger
from hcom_replica.store.meta import own_origin, read_number, read_states, write_number, write_state
from hcom_replica.store.names import stated_name
from hcom_replica.store.redactions import note_stated
from hcom_replica.store.schema import Meta
from hcom_replica.wire.event import Draft


def append_drafts(
    txn: WriteTxn, ledger: Ledger, writer: Writer, drafts: Sequence[Draft], now_ms: int, nonce: bytes
) -> Appended:
    """Append checked drafts to the current origin; a new incarnation is opened first where the rules ask for it."""
    origin, high_water = own_origin(txn), read_number(txn, Meta.HIGH_WATER)
    if origin is None:
        return _open(txn, ledger, writer, drafts, now_ms, nonce, pure.FIRST)
    if drift_ms(high_water, now_ms):
        return _open(txn, ledger, writer, drafts, now_ms, nonce, pure.CLOCK)
    appended = pure.append(writer, WriterState(origin, high_water), drafts, now_ms, nonce)
    _store(txn, ledger, writer, origin, appended)
    return appended


def open_incarnation(
    txn: WriteTxn, ledger: Ledger, writer: Writer, now_ms: int, nonce: bytes, reason: str, generation: int = 0
) -> OriginState:
    """Begin a new origin of this device, linked to its current one, else to its newest held; return its state.

    Args:
        txn: the transaction.
        ledger: its ledger.
        writer: who appends.
        now_ms: wall clock.
        nonce: 8 fresh random bytes.
        reason: for the hello.
        generation: the least that it may be of.
    """
    return _open(txn, ledger, writer, (), now_ms, nonce, reason, generation).origin


def _open(
    txn: WriteTxn,
    ledger: Ledger,
    writer: Writer,
    drafts: Sequence[Draft],
    now_ms: int,
    nonce: bytes,
    reason: str,
    least: int = 0,
) -> Appended:
    mine = [state for state in read_states(txn) if state.key == writer.device.public]
    newest = max(mine, key=lambda state: (state.generation, state.seq, state.hash), default=None)
    generation = max(least, newest.generation if newest is not None else 0)
    state = WriterState(own_origin(txn) or newest, read_number(txn, Meta.HIGH_WATER), generation)
    appended = pure.open_incarnation(writer, state, drafts, now_ms, nonce, reason)
    origin = appended.origin
    _store(txn, ledger, writer, None, appended)
    txn.put(Table.META, Meta.ORIGIN, origin.id)
    write_number(txn, Meta.PROMISE, 0)  # a promise is one origin's
    return appended


def _store(txn: WriteTxn, ledger: Ledger, writer: Writer, before: OriginState | None, appended: Appended) -> None:
    after = _renamed(appended)
    ledger.add(after.id, appended.first, appended.records, appended.hlcs, appended.system)
    add_commits(txn, after if before is None else before, appended.commits)
    write_state(txn, after)
    write_number(txn, Meta.HIGH_WATER, appended.high_water)
    if appended.system:
        ledger.flush()
        note_stated(txn, writer.group, [appended.records[seq - appended.first] for seq in appended.system])


def _renamed(appended: Appended) -> OriginState:
    """The origin's state with the name that the new events state, as others will read it from them."""
    origin = appended.origin
    for seq in appended.system:
        name = stated_name(seq, appended.records[seq - appended.first])
        if name is not None and name != origin.name:
            origin = msgspec.structs.replace(origin, name=name)
    return origin
