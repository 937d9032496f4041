"""Sealed bundles: everything that is held, in a file for another device of the group, or kept as a backup.

Owns that a bundle is looked at whole before any of it is stored, and that nothing is stored by another way than what
comes from the wire. Neither makes nor takes anything secret: who reads a bundle needs the group's token.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from hcom_replica.api.appending import wall_ms
from hcom_replica.api.bundlefile import OpenedBundle, open_bundle, verified_runs
from hcom_replica.api.control import wake
from hcom_replica.api.keyepochs import membership_of
from hcom_replica.api.output import written
from hcom_replica.api.progress import Progress, silent
from hcom_replica.api.replica import Replica
from hcom_replica.api.times import iso_ms
from hcom_replica.core.membership import Membership
from hcom_replica.core.origin import OriginState
from hcom_replica.core.packer import as_batch, cut_run
from hcom_replica.core.place import Gap, Misfit
from hcom_replica.core.reader import StoredRun
from hcom_replica.core.report import IngestReport, Refused
from hcom_replica.core.verify import Run
from hcom_replica.errors import ConfigError, StoreError
from hcom_replica.ids import OriginId
from hcom_replica.limits import BATCH_REDACTED_MAX, MIB
from hcom_replica.store.log import Log
from hcom_replica.wire.bundle import (
    BundleHead,
    Manifest,
    Sealer,
)
from hcom_replica.wire.codec import U64_MAX
from hcom_replica.wire.event import REDACTED
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


def export_bundle(replica: Replica, path: Path, *, force: bool = False, progress: Progress = silent) -> Exported:
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
    keys, device = membership.current, replica.parts.device
    head = _head(membership)
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


def _head(membership: Membership) -> BundleHead:
    """The head, with a notice for members that know earlier epochs only."""
    keys, notice = membership.current, membership.notice()
    head = BundleHead(keys.group, keys.epoch, keys.check, os.urandom(16))
    earlier = sorted(
        (known for check, known in membership.keyring.items() if check != keys.check), key=lambda known: known.epoch
    )
    return head if notice is None else head.with_notices(earlier, notice, os.urandom)


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


def import_bundle(replica: Replica, file: BinaryIO, *, progress: Progress = silent) -> BundleTaken:
    """Store what a bundle holds and this device lacks.

    Args:
        replica: open, of the bundle's group.
        file: seekable, at its start.
        progress: told from time to time, in bytes.

    Raises:
        BundleError: it is cut, forged, of another group or of an unknown key epoch; nothing was stored.
        StoreError: what was stored so far stands; the same call goes on.
    """
    size = file.seek(0, os.SEEK_END)
    opened = open_bundle(file, replica.parts)
    taker = _Taker(replica.log, opened.membership)
    events = 0
    opener = opened.opener()
    for run in verified_runs(file, opener, replica.log, opened.membership):
        events += len(run.records)
        progress("checking", file.tell(), size)
    _store(replica, file, opened, taker, lambda: progress("storing", file.tell(), size))
    wake(replica.folder)
    replica.names.refresh()
    return taker.taken(opener.manifest, events)


def _store(replica: Replica, file: BinaryIO, opened: OpenedBundle, taker: _Taker, tell: Callable[[], None]) -> None:
    """Store all runs; again as long as what was stored tells that more of a revoked device counts."""
    left_out = -1
    while True:
        file.seek(opened.start)
        for run in verified_runs(file, opened.opener(), replica.log, opened.membership):
            taker.add(run)
            tell()
        taker.flush()
        if taker.left_out in (0, left_out):
            return
        left_out = taker.left_out
        taker.judge_anew(membership_of(replica.parts))


class _Taker:
    """Stores runs, a few MiB in a transaction.

    Attributes:
        left_out: events of revoked devices beyond what counts, since the last judgement.
    """

    def __init__(self, log: Log, membership: Membership) -> None:
        self._log = log
        self._membership = membership
        self._staged: list[Run] = []
        self._staged_bytes = 0
        self._stored = 0
        self.left_out = 0
        self._not_placed: set[OriginId] = set()
        self._forks: set[OriginId] = set()
        self._incarnation: OriginState | None = None

    def add(self, run: Run) -> None:
        """Take a run, unless it goes beyond a cut (P12.11)."""
        cut = self._membership.cut(run.descriptor.key, run.origin)
        if cut is not None and run.last > cut:
            self.left_out += len(run.records)
            return
        self._staged.append(run)
        self._staged_bytes += run.commits[-1].cum - run.cum
        if self._staged_bytes >= _STAGED_BYTES:
            self.flush()

    def judge_anew(self, membership: Membership) -> None:
        """Go by what the log says now; all runs are to be added again."""
        self._membership = membership
        self.left_out = 0

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
            max(0, events - self.left_out - self._stored),
            self.left_out,
            sorted(origin.hex() for origin in self._not_placed),
            sorted(origin.hex() for origin in self._forks),
            manifest.name,
            iso_ms(manifest.wall_ms),
            None if self._incarnation is None else self._incarnation.id.hex(),
        )


_UNPLACED: Final = (Gap, Misfit, Refused)
