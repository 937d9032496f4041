"""What is left to do under the topics of earlier epochs (protocol-v1 P12.13, P12.15).

First those who are still there are told of the present one; then what is ours is cleared.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hcom_replica.core.demand import Demand
from hcom_replica.core.effects import Now
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.mailbox import Mailbox
from hcom_replica.core.membership import Membership
from hcom_replica.core.origin import OriginState
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.ownslots import OwnSlots
from hcom_replica.core.settings import Settings
from hcom_replica.wire.codec import encode
from hcom_replica.wire.epoch import Notice, encode_notice
from hcom_replica.wire.frame import Kind, Signer, pack
from hcom_replica.wire.messages import Rekey
from hcom_replica.wire.topics import Topics

_MAIL = frozenset("im")
_OTHERS_MAX: Final = 4_096
"""Slots under earlier topics that are kept in mind although they are not known to be ours."""


class EarlierEpochs:
    """Our slots under the topics of earlier epochs, as far as this connection has shown them."""

    def __init__(self, outbox: Outbox, slots: OwnSlots, topics: Topics, settings: Settings, mailbox: Mailbox) -> None:
        self._outbox = outbox
        self._settings = settings
        self._slots = slots
        self._topics = topics
        self._mailbox = mailbox
        self._fresh: dict[str, None] = {}
        self._ours: dict[str, None] = {}
        self._others: dict[str, None] = {}
        self._own_count = 0
        self._told: dict[str, tuple[bytes, ...]] = {}
        self._tell_until_ms: int | None = None
        self._rest_until_ms: int | None = None
        self._answering = False

    def turned(self, now: Now) -> None:
        """Another epoch was adopted: those who are shut out by it are told for a while, too."""
        self._tell_until_ms = now.mono_ms + self._settings.tell_ms

    def answer(self, now: Now) -> None:
        """Somebody speaks of an epoch that counts for nothing: tell under the present topics, too, what does."""
        self._answering = True
        self.turned(now)

    def wake_at(self) -> int | None:
        """When `tick` is wanted."""
        return min((ms for ms in (self._tell_until_ms, self._rest_until_ms) if ms is not None), default=None)

    def closed(self) -> None:
        """The link has ended: nothing is known of what stands on the broker."""
        for some in (self._fresh, self._ours, self._others):
            some.clear()
        self._told.clear()

    def saw(self, topic: str, payload: bytes) -> None:
        """Something stands in a slot, or it was cleared. If it is ours, of whatever incarnation, it is to be cleared.

        Whose it is may only show when the log has brought an incarnation that this folder did not know.
        """
        for some in (self._fresh, self._ours, self._others):
            some.pop(topic, None)
        if payload:
            self._fresh[topic] = None

    def tick(self, now: Now, signer: Signer, knowledge: Knowledge) -> None:
        """Ask, tell those who are to come, or clear. Nothing of ours is cleared while anybody is still to come."""
        membership = knowledge.membership
        self._sort(knowledge)
        if self._tell_until_ms is not None and self._tell_until_ms <= now.mono_ms:
            self._tell_until_ms, self._answering = None, False
        if self._rest_until_ms is not None and self._rest_until_ms <= now.mono_ms:
            self._rest_until_ms = None
        if membership is None:
            return
        doubt = membership.doubt()
        if doubt is not None:
            self._tell(now, signer, doubt, [self._topics])
        elif membership.awaited() or self._tell_until_ms is not None:
            notice, present = membership.notice(), [self._topics] if self._answering else []
            if notice is not None:
                self._tell(now, signer, notice, [*self._topics.earlier.values(), *present])
        elif self._rest_until_ms is None:
            self._clear(now, knowledge, membership)

    def _tell(self, now: Now, signer: Signer, notice: Notice, where: Iterable[Topics]) -> None:
        checks = tuple(record.check for record in notice.records)
        for topics in where:
            topic = topics.rekeyed(signer.origin)
            if self._told.get(topic) != checks:
                message = pack(encode(Rekey(self._outbox.counter(), now.wall_ms, encode_notice(notice))))
                self._slots.put(now, topic, self._outbox.seal(topic, Kind.REKEY, signer, message, topics.keys))
                self._told[topic] = checks
                self._ours[topic] = None

    def _clear(self, now: Now, knowledge: Knowledge, membership: Membership) -> None:
        mail_is_over: bool | None = None
        for topic in {**self._ours, **dict.fromkeys(self._told)}:  # a clone may have cleared what we put back for ever
            if self._topics.of(topic).parse(topic)[0] in _MAIL:
                if mail_is_over is None:
                    mail_is_over = self._is_over(now, knowledge, membership)
                if not mail_is_over:
                    continue
            self._slots.put(now, topic, b"")
            self._rest_until_ms = now.mono_ms + self._settings.slot_guard_ms  # others may put it there again and again
            self._ours.pop(topic, None)
        self._told.clear()

    def _is_over(self, now: Now, knowledge: Knowledge, membership: Membership) -> bool:
        """Whether nobody needs a mailbox of ours there: what it held is with all, or lies in the present one."""
        own = knowledge.own_origins()
        demand = Demand(knowledge, own[-1], now)
        if not demand.active:
            return self._mailbox.is_full(demand)
        return all(
            knowledge.acked(peer, state.id) >= _written_before(state, membership)
            for state in own
            for peer in demand.active
        )

    def _sort(self, knowledge: Knowledge) -> None:
        """Find which of the slots seen are ours."""
        own = knowledge.own_origins()
        if len(own) != self._own_count:
            self._fresh.update(self._others)
            self._others.clear()
            self._own_count = len(own)
        if self._fresh:
            leaves = {topics.leaf(state.id) for topics in self._topics.earlier.values() for state in own}
            for topic in self._fresh:
                is_ours = not leaves.isdisjoint(self._topics.of(topic).parse(topic)[1][:1])
                (self._ours if is_ours else self._others)[topic] = None
            self._fresh.clear()
            for topic in list(self._others)[:-_OTHERS_MAX]:
                del self._others[topic]


def _written_before(state: OriginState, membership: Membership) -> int:
    """How far an own origin went when the present epoch was adopted; all of it when that stands in another."""
    adoption = membership.book.adopted.get(state.key)
    return adoption.seq if adoption is not None and adoption.origin == state.id else state.seq
