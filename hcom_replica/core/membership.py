"""Who is a member, in which epoch: judged from what the log and notices say (protocol-v1 section 12).

A pure function of sets of signed statements, so that it is the same on every device that holds the same ones. What
differs from device to device is only which boxes it can open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from hcom_replica.core.book import Book
from hcom_replica.core.members import read_members
from hcom_replica.core.reader import LogReader
from hcom_replica.core.seniority import Rank, chain_to, counting, ranks_of
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.wire.epoch import (
    Certificate,
    EpochRecord,
    Notice,
    decode_notice,
    decode_record,
    is_certified,
    open_record,
)
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.signing import DeviceKey, device_id

_NOTICE_BYTES: Final = 40_000
"""Records beside the current one are told as far as they fit into so many bytes with it."""


class Viewer(NamedTuple):
    """On whose behalf is judged.

    Attributes:
        device: this device.
        joined: the epoch that its token told it of.
        founder: 32-byte key; none of a device for a group without one.
        known: epochs that earlier tokens told it of.
    """

    device: DeviceKey
    joined: GroupKeys
    founder: bytes
    known: tuple[GroupKeys, ...] = ()


class Membership(msgspec.Struct, frozen=True):
    """The judgement.

    Attributes:
        viewer: on whose behalf.
        present: keys of all devices that have said hello and have not left.
        members: of these, the ones that are not revoked.
        retired: keys of those that have said hello and have left.
        stated: author's key -> keys of the devices that it revokes, whether that counts or not.
        ranks: key -> rank, of those that have one.
        revoked: revoked key -> the most senior author whose revocation counts.
        records: the valid ones, as far as that does not depend on the viewer.
        telling: of each revoked key one record that says so, of the most senior author, valid itself or not.
        noted: all records that the log holds, encoded.
        certificates: those that count.
        keyring: every epoch that the viewer knows the secret of, by its check.
        current: the epoch that the viewer is to be in.
        adopted: the one that it is in.
        said: check of the one that its log says it is in; empty when the log says none.
        shut_out: why the viewer has no part in the group any more; empty as long as it has.
    """

    viewer: Viewer
    present: frozenset[bytes]
    members: frozenset[bytes]
    retired: frozenset[bytes]
    stated: Mapping[bytes, Collection[bytes]]
    ranks: Mapping[bytes, Rank]
    revoked: Mapping[bytes, bytes]
    records: tuple[EpochRecord, ...]
    telling: tuple[EpochRecord, ...]
    noted: frozenset[bytes]
    certificates: frozenset[Certificate]
    keyring: Mapping[bytes, GroupKeys]
    current: GroupKeys
    adopted: GroupKeys
    said: bytes
    shut_out: str
    book: Book

    @property
    def is_settled(self) -> bool:
        """Whether the log says that the viewer is where it is to be."""
        return self.said == self.current.check

    @property
    def record(self) -> EpochRecord | None:
        """The record of the current epoch; None for the first, or while the log does not hold it."""
        return next((record for record in self.records if record.check == self.current.check), None)

    def earlier(self) -> list[GroupKeys]:
        """The epochs known to the viewer besides the one it has adopted."""
        return [keys for check, keys in self.keyring.items() if check != self.adopted.check]

    def awaited(self) -> list[bytes]:
        """Members that are to have the current epoch and have not adopted it (P12.13)."""
        record = self.record
        if record is None:
            return []
        due = (key for key in self.members if key in self.ranks or device_id(key) in record.boxes)
        return sorted(key for key in due if not self._has(key, record.check))

    @property
    def left(self) -> frozenset[bytes]:
        """Keys of the devices that have retired or are revoked."""
        return frozenset(self.revoked) | self.retired

    def unadmitted(self) -> list[bytes]:
        """Members without a rank (P12.3)."""
        return sorted(key for key in self.members if key not in self.ranks)

    def is_due(self) -> bool:
        """Whether the current epoch is to be followed by another (P12.10)."""
        record = self.record
        if record is None:  # its author does not count, or it is still to come: a revoked device may know the secret
            return bool(self.revoked)
        if any(device_id(key) in record.boxes for key in self.revoked):
            return True
        missed = (key for key in self.members & self.ranks.keys() if device_id(key) not in record.boxes)
        return any(not self._has(key, record.check) for key in missed)

    def next_number(self) -> int:
        """Number of the epoch that would follow."""
        return 1 + max([self.current.epoch, *(record.number for record in self.records)])

    def cut(self, key: bytes, origin: OriginId) -> int | None:
        """The last seq of an origin that is taken from anybody; None when there is no such bound (P12.11)."""
        if key not in self.revoked:
            return None
        stated = (held.get(origin, 0) for author, held in self.book.held.items() if author not in self.revoked)
        return max(stated, default=0)

    def notice(self) -> Notice | None:
        """What those in earlier epochs are to be told; None when there is nothing."""
        record = self.record
        return self._notice([record]) if record is not None else None

    def doubt(self) -> Notice | None:
        """What was heard of revocations by one that others may know more of; None when there is no reason to doubt.

        It has no rank, and no valid record of the epoch that its token told it of: by what it knows, whoever made
        that epoch is revoked. Those who are in it may know of one that is senior.
        """
        if self.record is not None or not self.telling or self.viewer.device.public in self.ranks:
            return None
        return self._notice([])

    def _notice(self, told: list[EpochRecord]) -> Notice:
        """Some records, and as many of those that revoke somebody as fit, with what gives their authors a rank."""
        room = _NOTICE_BYTES - sum(len(record.encoded) for record in told)
        for other in self.telling:
            room -= len(other.encoded)
            if other not in told and room > 0:
                told.append(other)
        chains = [chain_to(self.viewer.founder, one.author, self.certificates) for one in told]
        return Notice(tuple(told), tuple(dict.fromkeys(certificate for chain in chains for certificate in chain)))

    def is_noted(self, record: EpochRecord) -> bool:
        """Whether the log holds a record, in whatever event."""
        return record.encoded in self.noted

    def is_untold(self) -> bool:
        """Whether a revocation counts that was only heard of: who hears the log alone would judge otherwise."""
        unnoted = [record for record in self.telling if not self.is_noted(record)]
        notice = self.notice() if unnoted else None
        return notice is not None and any(record in notice.records for record in unnoted)

    def _has(self, key: bytes, check: bytes) -> bool:
        return check in self.book.epochs.get(key, ())


def read_membership(log: LogReader, viewer: Viewer) -> Membership:
    """Judge by the log alone."""
    members = read_members(log)
    return judge(viewer, members.book, {state.key for state in log.origins()}, members.retired)


def judge(
    viewer: Viewer, book: Book, hellos: Iterable[bytes], left: Iterable[bytes], heard: Iterable[Notice] = ()
) -> Membership:
    """Judge.

    Args:
        viewer: on whose behalf.
        book: what the log says.
        hellos: keys of all devices of which anything is held.
        left: ids of devices that have left.
        heard: notices that were heard and are not in the log.
    """
    group = viewer.joined.group
    logged = _notices(group, book.notices)
    records = [*_records(group, book.records), *(record for notice in logged for record in notice.records)]
    certificates = {*book.certificates, *(one for notice in logged for one in notice.certificates)}
    certificates = {one for one in certificates if is_certified(group, one)}
    revoked = counting(ranks_of(viewer.founder, certificates), _revocations(records))
    for notice in heard:
        records.extend(notice.records)
        certificates.update(one for one in notice.certificates if one.admitter not in revoked)
    ranks = ranks_of(viewer.founder, certificates)
    stated = _revocations(records)
    revoked = counting(ranks, stated)
    keyring = _keyring(viewer, records)
    valid = tuple(_valid(records, ranks, revoked))
    noted = frozenset(book.records | {record.encoded for notice in logged for record in notice.records})
    current = _current(viewer, valid, keyring)
    own = book.adopted.get(viewer.device.public)
    adopted = keyring.get(own.check, viewer.joined) if own is not None else viewer.joined
    joined = viewer.joined.check if viewer.joined.check in book.epochs.get(viewer.device.public, ()) else b""
    said = own.check if own is not None else joined
    gone, said_hello = set(left), set(hellos)
    retired = frozenset(key for key in said_hello if device_id(key) in gone)
    present = frozenset(said_hello) - retired
    unsure = {record.check for record in records if record.author not in ranks and record.author not in revoked}
    shut_out = _shut_out(viewer, valid, ranks, revoked, current, unsure)
    return Membership(
        viewer,
        present,
        present - revoked.keys(),
        retired,
        stated,
        ranks,
        revoked,
        valid,
        tuple(_telling(records, ranks, revoked)),
        noted,
        frozenset(certificates),
        keyring,
        current,
        adopted,
        said,
        shut_out,
        book,
    )


def _records(group: bytes, encoded: Iterable[bytes]) -> list[EpochRecord]:
    found = []
    for data in sorted(encoded):
        try:
            found.append(decode_record(group, data))
        except ProtocolError:  # a member may write anything into its log
            continue
    return found


def _notices(group: bytes, encoded: Iterable[bytes]) -> list[Notice]:
    found = []
    for data in sorted(encoded):
        try:
            found.append(decode_notice(group, data))
        except ProtocolError:
            continue
    return found


def _revocations(records: Iterable[EpochRecord]) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for record in records:
        found.setdefault(record.author, []).extend(record.revoked)
    return found


def _keyring(viewer: Viewer, records: Iterable[EpochRecord]) -> dict[bytes, GroupKeys]:
    """Whoever made them: an epoch that does not count any more may have been in use."""
    opened = (open_record(viewer.joined.group, record, viewer.device) for record in records)
    return {keys.check: keys for keys in (*viewer.known, viewer.joined, *opened) if keys is not None}


def _valid(
    records: Iterable[EpochRecord], ranks: Mapping[bytes, Rank], revoked: Mapping[bytes, bytes]
) -> list[EpochRecord]:
    """Each record once, the best first: that of the highest number, then of the most senior author (P12.8)."""
    found = {r.encoded: r for r in records if r.author in ranks and r.author not in revoked}
    return sorted(found.values(), key=lambda r: (-r.number, ranks[r.author], r.check))


def _telling(
    records: Iterable[EpochRecord], ranks: Mapping[bytes, Rank], revoked: Mapping[bytes, bytes]
) -> list[EpochRecord]:
    """For each revoked key a record of the author by whom it is: what that one may do itself has no part in it."""
    found: dict[bytes, EpochRecord] = {}
    for record in sorted(records, key=lambda one: (one.number, one.check)):
        for key in record.revoked:
            if revoked.get(key) == record.author:
                found.setdefault(key, record)
    return sorted(
        {one.encoded: one for one in found.values()}.values(), key=lambda one: (ranks[one.author], one.number)
    )


def _current(viewer: Viewer, valid: Sequence[EpochRecord], keyring: Mapping[bytes, GroupKeys]) -> GroupKeys:
    best = next((record for record in valid if record.check in keyring), None)
    if best is None or best.number < viewer.joined.epoch:
        return viewer.joined
    joined = any(record.check == viewer.joined.check for record in valid)
    if best.number == viewer.joined.epoch and not joined:  # a newer token was taken: its record is still to come
        return viewer.joined
    return keyring[best.check]


def _shut_out(
    viewer: Viewer,
    valid: Iterable[EpochRecord],
    ranks: Mapping[bytes, Rank],
    revoked: Mapping[bytes, bytes],
    current: GroupKeys,
    unsure: Collection[bytes],
) -> str:
    """Why the viewer has no part; `unsure`: checks of epochs whose author may turn out to have a rank."""
    own = viewer.device.public
    if own in revoked:
        return "revoked"
    if own in ranks or viewer.joined.check in unsure:
        return ""
    return "old token" if any(record.number > current.epoch for record in valid) else ""
