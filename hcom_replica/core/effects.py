"""What the replica machine asks its surroundings to do.

The order of effects is a contract: they are carried out one after the other, in the order given, and an effect
that fails stops what follows it from the same step. In particular `Ingest`, `Promise`, `OpenIncarnation` and
`AppendSystem` are durable BEFORE any `Publish` behind them is handed to the link. Dying between any two effects leaves
a state that the next start recovers from.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from hcom_replica.core.verify import Run
from hcom_replica.ids import OriginId
from hcom_replica.wire.event import Draft


class Now(NamedTuple):
    """The time of an input: UTC wall clock and monotonic, both in ms. Timers run on the second."""

    wall_ms: int
    mono_ms: int


class Subscribe(msgspec.Struct, frozen=True):
    """Subscribe the link to filters. `no_local` and `fresh` as in ports.Link.subscribe."""

    filters: tuple[str, ...]
    no_local: bool = False
    fresh: bool = True


class Unsubscribe(msgspec.Struct, frozen=True):
    """End subscriptions of the link."""

    filters: tuple[str, ...]


class Publish(msgspec.Struct, frozen=True):
    """Hand a message to the link at QoS 1. `Machine.published(token)` follows when the broker has taken it."""

    token: int
    topic: str
    payload: bytes
    retain: bool


class Ingest(msgspec.Struct, frozen=True):
    """Store verified runs of remote events in one transaction; `Machine.ingested` follows with the store's report.

    On a store error `Machine.ingest_failed` follows instead and nothing was stored.
    """

    runs: tuple[Run, ...]


class Promise(msgspec.Struct, frozen=True):
    """Raise the high water to a promise, durably; `Machine.promised` follows with the own tip of that transaction."""


class OpenIncarnation(msgspec.Struct, frozen=True):
    """Append a hello of a new incarnation, durably; `Machine.log_moved` follows."""

    reason: str


class AppendSystem(msgspec.Struct, frozen=True):
    """Append system events to the own log, durably, as one append; `Machine.log_moved` follows."""

    drafts: tuple[Draft, ...]


class NotePeers(msgspec.Struct, frozen=True):
    """Keep slot messages of others in table `peers`, so that status answers with no network.

    Not urgent: several may be kept at once.
    Each item: (kind u8, author origin, page, received at wall ms, author key || incarnation || payload).
    """

    items: tuple[tuple[int, OriginId, int, int, bytes], ...]


class Disconnect(msgspec.Struct, frozen=True):
    """End this connection; a new one is made as after any other end of a link."""

    reason: str


class Trace(msgspec.Struct, frozen=True):
    """Something worth a line in the log. `fields` are plain values, without secrets."""

    event: str
    fields: tuple[tuple[str, str | int | bool | None], ...] = ()


Effect = (
    Subscribe
    | Unsubscribe
    | Publish
    | Ingest
    | Promise
    | OpenIncarnation
    | AppendSystem
    | NotePeers
    | Disconnect
    | Trace
)
