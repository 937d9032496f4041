"""Verification: a batch from anyone, checked on its own before it is compared with what is held (protocol-v1 4.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from hcom_replica.core.chain import chained, links
from hcom_replica.core.hello import Rename, check_hello, read_system
from hcom_replica.core.origin import CommitRow, OriginState
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.limits import BATCH_REDACTED_MAX, COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX
from hcom_replica.wire.batch import Batch, Descriptor
from hcom_replica.wire.codec import U64_MAX
from hcom_replica.wire.event import (
    TIME_US_MAX,
    Event,
    RedactedEvent,
    check_event,
    decode_events,
    encoded_bytes,
    is_system,
)
from hcom_replica.wire.redaction import REDACT, Redaction, check_redaction, stated_redaction
from hcom_replica.wire.signing import COMMIT, commit_digest, origin_hash, root_hash, short, verify

_LOW: Final = -TIME_US_MAX
_HIGH: Final = TIME_US_MAX
_LARGE: Final = COMMIT_BYTES_MAX


class Run(NamedTuple):
    """A verified run of whole commits of one origin. Every field is checked except that it fits what is held.

    Attributes:
        origin: short id.
        descriptor: what defines the origin.
        first: seq of the first record.
        prev: c[first - 1].
        cum: cumulative bytes at first - 1.
        records: encoded events.
        hlcs: one for each record, growing.
        tips: c after each record.
        system: seqs of the system events.
        commits: ascending; the last is at the last record.
        names: (seq, name) where the run states the device's name.
        redactions: what its redacted records and its `_redact` events prove, in the order of the run.
    """

    origin: OriginId
    descriptor: Descriptor
    first: int
    prev: bytes
    cum: int
    records: list[bytes]
    hlcs: list[int]
    tips: list[bytes]
    system: list[int]
    commits: list[CommitRow]
    names: list[tuple[int, str]]
    redactions: Sequence[Redaction] = ()

    @property
    def last(self) -> int:
        """Seq of the last record."""
        return self.first + len(self.records) - 1

    @property
    def base(self) -> int:
        """The seq before the origin's first."""
        return self.descriptor.forks[-1].base if self.descriptor.forks else 0


def verify_batch(group: bytes, batch: Batch, known: OriginState | None) -> Run:
    """Verify a batch.

    Args:
        group: 16 bytes.
        batch: decoded and of sound shape.
        known: what is held of its origin, or None; a batch of an unknown origin needs its descriptor.

    Raises:
        ProtocolError: `hello`, `limit`, `format`, `order`, `chain` or `signature`; nothing was changed.
    """
    descriptor = _descriptor(group, batch, known)
    events, whole = decode_events(batch.records)
    _check_events(events, batch.records)
    system = [(seq, event) for seq, event in enumerate(events, batch.first) if is_system(event.kind)]
    run = Run(
        OriginId(batch.origin),
        descriptor,
        batch.first,
        batch.prev,
        batch.cum,
        batch.records,
        [event.hlc for event in events],
        links(batch.prev, batch.records, [event.body for event in events])
        if whole
        else chained(batch.prev, batch.records, events),
        [seq for seq, _ in system],
        [],
        [name for seq, event in system for name in _name(seq, event.kind, event.body, descriptor)],
    )
    _check_start(run)
    redacted = [] if whole else _redacted(events)
    run.commits.extend(_commits(group, batch, run, whole=whole))
    stated = [event.body for _, event in system if event.kind == REDACT]
    return run._replace(redactions=_redactions(group, run, redacted, stated)) if redacted or stated else run


def _check_events(events: list[Event], records: list[bytes]) -> None:
    """Check limits and order; each pair of kind and agent once, because they repeat."""
    sound: set[tuple[str, str | None]] = set()
    hlc = 0
    for event, record in zip(events, records, strict=True):
        pair, time = (event.kind, event.agent), event.time
        if pair not in sound or len(event.body) > _LARGE or not (time is None or _LOW <= time <= _HIGH):
            check_event(event, record)
            sound.add(pair)
        if event.hlc <= hlc:
            raise ProtocolError("order", "hlc does not grow")
        hlc = event.hlc


def _descriptor(group: bytes, batch: Batch, known: OriginState | None) -> Descriptor:
    if known is not None and (batch.descriptor is None or batch.descriptor == known.descriptor):
        return known.descriptor
    if batch.descriptor is None:
        raise ProtocolError("hello", "batch of an unknown origin without descriptor")
    if short(origin_hash(group, batch.descriptor)) != batch.origin:
        raise ProtocolError("hello", "descriptor of another origin")
    if known is not None:
        raise ProtocolError("hello", "two origins with one short id")
    return batch.descriptor


def _check_start(run: Run) -> None:
    if run.first <= run.base:
        raise ProtocolError("order", "starts at or below its base")
    if run.first > run.base + 1:
        return
    forks = run.descriptor.forks
    if forks and run.tips[0] != forks[-1].link:
        raise ProtocolError("chain", "a derived origin starts with another event")
    if not forks and not (run.names and run.names[0][0] == 1):
        raise ProtocolError("hello", "does not start with a hello")


def _name(seq: int, kind: str, body: bytes, descriptor: Descriptor) -> list[tuple[int, str]]:
    if seq == 1:
        return [(1, check_hello(kind, body, descriptor.key, descriptor.incarnation).name)]
    stated = read_system(kind, body)
    return [(seq, stated.name)] if isinstance(stated, Rename) else []


def _redacted(events: list[Event]) -> list[tuple[int, RedactedEvent]]:
    """The redacted among the events, by index. Each costs a signature check, so a batch holds so many at most."""
    found = [(at, event) for at, event in enumerate(events) if isinstance(event, RedactedEvent)]
    if len(found) > BATCH_REDACTED_MAX:
        raise ProtocolError("limit", "too many redacted records")
    return found


def _redactions(
    group: bytes, run: Run, redacted: list[tuple[int, RedactedEvent]], stated: list[bytes]
) -> list[Redaction]:
    """What the run proves to be redacted. A record without its body that is not signed for is refused (P3.9, P3.8)."""
    key = run.descriptor.key
    root = root_hash(group, key, run.descriptor.incarnation)
    carried = [
        check_redaction(key, Redaction(root, run.first + at, run.tips[at], event.signature)) for at, event in redacted
    ]
    said = [stated_redaction(group, body) for body in stated]
    return [*carried, *(redaction for redaction in said if redaction is not None)]


def _commits(group: bytes, batch: Batch, run: Run, *, whole: bool) -> list[CommitRow]:
    """Check the commits; `whole` says that no record is redacted."""
    root = root_hash(group, run.descriptor.key, run.descriptor.incarnation)
    if run.first == 1 and run.prev != root:
        raise ProtocolError("chain", "does not start at its origin")
    rows, at, cum = [], 0, batch.cum
    for commit in batch.commits:
        upto = commit.seq - batch.first + 1
        records = batch.records[at:upto]
        size = sum(map(len, records)) if whole else encoded_bytes(records)
        if upto - at > COMMIT_EVENTS_MAX or (size > COMMIT_BYTES_MAX and upto - at > 1):
            raise ProtocolError("limit", "commit covers too much")
        cum += size
        if cum > U64_MAX:
            raise ProtocolError("limit", "cumulative bytes do not fit 64 bits")
        row = CommitRow(commit.seq, run.hlcs[upto - 1], cum, run.tips[upto - 1], commit.signature)
        verify(run.descriptor.key, COMMIT, commit_digest(root, row.seq, row.hlc, cum, row.tip), row.signature)
        rows.append(row)
        at = upto
    return rows
