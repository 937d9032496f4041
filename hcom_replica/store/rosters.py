"""In table `views`: the roster that the daemon has judged last, for whoever comes after it (storage-v1 T2.8).

May be thrown away at any time. Two rows, so that it is not written again while it is the same; a sum tells of damage,
because what is read by it is promised to be the same on every device.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hcom_replica.core.kept import Basis, KeptRoster
from hcom_replica.core.roster import Closing, Entry, Roster
from hcom_replica.ids import OriginId
from hcom_replica.store.kv import ReadTxn, Table, WriteTxn
from hcom_replica.wire.hashing import blake2b

VERSION: Final = 2
"""Of the rule by which rosters are judged, and of how they are kept: another one's is not read."""

_BASIS: Final = b"\x01"
_ROSTER: Final = b"\x02"
_SUM_BYTES: Final = 16

_Places = dict[OriginId, list[tuple[bytes, int]]]
_Row = tuple[
    OriginId | None,
    dict[OriginId, bytes],
    dict[OriginId, list[Entry]],
    dict[OriginId, dict[OriginId, Closing]],
    dict[OriginId, int],
    _Places,
]

_decode = msgspec.msgpack.Decoder(_Row).decode
_encode = msgspec.msgpack.Encoder().encode


def keep(txn: WriteTxn, kept: KeptRoster) -> None:
    """Keep a roster, unless it is the one that is kept."""
    basis = _encode((VERSION, *kept.basis))
    if txn.get(Table.VIEWS, _BASIS) != basis:
        roster = kept.roster
        row = (roster.root, roster.entries, roster.entered_by, roster.closings, roster.closed, roster.late)
        data = _encode(row)
        txn.put(Table.VIEWS, _BASIS, basis)
        txn.put(Table.VIEWS, _ROSTER, _sum(basis, data) + data)


def find(txn: ReadTxn, basis: Basis) -> Roster | None:
    """The roster that was judged from exactly this; None when another one is kept, or none that is sound."""
    told = _encode((VERSION, *basis))
    held = txn.get(Table.VIEWS, _ROSTER) if txn.get(Table.VIEWS, _BASIS) == told else None
    if held is None or held[:_SUM_BYTES] != _sum(told, held[_SUM_BYTES:]):
        return None
    return Roster(*_decode(held[_SUM_BYTES:]))


def _sum(basis: bytes, data: bytes) -> bytes:
    return blake2b(basis + data, digest_size=_SUM_BYTES).digest()
