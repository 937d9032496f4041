"""Reading a bundle's file: head, frames, verified runs (protocol-v1 section 14).

Owns what makes a bundle unusable as a whole, and how that is told. Stores nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from hcom_replica.api.keyepochs import membership_of
from hcom_replica.api.opening import Parts
from hcom_replica.core.members import read_members
from hcom_replica.core.membership import Membership, judge
from hcom_replica.core.origin import CommitRow, OriginState, fresh_origin
from hcom_replica.core.verify import Run, verify_batch
from hcom_replica.errors import BundleError, ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.store.log import Log
from hcom_replica.wire.batch import decode_batch
from hcom_replica.wire.bundle import ENVELOPE_BYTES_MAX, LENGTH_BYTES, BundleHead, Opener, read_head
from hcom_replica.wire.keys import GroupKeys


class OpenedBundle(NamedTuple):
    """A bundle whose head was read.

    Attributes:
        head: of the file.
        keys: that open the rest.
        membership: by the log, and by what the bundle tells of a newer epoch.
        start: where the frames begin.
    """

    head: BundleHead
    keys: GroupKeys
    membership: Membership
    start: int

    def opener(self) -> Opener:
        """What opens the frames, from the first on."""
        return Opener(self.keys, self.head)


def open_bundle(file: BinaryIO, parts: Parts) -> OpenedBundle:
    """Read the head, from the start of the file; the frames are next."""
    file.seek(0)
    try:
        head = read_head(file.read)
    except ProtocolError as error:
        if error.reason == "version":
            raise BundleError("this bundle is of a newer version", hint="update hcom-replica") from None
        raise BundleError("this is no bundle", hint="hcom-replica export FILE makes one") from None
    group = parts.token.keys.group
    if head.group != group:
        raise BundleError(
            f"this bundle belongs to group {head.group.hex()[:8]}, this folder to {group.hex()[:8]}",
            hint="join its group first, in a folder of its own: hcom-replica --dir PATH relay connect TOKEN",
        )
    membership = _told(head, parts)
    keys = membership.keyring.get(head.check)
    if keys is None:
        why = f", and is {membership.shut_out}" if membership.shut_out else ""
        raise BundleError(
            f"this bundle is sealed under key epoch {head.epoch}, which this device does not know{why}",
            hint="sync once, or join with a newer token: hcom-replica relay token on another device",
        )
    return OpenedBundle(head, keys, membership, file.tell())


def _told(head: BundleHead, parts: Parts) -> Membership:
    """Who is a member, by the log and by what a bundle tells of an epoch that the log does not hold yet (P14.7)."""
    membership = membership_of(parts)
    if head.check in membership.keyring:
        return membership
    with _refused(0):
        notice = head.notice(membership.keyring)
    if notice is None:
        return membership
    members, keys = read_members(parts.log), {state.key for state in parts.log.origins()}
    return judge(parts.viewer, members.book, keys, members.retired, [notice])


def verified_runs(file: BinaryIO, opener: Opener, log: Log, membership: Membership) -> Iterator[Run]:
    """Yield all runs of a bundle, verified; its end last of all."""
    line = _Line(log, opener, membership)
    events = number = 0
    while not opener.ended:
        envelope = _envelope(file, number)
        with _refused(number):
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
def _refused(number: int) -> Iterator[None]:
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
