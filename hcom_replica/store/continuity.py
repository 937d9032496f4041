"""Holding a log to its continuity marker: what is compared before the first append, what is noted after each.

Owns the row `home` of `meta` and the order commit, then marker (storage-v1 T7.4, T7.5). Everything happens inside the
log's own write transactions, so it is ordered over all processes by the writers' lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from hcom_replica.core.continuity import Doubt, Here, Home, Mark, Place, doubt, same_place
from hcom_replica.core.origin import OriginState
from hcom_replica.store.kv import ReadTxn, Table, WriteTxn
from hcom_replica.store.marker import Marks
from hcom_replica.store.meta import own_origin
from hcom_replica.store.schema import Meta, pack_home, unpack_home


class Finding(NamedTuple):
    """What is known of a log's continuity, for people.

    Attributes:
        doubt: what the next append would begin with; None for nothing.
        mark: the marker; None when there is none.
        here: what the system says now.
        trouble: why no marker can be kept; empty when nothing is wrong.
    """

    doubt: Doubt | None
    mark: Mark | None
    here: Here
    trouble: str


class Continuity:
    """Home and marker of one open log.

    Args:
        place: says where the log lies now.
        system: says on which machine, and since which boot; 16 bytes each, zero for unknown.
        marks: where markers are kept.
        entropy: names new homes.
    """

    def __init__(
        self,
        place: Callable[[], Place],
        system: Callable[[], tuple[bytes, bytes]],
        marks: Marks,
        *,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._place = place
        self._system = system
        self._marks = marks
        self._entropy = entropy
        self._seen: Here | None = None
        self._home: Home | None = None

    @property
    def settled(self) -> bool:
        """Whether this log has been appended to, so that there is nothing to compare any more."""
        return self._home is not None

    def examine(self, txn: ReadTxn, group: bytes) -> Doubt | None:
        """Compare the log with its home and its marker; None when it may be appended to as it is."""
        return self._find(txn, group)[0]

    def note(self, txn: WriteTxn, group: bytes, own: OriginState) -> None:
        """Write the marker once `txn` is committed, which leaves the own origin as `own`."""
        home = self._home or self._settle(txn)
        txn.after_commit(partial(self._committed, home, group, own))

    def moved(self) -> bool:
        """Whether another file has taken the place of the one that is open (T7.8)."""
        return not same_place(self._here.place, self._place())

    def finding(self, txn: ReadTxn, group: bytes) -> Finding:
        """What there is to say of it."""
        found, mark = self._find(txn, group)
        missing = "it is missing" if mark is None and _kept(txn) is not None else ""
        return Finding(found, mark, self._here, self._marks.trouble or missing)

    def close(self) -> None:
        """Give the marker's file back. Idempotent."""
        self._marks.close()

    @property
    def _here(self) -> Here:
        if self._seen is None:
            self._seen = Here(self._place(), *self._system())
        return self._seen

    def _find(self, txn: ReadTxn, group: bytes) -> tuple[Doubt | None, Mark | None]:
        home, own = _kept(txn), own_origin(txn)
        if home is None or own is None:
            return None, None
        mark = self._marks.read(home.id)
        return doubt(own, group, home, self._here.place, mark), mark

    def _settle(self, txn: WriteTxn) -> Home:
        """The log's home; a new one where it lies in another place, whose marker may be in use by others."""
        kept, place = _kept(txn), self._here.place
        if kept is not None and same_place(kept.place, place):
            return kept
        home = Home(self._entropy(16), place)
        txn.put(Table.META, Meta.HOME, pack_home(home))
        return home

    def _committed(self, home: Home, group: bytes, own: OriginState) -> None:
        self._home = home
        here = self._here
        self._marks.write(Mark(0, home.id, group, own.incarnation, own.id, own.seq, own.hlc, here.machine, here.boot))


def _kept(txn: ReadTxn) -> Home | None:
    value = txn.get(Table.META, Meta.HOME)
    return None if value is None else unpack_home(value)
