"""Which broker the group meets at, judged from what its members say (protocol-v1 P16.1).

A pure function of sets of signed statements, as `membership` is. Where no move counts, the token alone says it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from hcom_replica.core.book import Moved
from hcom_replica.core.hello import MOVE, Move, system_draft
from hcom_replica.core.membership import Membership
from hcom_replica.core.seniority import ranks_of
from hcom_replica.errors import LimitError, UsageError
from hcom_replica.limits import MOVES_MAX
from hcom_replica.wire.epoch import Certificate
from hcom_replica.wire.event import Draft


class Word(NamedTuple):
    """What a GONE slot says (P16.4): the move, and certificates that lead from the founder to who says it."""

    moved: Moved
    certificates: tuple[Certificate, ...] = ()


def present_move(membership: Membership) -> Moved | None:
    """The move that counts by the log; None when the group has never moved."""
    return max(counting_moves(membership), default=None)


def counting_moves(membership: Membership, heard: Mapping[bytes, Word] | None = None) -> list[Moved]:
    """The greatest move of each member that may move the group.

    Args:
        membership: who may say so; its log's moves.
        heard: author's key -> what its GONE slot says.
    """
    ranks, words = membership.ranks, heard or {}
    if words:
        told = {one for word in words.values() for one in word.certificates if one.admitter not in membership.revoked}
        ranks = ranks_of(membership.viewer.founder, {*membership.certificates, *told})
    said = [*membership.book.moves.items(), *((key, word.moved) for key, word in words.items())]
    return [moved for key, moved in said if key in ranks and key not in membership.revoked]


def move_draft(membership: Membership, broker: str) -> Draft:
    """The event that moves the group.

    Args:
        membership: as it is now.
        broker: URL in its canonical form.

    Raises:
        UsageError: this device may not say so; nothing was made.
        LimitError: the group has moved too often.
    """
    own = membership.viewer.device.public
    if own not in membership.ranks or own in membership.revoked or membership.shut_out:
        raise UsageError("this device is no admitted member, so the others would not follow it", hint=_ON_A_MEMBER)
    return _draft(present_move(membership), broker)


def stay_drafts(membership: Membership, revoked: Collection[bytes]) -> tuple[Draft, ...]:
    """What is said beside a revocation that takes the author of the present move away (P16.7)."""
    present = present_move(membership)
    if present is None:
        return ()
    left = (moved for key, moved in membership.book.moves.items() if key in membership.ranks and key not in revoked)
    after = max(left, default=None)
    return () if after == present else (_draft(after, present.broker),)


def _draft(before: Moved | None, broker: str) -> Draft:
    number = 1 + (before.number if before is not None else 0)
    if number > MOVES_MAX:
        raise LimitError("a member has moved the group as often as can be", hint="revoke the member that did it")
    return system_draft(MOVE, Move(number, broker))


_ON_A_MEMBER = "move the group on another member, or wait until one that is online has admitted this device"
