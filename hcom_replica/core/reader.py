"""What the pure core reads of the log: implemented by the store, and by nothing that the core imports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from hcom_replica.core.origin import CommitRow, OriginState
from hcom_replica.ids import OriginId
from hcom_replica.wire.event import Event

if TYPE_CHECKING:
    from hcom_replica.core.kept import Basis
    from hcom_replica.core.roster import Roster


class StoredRun(msgspec.Struct, frozen=True):
    """Whole consecutive commits of one origin, as they are stored.

    Attributes:
        first: seq of the first record.
        prev: c[first - 1].
        cum: cumulative encoded bytes at first - 1.
        records: encoded events.
        commits: ascending; the last is at the last record.
    """

    first: int
    prev: bytes
    cum: int
    records: list[bytes]
    commits: list[CommitRow]

    @property
    def last(self) -> int:
        """Seq of the last record."""
        return self.first + len(self.records) - 1

    @property
    def raw_bytes(self) -> int:
        """Encoded bytes of all records."""
        return self.commits[-1].cum - self.cum


class OwnTip(msgspec.Struct, frozen=True):
    """The own origin, read in the transaction that made the promise durable (protocol-v1 6.3)."""

    origin: OriginState
    commit: CommitRow
    promise: int


class LogReader(Protocol):
    """Reads of the log; each sees the newest committed state."""

    def own_origin(self) -> OriginState | None:
        """The origin this device appends to now; None before the first append."""

    def origin_state(self, origin: OriginId) -> OriginState | None:
        """What is held of an origin; None when nothing is."""

    def origins(self) -> list[OriginState]:
        """All origins of which something is held."""

    def read_run(self, origin: OriginId, first: int, raw_bytes_max: int) -> StoredRun | None:
        """Whole commits from the kept commit at or below first - 1 on.

        Returns:
            At least one commit, then as many more as keep within `raw_bytes_max` encoded bytes; None when nothing at or
            above `first` is held.
        """

    def read_behind(self, held: OriginState, raw_bytes_max: int) -> StoredRun | None:
        """Whole commits behind an earlier state of an origin, with none of what it holds; else as `read_run`."""

    def tip_at(self, origin: OriginId, seq: int) -> bytes:
        """c[seq] of a held seq (base included): from the kept commit below, recomputed where needed."""

    def commit_at_or_below(self, origin: OriginId, seq: int) -> CommitRow | None:
        """The kept commit with the highest seq that is at most `seq`; None when there is none above the base."""

    def promises(self) -> dict[OriginId, int]:
        """Origin -> nothing of it behind what is held has an hlc at or below that (P6.3); the own one included.

        One that is not named has promised nothing beyond its newest event.
        """

    def redaction_count(self) -> int:
        """How many redactions are known; never less than before."""

    def redacted_places(self) -> set[tuple[OriginId, int]]:
        """(origin that is not derived, seq) of all redactions known, whether their events are held or not."""

    def kept_roster(self, basis: Basis) -> Roster | None:
        """The roster that is kept as judged from exactly that; None when there is none."""

    def system_events(self) -> list[tuple[OriginId, int, Event]]:
        """(origin, seq, event) of all system events held, in unified order."""
