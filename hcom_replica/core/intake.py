"""Taking in batches: verified, staged for one transaction, or spooled beyond a gap (P4.5).

A batch is taken from anybody: it proves itself. What is wrong with it is held against whoever sent it.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple

from hcom_replica.core.effects import Ingest
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.origin import OriginState, fresh_origin
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.verify import Run, verify_batch
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.limits import SPOOL_BYTES_MAX
from hcom_replica.wire.batch import Batch
from hcom_replica.wire.event import REDACTED

_BATCH_COST_BYTES: Final = 1024
_ITEM_COST_BYTES: Final = 64


class Taken(Enum):
    """What became of a batch."""

    HELD = auto()
    STAGED = auto()
    GAP = auto()


class _Ahead(NamedTuple):
    """An origin as it will be when what is staged has been stored."""

    state: OriginState
    seq: int
    tip: bytes


class Intake:
    """Batches on their way into the store.

    Attributes:
        handed: the origins of the runs that were handed over last, in their order.
        duplicates: batches of which everything was held.
        staged_bytes: record bytes staged for the next `Ingest`.
    """

    def __init__(self, outbox: Outbox, knowledge: Knowledge) -> None:
        self._outbox = outbox
        self._knowledge = knowledge
        self._staged: list[Run] = []
        self.handed: list[OriginId] = []
        self._ahead: dict[OriginId, _Ahead] = {}
        self._spool: dict[OriginId, dict[int, Batch]] = {}
        self._spooled_bytes = 0
        self.staged_bytes = 0
        self.duplicates = 0

    def have(self, origin: OriginId) -> int:
        """Highest contiguous seq, counting what is staged."""
        ahead = self._ahead.get(origin)
        return ahead.seq if ahead is not None else self._knowledge.have(origin)

    def spooled_from(self, origin: OriginId) -> int | None:
        """The lowest seq that waits beyond a gap; None when nothing does."""
        return min(self._spool.get(origin, ()), default=None)

    def gaps(self) -> dict[OriginId, int]:
        """Origins with something beyond a gap -> the last seq of the gap."""
        return {origin: min(waiting) - 1 for origin, waiting in self._spool.items()}

    @property
    def spooled_bytes(self) -> int:
        """About what the batches that wait beyond gaps take in memory."""
        return self._spooled_bytes

    def offer(self, batch: Batch) -> Taken:
        """Take a batch of sound shape.

        Raises:
            ProtocolError: it does not verify; nothing was changed.
        """
        origin = OriginId(batch.origin)
        if self._held(origin, batch):
            self.duplicates += 1
            return Taken.HELD
        known = self._known(origin)
        self._check_bound(origin, batch)
        if (known is None and batch.descriptor is None) or batch.first - 1 > max(
            self.have(origin), _base(batch, known)
        ):
            self._put_aside(origin, batch)
            return Taken.GAP
        self._stage(verify_batch(self._outbox.keys.group, batch, known))
        self._release(origin)
        return Taken.STAGED

    def _check_bound(self, origin: OriginId, batch: Batch) -> None:
        """Nothing is taken of a revoked device beyond its cut (P12.11)."""
        key = batch.descriptor.key if batch.descriptor is not None else None
        cut = self._knowledge.cut(origin, key)
        if cut is not None and batch.last > cut:
            raise ProtocolError("revoked")

    def take(self) -> None:
        """Hand what is staged to the store, as one effect."""
        if self._staged:
            self._outbox.emit(Ingest(tuple(self._staged)))
            self.handed = [run.origin for run in self._staged]
            self._staged, self.staged_bytes = [], 0

    def settled(self) -> None:
        """What was handed over has been stored, or has failed: the store's state is the truth again."""
        self._ahead.clear()

    def _held(self, origin: OriginId, batch: Batch) -> bool:
        if batch.last > self._knowledge.have(origin):
            return False
        row = self._knowledge.log.commit_at_or_below(origin, batch.last)
        same = row is not None and row.seq == batch.last and row.signature == batch.commits[-1].signature
        return same and not self._takes_bodies(origin, batch)

    def _takes_bodies(self, origin: OriginId, batch: Batch) -> bool:
        """Whether a batch of what is held has lost bodies that nothing known here says are to go (P3.10)."""
        gone = [seq for seq, record in enumerate(batch.records, batch.first) if record[:1] == REDACTED]
        root = self._knowledge.root_of(origin)
        return any((root, seq) not in self._knowledge.redacted.known for seq in gone)

    def _known(self, origin: OriginId) -> OriginState | None:
        ahead = self._ahead.get(origin)
        return ahead.state if ahead is not None else self._knowledge.states.get(origin)

    def _stage(self, run: Run) -> None:
        self._staged.append(run)
        self.staged_bytes += run.commits[-1].cum - run.cum
        state = self._known(run.origin) or fresh_origin(self._outbox.keys.group, run.descriptor)
        if run.last > self.have(run.origin) and self._joins(run):
            self._ahead[run.origin] = _Ahead(state, run.last, run.tips[-1])

    def _joins(self, run: Run) -> bool:
        """Whether a run, longer than what is held, carries it on: else it is no progress, whatever its last seq (P4.8).

        One that leaves it on the way is another history, and perhaps one that is held by another name.
        """
        held = self._ahead.get(run.origin) or self._knowledge.states.get(run.origin)
        if held is None or run.first - 1 > held.seq:
            return True
        return held.tip == (run.prev if run.first > held.seq else run.tips[held.seq - run.first])

    def _put_aside(self, origin: OriginId, batch: Batch) -> None:
        size = _size(batch)
        if batch.first in self._spool.get(origin, ()) or size > SPOOL_BYTES_MAX:
            return
        while self._spooled_bytes + size > SPOOL_BYTES_MAX:
            self._evict()
        self._spool.setdefault(origin, {})[batch.first] = batch
        self._spooled_bytes += size

    def _evict(self) -> None:
        """Drop what is furthest ahead of the origin that has most waiting: it is asked for again."""
        fullest = max(self._spool, key=lambda origin: len(self._spool[origin]))
        self._pop(fullest, max(self._spool[fullest]))

    def _release(self, origin: OriginId) -> None:
        """Stage what waited and now fits. What does not verify is dropped: its sender is not the one heard just now."""
        while (first := self.spooled_from(origin)) is not None and first - 1 <= self.have(origin):
            batch = self._pop(origin, first)
            if batch.last <= self.have(origin):
                continue
            try:
                run = verify_batch(self._outbox.keys.group, batch, self._known(origin))
            except ProtocolError as error:
                self._outbox.trace("spooled batch dropped", origin=origin.hex(), first=first, reason=error.reason)
            else:
                self._stage(run)

    def _pop(self, origin: OriginId, first: int) -> Batch:
        batch = self._spool[origin].pop(first)
        self._spooled_bytes -= _size(batch)
        if not self._spool[origin]:
            del self._spool[origin]
        return batch


def _size(batch: Batch) -> int:
    """Count what keeping a batch costs: empty records and small batches take memory too."""
    return (
        _BATCH_COST_BYTES + sum(map(len, batch.records)) + _ITEM_COST_BYTES * (len(batch.records) + len(batch.commits))
    )


def _base(batch: Batch, known: OriginState | None) -> int:
    descriptor = batch.descriptor if known is None else known.descriptor
    return descriptor.forks[-1].base if descriptor is not None and descriptor.forks else 0
