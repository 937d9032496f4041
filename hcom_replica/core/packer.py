"""Packing stored runs into messages: as many whole commits as fit, and parts for what fits none (P4.7, P5.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hcom_replica.core.chain import walk
from hcom_replica.core.origin import OriginState
from hcom_replica.core.reader import LogReader, StoredRun
from hcom_replica.limits import BATCH_RAW_BYTES_AIM, COMMIT_BYTES_MAX
from hcom_replica.wire.batch import Batch, Commit, encode_batch
from hcom_replica.wire.event import encoded_bytes
from hcom_replica.wire.frame import Packed, pack
from hcom_replica.wire.messages import Part
from hcom_replica.wire.signing import hash32

_PART_BYTES: Final = 96
"""Room for the fields of a part beside its chunk."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A run ready to be sent: one batch, or the parts of a batch that fits no message.

    Attributes:
        first: seq of its first event.
        last: seq of its last event.
        raw: encoded bytes of its events.
        whole: the packed payload, when it fits one message.
        parts: the pieces otherwise.
    """

    first: int
    last: int
    raw: int
    whole: Packed | None
    parts: tuple[Part, ...] = ()


def as_batch(state: OriginState, run: StoredRun) -> bytes:
    """A stored run as an encoded batch; with the descriptor when it starts the origin."""
    descriptor = state.descriptor if run.first == state.base + 1 else None
    commits = [Commit(row.seq, row.signature) for row in run.commits]
    return encode_batch(Batch(state.id, run.first, run.prev, run.cum, run.records, commits, descriptor))


def bundle(log: LogReader, state: OriginState, first: int, room: int, exactly_to: int | None = None) -> Bundle | None:
    """Pack what is held from `first` on into one message, or one oversized commit into parts.

    Args:
        log: the store.
        state: the origin's state.
        first: lowest seq wanted; the bundle begins at the kept commit at or below first - 1.
        room: packed payload bytes that fit a message.
        exactly_to: highest seq wanted: the bundle begins at `first` and ends at the commit that covers this; None for
            whole commits, as many as fit.

    Returns:
        The bundle; None when nothing at or above `first` is held.
    """
    raw = BATCH_RAW_BYTES_AIM
    while True:
        run = log.read_run(state.id, first, raw)
        if run is None:
            return None
        run = run if exactly_to is None else cut_run(run, first, exactly_to)
        batch = as_batch(state, run)
        packed = pack(batch)
        if len(packed.data) <= room:
            return Bundle(run.first, run.last, run.raw_bytes, packed)
        if len(run.commits) == 1:
            return Bundle(run.first, run.last, run.raw_bytes, None, _parts(state, run, packed, room))
        raw = max(COMMIT_BYTES_MAX, int(run.raw_bytes * room / len(packed.data) * 0.9)) if raw > COMMIT_BYTES_MAX else 1


def bundle_behind(log: LogReader, held: OriginState, room: int) -> Bundle | None:
    """Pack what was stored behind an earlier state of an origin, and nothing that it holds, into one message.

    Args:
        log: the store.
        held: the origin as it was.
        room: packed payload bytes that fit a message.

    Returns:
        The bundle; None when there is nothing, or when it does not fit.
    """
    run = log.read_behind(held, BATCH_RAW_BYTES_AIM)
    if run is None:
        return None
    packed = pack(as_batch(held, run))
    return Bundle(run.first, run.last, run.raw_bytes, packed) if len(packed.data) <= room else None


def cut_run(run: StoredRun, first: int, last: int) -> StoredRun:
    """Leave out what stands before `first`, and the commits behind the one that covers `last`."""
    commits = run.commits[: 1 + sum(1 for row in run.commits[:-1] if row.seq < last)]
    known = max(first - run.first, 0)
    skipped, records = run.records[:known], run.records[known : commits[-1].seq - run.first + 1]
    return StoredRun(run.first + known, walk(run.prev, skipped), run.cum + encoded_bytes(skipped), records, commits)


def _parts(state: OriginState, run: StoredRun, packed: Packed, room: int) -> tuple[Part, ...]:
    blob = bytes((packed.codec,)) + packed.data
    digest = hash32(blob)[:16]
    size = room - _PART_BYTES
    count = -(-len(blob) // size)
    return tuple(
        Part(digest, index, count, state.id, run.first, blob[index * size : (index + 1) * size])
        for index in range(count)
    )
