"""Making a new epoch: for whom, and what goes into the log (protocol-v1 P12.5 to P12.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hcom_replica.core.hello import ADOPT, EPOCH, Adopt, NewEpoch, system_draft
from hcom_replica.core.membership import Membership
from hcom_replica.core.moves import stay_drafts
from hcom_replica.core.origin import OriginState
from hcom_replica.core.seniority import counting
from hcom_replica.errors import LimitError, UsageError
from hcom_replica.limits import EPOCH_BOXES_MAX
from hcom_replica.wire.epoch import make_record
from hcom_replica.wire.event import Draft
from hcom_replica.wire.keys import GroupKeys


def epoch_drafts(
    membership: Membership,
    states: Iterable[OriginState],
    revoked: Sequence[bytes],
    randbytes: Callable[[int], bytes],
) -> tuple[Draft, ...]:
    """The events that begin a new epoch, to be appended as one: the record, and its adoption by its author.

    One that revokes the author of the present move says anew where the group is (P16.7).

    Args:
        membership: as it is now.
        states: all origins held.
        revoked: 32-byte keys of the devices to be revoked by it.
        randbytes: real randomness: 64 bytes are taken.

    Raises:
        UsageError: this device may not, or names itself; nothing was made.
        LimitError: the group has too many devices; nothing was made.
    """
    viewer = membership.viewer
    own = viewer.device.public
    if own not in membership.ranks:
        raise UsageError("this device has not been admitted by another one yet", hint=_UNADMITTED)
    if own in revoked:
        raise UsageError("a device cannot revoke itself", hint="revoke it on another device; or leave: relay forget")
    gone = counting(membership.ranks, {**membership.stated, own: [*membership.stated.get(own, ()), *revoked]})
    if own in gone:
        raise UsageError("this device is revoked", hint="join again: relay forget, then relay connect with a new token")
    staying = sorted({*membership.present, own} - gone.keys())
    if len(staying) > EPOCH_BOXES_MAX:
        raise LimitError(
            f"{len(staying)} devices, at most {EPOCH_BOXES_MAX} can be told of a new key",
            hint="retire devices that have left: devices retire NAME",
        )
    keys = GroupKeys(viewer.joined.group, randbytes(32), membership.next_number())
    record = make_record(keys, viewer.device, staying, revoked, randbytes)
    held = {state.id.hex(): state.seq for state in states if state.key in gone}
    return (
        system_draft(EPOCH, NewEpoch(record.encoded)),
        system_draft(ADOPT, Adopt(keys.check.hex(), held)),
        *stay_drafts(membership, gone),
    )


_UNADMITTED = "wait until a member that is online has seen it; hcom-replica devices shows who is a member"
