"""Admitting devices, changing the group's secret, and leaving earlier epochs behind (protocol-v1 section 12).

Judging is the affair of `membership`; here is what a device does about it, and when. What it decides goes into its log
first; it acts on what the log says.
"""

from __future__ import annotations

from typing import Final

from hcom_replica.core.effects import AppendSystem, Now
from hcom_replica.core.hello import ADMIT, ADOPT, Admit, Adopt, system_draft
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.membership import Membership
from hcom_replica.core.newepoch import epoch_drafts
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.settings import Settings
from hcom_replica.errors import LimitError
from hcom_replica.wire.epoch import certify, encode_notice
from hcom_replica.wire.event import Draft

_ADMIT_AT_ONCE: Final = 64


class Rekey:
    """What is to be done about members and epochs.

    Attributes:
        pending: something was decided, and the log does not say so yet.
    """

    def __init__(self, outbox: Outbox, settings: Settings, knowledge: Knowledge) -> None:
        self._outbox = outbox
        self._settings = settings
        self._knowledge = knowledge
        self._since: dict[str, int] = {}
        self._wake_ms: int | None = None
        self.pending = False

    @property
    def silent(self) -> bool:
        """Whether nothing may be published: an epoch is to be adopted first, or we are shut out (P12.9, P12.16)."""
        membership = self._knowledge.membership
        if membership is None:
            return False
        return self.pending or bool(membership.shut_out) or not membership.is_settled

    def settled(self) -> None:
        """The log has moved, or the link has: what was decided is in the log, or is decided anew."""
        self.pending = False

    def tick(self, now: Now, *, is_open: bool) -> None:
        """Decide.

        Args:
            now: the time.
            is_open: own slots may be written, so others are heard.
        """
        membership, self._wake_ms = self._knowledge.membership, None
        if membership is None or self.pending or membership.shut_out:
            return
        if not membership.is_settled or self._exceeds(membership) or membership.is_untold():
            self._append(_adopt_draft(membership, self._knowledge))
        elif is_open and membership.viewer.device.public in membership.ranks:
            strangers = membership.unadmitted()
            if self.is_turn(now, "admit", membership, due=bool(strangers)):
                self._append(_admit_draft(membership, strangers[:_ADMIT_AT_ONCE]))
            elif self.is_turn(now, "epoch", membership, due=membership.is_due()):
                self._make(membership)
        else:
            self._since.clear()

    def wake_at(self) -> int | None:
        """When `tick` is wanted."""
        return self._wake_ms

    def _make(self, membership: Membership) -> None:
        try:
            drafts = epoch_drafts(membership, self._knowledge.states.values(), (), self._outbox.rng.randbytes)
        except LimitError as error:
            self._outbox.trace("no new epoch", error=error.message)
        else:
            self._append(*drafts)

    def _append(self, *drafts: Draft) -> None:
        self.pending = True
        self._outbox.emit(AppendSystem(drafts))

    def is_turn(self, now: Now, what: str, membership: Membership, *, due: bool, step_ms: int | None = None) -> bool:
        """Whether something has been due for so long that those who are senior would have done it.

        Args:
            now: the time.
            what: a name for it.
            membership: who is senior.
            due: whether it is due now.
            step_ms: what each device leaves to the one before it; None is what the settings say.
        """
        if not due:
            self._since.pop(what, None)
            return False
        since = self._since.setdefault(what, now.mono_ms)
        step = self._settings.seniority_ms if step_ms is None else step_ms
        ripe_ms = since + step * (1 + self._seniors(now, membership))
        if now.mono_ms < ripe_ms:
            self._wake_ms = min(ripe_ms, self._wake_ms or ripe_ms)
            return False
        del self._since[what]
        return True

    def _seniors(self, now: Now, membership: Membership) -> int:
        """How many devices that are online are senior to this one."""
        own = membership.ranks[membership.viewer.device.public]
        peers = self._knowledge.peers.current(self._knowledge.own)
        keys = {peer.author.key for peer in peers if peer.online(now, self._settings.online_ms)}
        return sum(
            key in membership.members and key in membership.ranks and membership.ranks[key] < own for key in keys
        )

    def _exceeds(self, membership: Membership) -> bool:
        """Whether more of a revoked device is held than anybody says (P12.11)."""
        if not membership.revoked:
            return False
        revoked = (state for state in self._knowledge.states.values() if state.key in membership.revoked)
        return any(state.seq > (membership.cut(state.key, state.id) or 0) for state in revoked)


def _adopt_draft(membership: Membership, knowledge: Knowledge) -> Draft:
    """Say that the current epoch is adopted, and what is held of revoked devices (P12.9)."""
    held = {s.id.hex(): s.seq for s in knowledge.states.values() if s.key in membership.revoked}
    notice = membership.notice()
    told = encode_notice(notice) if notice is not None and not all(map(membership.is_noted, notice.records)) else None
    return system_draft(ADOPT, Adopt(membership.current.check.hex(), held, told))


def _admit_draft(membership: Membership, strangers: list[bytes]) -> Draft:
    device, group = membership.viewer.device, membership.viewer.joined.group
    used = [one.number for one in membership.certificates if one.admitter == device.public]
    first = 1 + max(used, default=0)
    made = [certify(group, device, number, key) for number, key in enumerate(strangers, first)]
    return system_draft(ADMIT, Admit([(one.device.hex(), one.number, one.signature.hex()) for one in made]))
