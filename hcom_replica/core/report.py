"""What the store tells the core after an ingest: one outcome for each run, and which origins changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hcom_replica.core.origin import OriginState
from hcom_replica.core.place import Placement
from hcom_replica.ids import OriginId


class Refused(NamedTuple):
    """A validly signed run without a place in the log, by its origin's fault; `reason` as in protocol-v1 section 9."""

    reason: str


class Outcome(NamedTuple):
    """What became of one run.

    Attributes:
        origin: whose seqs `placement` speaks of: the run's origin; or, for a derived origin whose fork cannot be shown
            from what is held, the origin that is not derived, of which more must be held first.
        placement: New and Fork: stored. Held: was there. Gap and Misfit: not stored, ask for an earlier range of
            `origin`. Refused: not stored.
    """

    origin: OriginId
    placement: Placement | Refused


class ForkFound(NamedTuple):
    """A fork that was stored for the first time: `kept` keeps the id, `derived` branches off behind seq `base`."""

    kept: OriginId
    derived: OriginId
    base: int


@dataclass(frozen=True, slots=True)
class IngestReport:
    """One ingest transaction, committed.

    Attributes:
        outcomes: one for each run, in their order.
        events: how many events were stored.
        states: every origin that changed, as it is now.
        forks: new forks.
        reopened: the incarnation that was opened in the same transaction, because the own origin was found forked, or
            further on elsewhere than here; None when that did not happen.
    """

    outcomes: tuple[Outcome, ...]
    events: int
    states: tuple[OriginState, ...]
    forks: tuple[ForkFound, ...]
    reopened: OriginState | None
