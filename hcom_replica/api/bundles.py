"""Sealed bundles: everything that is held, in a file for another device of the group, or kept as a backup.

Owns that a bundle is looked at whole before any of it is stored, and that nothing is stored by another way than what
comes from the wire. Neither makes nor takes anything secret: who reads a bundle needs the group's token.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from hcom_replica.api.appending import wall_ms
from hcom_replica.api.control import wake
from hcom_replica.api.importing import Progress
from hcom_replica.api.keyepochs import membership_of
from hcom_replica.api.output import written
from hcom_replica.api.replica import Replica
from hcom_replica.api.times import iso_ms
from hcom_replica.core.membership import Membership
from hcom_replica.core.origin import CommitRow, OriginState, fresh_origin
from hcom_replica.core.packer import as_batch, cut_run
from hcom_replica.core.place import Gap, Misfit
from hcom_replica.core.reader import StoredRun
from hcom_replica.core.report import IngestReport, Refused
from hcom_replica.core.verify import Run, verify_batch
from hcom_replica.errors import BundleError, ConfigError, ProtocolError, StoreError
from hcom_replica.ids import OriginId
from hcom_replica.limits import BATCH_REDACTED_MAX, MIB
from hcom_replica.store.log import Log
from hcom_replica.wire.batch import decode_batch
from hcom_replica.wire.bundle import (
    ENVELOPE_BYTES_MAX,
    HEAD_BYTES,
    LENGTH_BYTES,
    BundleHead,
    Manifest,
    Opener,
    Sealer,
    decode_head,
)
from hcom_replica.wire.codec import U64_MAX
from hcom_replica.wire.event import REDACTED
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.seal import NONCE_BYTES

_BATCH_BYTES: Final = 1 * MIB
_STAGED_BYTES: Final = 4 * MIB


class Exported(msgspec.Struct, frozen=True):
    """What a bundle holds that was made.

    Attributes:
        events: system events included.
        origins: whose.
        size_bytes: of the file.
    """

    events: int
    origins: int
    size_bytes: int


class BundleTaken(msgspec.Struct, frozen=True):
    """What became of a bundle. Events are counted with system events.

    Attributes:
        stored_events: were not here before.
        held_events: were here already.
        left_out_events: of revoked devices, written after they were shut out.
        not_placed: origins of which something did not fit what is held here; the other devices will bring it.
        forks: of origins that have two different histories.
        device: name of the device that made it.
        made_at: when, by that device's clock.
        incarnation: the bundle held more of this device's own log than this folder: it writes under a new origin now.
    """

    stored_events: int
    held_events: int
    left_out_events: int
    not_placed: list[str]
    forks: list[str]
    device: str
    made_at: str | None
    incarnation: str | None


# --- making one ----------------------------------------------------------------------------------------------


def export_bundle(
    replica: Replica, path: Path, *, force: bool = False, progress: Progress = lambda *_: None
) -> Exported:
    """Seal everything that is held into a file.

    Args:
        replica: open.
        path: of the file, whole or not there at the end.
        force: replace a file that is there.
        progress: told from time to time, in events.

    Raises:
        UsageError: there is a file already; nothing was written.
        OutputError: it cannot be written; what was there stands.
        ConfigError: this device has no part in the group any more.
    """
    replica.introduce()
    own = replica.log.own_origin()
    membership = membership_of(replica.parts)
    if own is None or membership.shut_out:
        raise ConfigError(f"this device has no valid key: {membership.shut_out}", hint="ask on another device")
    keys, device = membership.adopted, replica.parts.device
    head = BundleHead(keys.group, keys.epoch, keys.check, os.urandom(16))
    sealer = Sealer(keys, head)
    states = sorted(replica.log.origins(), key=lambda state: (len(state.forks), state.id))
    total = sum(state.seq - state.base for state in states)
    events = 0
    with written(path, force=force) as file:
        file.write(head.encode())
        file.write(sealer.manifest(Manifest(own.key, own.incarnation, wall_ms(), replica.device), _nonce()))
        for state in states:
            for run in _runs(replica.log, state):
                file.write(sealer.batch(as_batch(state, run), _nonce()))
                events += len(run.records)
                progress("sealing", events, total)
        file.write(sealer.end(device, events, _nonce()))
        size = file.tell()
    return Exported(events, len(states), size)


def _nonce() -> bytes:
    return os.urandom(NONCE_BYTES)


def _runs(log: Log, state: OriginState) -> Iterator[StoredRun]:
    """Whole commits of an origin, each run behind the one before it, at least up to the state's seq."""
    seq, tip = state.base, b""
    while seq < state.seq:
        run = _next_run(log, state.id, seq + 1)
        if tip and run.prev != tip:
            raise StoreError(f"origin {state.id.hex()} was forked meanwhile", hint="run it again")
        yield run
        seq, tip = run.last, run.commits[-1].tip


def _next_run(log: Log, origin: OriginId, first: int) -> StoredRun:
    raw = _BATCH_BYTES
    while True:
        run = log.read_run(origin, first, raw)
        if run is None:
            raise StoreError(f"origin {origin.hex()} was forked meanwhile", hint="run it again")
        run = cut_run(run, first, U64_MAX)
        if sum(record[:1] == REDACTED for record in run.records) <= BATCH_REDACTED_MAX or raw == 1:
            return run
        raw = 1  # a commit alone has fewer


# --- taking one ----------------------------------------------------------------------------------------------


def import_bundle(replica: Replica, file: BinaryIO, *, progress: Progress = lambda *_: None) -> BundleTaken:
    """Store what a bundle holds and this device lacks.

    Args:
        replica: open, of the bundle's group.
        file: seekable, at its start.
        progress: told from time to time, in bytes.

    Raises:
        BundleError: it is cut, forged, of another group or of an unknown key epoch; nothing was stored.
        StoreError: what was stored so far stands; the same call goes on.
    """
    membership = membership_of(replica.parts)
    size = file.seek(0, os.SEEK_END)
    taker = _Taker(replica.log, membership)
    events = 0
    opener = _opener(file, membership)
    for run in _verified(file, opener, replica.log, membership):
        events += len(run.records)
        progress("checking", file.tell(), size)
    for run in _verified(file, _opener(file, membership), replica.log, membership):
        taker.add(run)
        progress("storing", file.tell(), size)
    taker.flush()
    wake(replica.folder)
    replica.names.refresh()
    return taker.taken(opener.manifest, events)


def _opener(file: BinaryIO, membership: Membership) -> Opener:
    """Read the head, from the start of the file."""
    file.seek(0)
    try:
        head = decode_head(file.read(HEAD_BYTES))
    except ProtocolError as error:
        if error.reason == "version":
            raise BundleError("this bundle is of a newer version", hint="update hcom-replica") from None
        raise BundleError("this is no bundle", hint="hcom-replica export FILE makes one") from None
    return Opener(_keys(head, membership), head)


def _keys(head: BundleHead, membership: Membership) -> GroupKeys:
    group = membership.viewer.joined.group
    if head.group != group:
        raise BundleError(
            f"this bundle belongs to group {head.group.hex()[:8]}, this folder to {group.hex()[:8]}",
            hint="join its group first, in a folder of its own: hcom-replica --dir PATH relay connect TOKEN",
        )
    keys = membership.keyring.get(head.check)
    if keys is None:
        raise BundleError(
            f"this bundle is sealed under key epoch {head.epoch}, which this device does not know",
            hint="sync once, or join with a newer token: hcom-replica relay token on another device",
        )
    return keys


def _verified(file: BinaryIO, opener: Opener, log: Log, membership: Membership) -> Iterator[Run]:
    """Yield all runs of a bundle, verified; its end last of all."""
    line = _Line(log, opener, membership)
    events = number = 0
    while not opener.ended:
        envelope = _envelope(file, number)
        with _told(number):
            batch = opener.open(envelope, events)
            line.check_author()
            run = line.verify(batch) if batch is not None else None
        if run is not None:
            events += len(run.records)
            yield run
        number += 1
    if file.read(1):
        raise BundleError("this bundle goes on behind its end", hint="get it again from where it was made")


def _envelope(file: BinaryIO, number: int) -> bytes:
    size = int.from_bytes(_exactly(file, LENGTH_BYTES, number), "big")
    if size > ENVELOPE_BYTES_MAX:
        raise _forged(number, "it claims to be larger than any can be")
    return _exactly(file, size, number)


def _exactly(file: BinaryIO, size: int, number: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise BundleError(f"this bundle is cut: it ends in frame {number}", hint="copy it again")
    return data


@contextmanager
def _told(number: int) -> Iterator[None]:
    try:
        yield
    except ProtocolError as error:
        raise _forged(number, f"{error.reason}: {error}") from None


def _forged(number: int, why: str) -> BundleError:
    return BundleError(
        f"this bundle is damaged or forged, in frame {number} ({why}); nothing was stored",
        hint="copy it again; if that does not help, make it anew",
    )


class _Line:
    """Checks that the batches of a bundle verify and join each other (P14.4)."""

    def __init__(self, log: Log, opener: Opener, membership: Membership) -> None:
        self._log = log
        self._opener = opener
        self._membership = membership
        self._group = membership.viewer.joined.group
        self._seen: dict[OriginId, tuple[OriginState, CommitRow]] = {}

    def check_author(self) -> None:
        """Refuse a bundle of a device that is shut out."""
        manifest = self._opener.manifest
        if manifest.key in self._membership.revoked:
            raise BundleError(f"this bundle was made by {manifest.name}, which is revoked; nothing was stored")

    def verify(self, encoded: bytes) -> Run:
        """Verify the next batch.

        Raises:
            ProtocolError: it does not verify, or does not join what stands before it.
        """
        batch = decode_batch(encoded)
        origin = OriginId(batch.origin)
        before = self._seen.get(origin)
        known = before[0] if before is not None else self._log.origin_state(origin)
        run = verify_batch(self._group, batch, known)
        if before is not None:
            _check_joined(run, before[1])
        elif run.first - 1 > (run.base if known is None else known.seq):
            raise ProtocolError("order", "something is missing before it")
        state = known or fresh_origin(self._group, run.descriptor)
        self._seen[origin] = (state, run.commits[-1])
        return run


def _check_joined(run: Run, before: CommitRow) -> None:
    if run.first != before.seq + 1 or run.hlcs[0] <= before.hlc:
        raise ProtocolError("order", "does not follow the batch before it")
    if (run.prev, run.cum) != (before.tip, before.cum):
        raise ProtocolError("chain", "does not join the batch before it")


class _Taker:
    """Stores runs, a few MiB in a transaction."""

    def __init__(self, log: Log, membership: Membership) -> None:
        self._log = log
        self._membership = membership
        self._staged: list[Run] = []
        self._staged_bytes = 0
        self._stored = self._left_out = 0
        self._not_placed: set[OriginId] = set()
        self._forks: set[OriginId] = set()
        self._incarnation: OriginState | None = None

    def add(self, run: Run) -> None:
        """Take a run, unless it goes beyond a cut (P12.11)."""
        cut = self._membership.cut(run.descriptor.key, run.origin)
        if cut is not None and run.last > cut:
            self._left_out += len(run.records)
            return
        self._staged.append(run)
        self._staged_bytes += run.commits[-1].cum - run.cum
        if self._staged_bytes >= _STAGED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Store what was taken."""
        if self._staged:
            self._note(self._log.ingest(self._staged, wall_ms()))
            self._staged, self._staged_bytes = [], 0

    def _note(self, report: IngestReport) -> None:
        self._stored += report.events
        self._not_placed.update(one.origin for one in report.outcomes if isinstance(one.placement, _UNPLACED))
        self._forks.update(found.kept for found in report.forks)
        self._incarnation = report.reopened or self._incarnation

    def taken(self, manifest: Manifest, events: int) -> BundleTaken:
        """What became of the bundle."""
        return BundleTaken(
            self._stored,
            max(0, events - self._left_out - self._stored),
            self._left_out,
            sorted(origin.hex() for origin in self._not_placed),
            sorted(origin.hex() for origin in self._forks),
            manifest.name,
            iso_ms(manifest.wall_ms),
            None if self._incarnation is None else self._incarnation.id.hex(),
        )


_UNPLACED: Final = (Gap, Misfit, Refused)
