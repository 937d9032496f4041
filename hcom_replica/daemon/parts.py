"""What the engine needs of the machine, the log and the transport: types only.

The daemon gives it `core.machine.Machine`, `store.log.Log` and PahoLinks; the simulator the same machine and log over
simulated links; unit tests give it fakes. Nothing here behaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from hcom_replica.core.effects import Effect, Now
from hcom_replica.core.kept import KeptRoster
from hcom_replica.core.origin import OriginState
from hcom_replica.core.peers import Note
from hcom_replica.core.reader import OwnTip
from hcom_replica.core.report import IngestReport
from hcom_replica.core.verify import Run
from hcom_replica.ids import EventId
from hcom_replica.ports import Link, Will
from hcom_replica.wire.event import Draft


class Replica(Protocol):
    """The replica machine, as far as the engine drives it (see `core.machine`)."""

    def will(self, now: Now) -> tuple[str, bytes] | None:
        """(topic, payload) of the will of the link that is about to be opened; None is no will."""

    def link_up(self, now: Now, packet_bytes_max: int | None) -> None:
        """The broker accepted us."""

    def link_down(self, now: Now, reason: str) -> None:
        """The link that was up has ended."""

    def subscribed(self, now: Now, filters: tuple[str, ...], refused: tuple[str, ...]) -> None:
        """The broker answered a SUBSCRIBE."""

    def published(self, now: Now, token: int, *, refused: bool) -> None:
        """The broker answered a PUBLISH."""

    def received(self, now: Now, topic: str, payload: bytes, *, retain: bool) -> None:
        """A message came."""

    def log_moved(self, now: Now) -> None:
        """The log has grown by something else than `Ingest`."""

    def ingested(self, now: Now, report: IngestReport) -> None:
        """`Ingest` is durable."""

    def ingest_failed(self, now: Now) -> None:
        """`Ingest` stored nothing."""

    def promised(self, now: Now, tip: OwnTip) -> None:
        """`Promise` is durable."""

    def tick(self, now: Now) -> None:
        """Time passed."""

    def closing(self, now: Now) -> None:
        """The link will be ended on purpose: say the last things."""

    def closed(self) -> bool:
        """Whether the broker has taken all of the last things."""

    def effects(self) -> list[Effect]:
        """Take what is to be done, in order."""

    def kept_roster(self) -> KeptRoster | None:
        """The roster as it was judged last, to be kept beside the log."""

    def wake_at(self) -> int | None:
        """Monotonic ms of the next `tick` wanted."""


class LogWriter(Protocol):
    """The log, as far as the engine writes it. Any method raises StoreError; then nothing was changed."""

    def ingest(self, runs: Iterable[Run], now_ms: int) -> IngestReport:
        """Store verified runs in one transaction."""

    def promise(self, now_ms: int) -> OwnTip | None:
        """Raise the high water to a promise; None when this device has no event yet."""

    def own_origin(self) -> OriginState | None:
        """The origin this device appends to; None before its first append."""

    def open_incarnation(self, reason: str, now_ms: int) -> OriginState:
        """Begin a new origin of this device."""

    def append(self, drafts: Sequence[Draft], now_ms: int) -> list[EventId]:
        """Append events of this device in one transaction."""

    def note_peers(self, notes: Iterable[Note], roster: KeptRoster | None) -> None:
        """Keep slot messages of others, and the roster that was judged last."""

    def last_txn(self) -> int:
        """A number that grows with every commit of any process."""

    def last_arrival(self) -> int:
        """How many events have ever arrived here."""


class Dialer(Protocol):
    """Makes links, one for each connection, and chooses the broker."""

    def open(self, will: Will | None) -> Link:
        """Make a link that is not started yet."""

    def came_up(self) -> None:
        """The link opened last was accepted."""

    def ended(self, *, was_up: bool) -> bool:
        """The link opened last is dead; tell whether another broker is to be tried before any pause grows."""
