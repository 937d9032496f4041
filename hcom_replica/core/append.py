"""Appending: a pure function from events to records, commits and the new state (protocol-v1 3.3, 3.5, 4.1 to 4.3).

The store reads the state inside its write transaction, calls `append`, and writes what comes back in the same
transaction. The simulator runs this very function.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

import msgspec

from hcom_replica.core.chain import links
from hcom_replica.core.hello import HELLO, Hello, Link, system_draft
from hcom_replica.core.hlc import drift_ms, following, pack
from hcom_replica.core.origin import CommitRow, OriginState, fresh_origin
from hcom_replica.limits import COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX
from hcom_replica.wire.batch import Descriptor
from hcom_replica.wire.event import Draft, encode_event, is_system
from hcom_replica.wire.signing import COMMIT, DeviceKey, commit_digest

FIRST: Final = "first"
CLOCK: Final = "clock corrected"


class Writer(NamedTuple):
    """Who appends: the device's key, its group and its name, and the check of the epoch that it joined by."""

    device: DeviceKey
    group: bytes
    name: str
    epoch: bytes = b""


class WriterState(NamedTuple):
    """What the store holds of the writer before an append.

    Attributes:
        origin: its current origin; None before its first append.
        high_water: HLC high water.
        generation: the highest of all its incarnations that are held, the fetched ones too.
    """

    origin: OriginState | None
    high_water: int
    generation: int = 0


class Appended(NamedTuple):
    """What an append adds: one run of one origin, to be written in one transaction.

    Attributes:
        origin: the origin's state after it.
        first: seq of the first record.
        records: encoded events; a `_hello` in front when the origin is new.
        hlcs: one for each record.
        system: seqs of the system events among them.
        commits: one or more; the last is at the last record.
        high_water: HLC high water after it.
        drafts_at: index in `records` of the first of the caller's events.
    """

    origin: OriginState
    first: int
    records: list[bytes]
    hlcs: list[int]
    system: list[int]
    commits: list[CommitRow]
    high_water: int
    drafts_at: int


def append(writer: Writer, state: WriterState, drafts: Sequence[Draft], now_ms: int, nonce: bytes) -> Appended:
    """Append events to the writer's current origin, opening a new incarnation first where the rules ask for it.

    Args:
        writer: who appends.
        state: read in the transaction that will store the result.
        drafts: one or more events, checked with `check_draft`.
        now_ms: wall clock.
        nonce: 8 fresh random bytes, used only if an incarnation is opened.
    """
    if state.origin is None:
        return open_incarnation(writer, state, drafts, now_ms, nonce, FIRST)
    if drift_ms(state.high_water, now_ms):
        return open_incarnation(writer, state, drafts, now_ms, nonce, CLOCK)
    return _extend(writer, state.origin, drafts, now_ms, state.high_water)


def open_incarnation(
    writer: Writer, state: WriterState, drafts: Sequence[Draft], now_ms: int, nonce: bytes, reason: str
) -> Appended:
    """Begin a new origin, linked to what is held of the one before, and append events to it.

    Its high water starts at the wall clock when the old one is ahead of it by more than the drift bound (P3.5). It is
    of the next generation, or of a higher one that is held: two clones that follow each other so do not climb for ever.
    """
    before = state.origin
    generation = max(before.generation + 1 if before is not None else 1, state.generation)
    incarnation = generation.to_bytes(4, "big") + nonce
    linked = Link(before.id.hex(), before.seq, before.tip.hex()) if before is not None else None
    hello = Hello(writer.device.public.hex(), incarnation.hex(), writer.name, linked, writer.epoch.hex(), reason)
    origin = fresh_origin(writer.group, Descriptor(writer.device.public, incarnation, ()))
    origin = msgspec.structs.replace(origin, name=writer.name)
    high_water = pack(now_ms) if drift_ms(state.high_water, now_ms) else state.high_water
    return _extend(writer, origin, [system_draft(HELLO, hello), *drafts], now_ms, high_water, drafts_at=1)


def _extend(
    writer: Writer, origin: OriginState, drafts: Sequence[Draft], now_ms: int, high_water: int, drafts_at: int = 0
) -> Appended:
    first = origin.seq + 1
    lowest = following(high_water, now_ms)
    hlcs = list(range(lowest, lowest + len(drafts)))
    records = list(map(encode_event, hlcs, drafts))
    tips = links(origin.tip, records, [draft.body for draft in drafts])
    kinds = [draft.kind for draft in drafts]
    system = (
        [seq for seq, kind in enumerate(kinds, first) if is_system(kind)] if any(map(is_system, set(kinds))) else []
    )
    commits = []
    for end, cum in _ends(records, origin.cum):
        seq, hlc, tip = first + end, hlcs[end], tips[end]
        digest = commit_digest(origin.root(writer.group), seq, hlc, cum, tip)
        commits.append(CommitRow(seq, hlc, cum, tip, writer.device.sign(COMMIT, digest)))
    last = commits[-1]
    after = msgspec.structs.replace(
        origin, seq=last.seq, hlc=last.hlc, tip=last.tip, cum=last.cum, system=origin.system + len(system)
    )
    return Appended(after, first, records, hlcs, system, commits, last.hlc, drafts_at)


def _ends(records: Sequence[bytes], cum: int) -> list[tuple[int, int]]:
    """Where commits go: (index of the last record, cumulative bytes there), ascending; the last is the last record."""
    ends: list[tuple[int, int]] = []
    before = list(accumulate(map(len, records), initial=cum))
    begin = 0
    while begin < len(records):
        fits = bisect_right(before, before[begin] + COMMIT_BYTES_MAX, begin, len(before)) - 1
        begin = max(begin + 1, min(fits, begin + COMMIT_EVENTS_MAX))
        ends.append((begin - 1, before[begin]))
    return ends
