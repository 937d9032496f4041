"""The upkeep of our slots on the broker: written while the fence is open, left in order, or cleared (P7.1, P7.12).

Owns when each part has its turn, and whether we are about to go. What a slot says, and when it is due, is the affair of
its part.
"""

from __future__ import annotations

from typing import Final, Protocol

from hcom_replica.core.context import Context
from hcom_replica.core.effects import Now
from hcom_replica.core.origin import OriginState
from hcom_replica.core.vectors import pages_of
from hcom_replica.ids import OriginId
from hcom_replica.wire.frame import Author, Signer
from hcom_replica.wire.messages import Index
from hcom_replica.wire.topics import Topics

_LOOK_FREELY: Final = 16
"""With more devices than this the mailbox is left alone for a ms each between two looks."""


class Timed(Protocol):
    """A part that wants to be ticked."""

    def wake_at(self) -> int | None:
        """Monotonic ms; None when it waits for no time."""


class Upkeep:
    """Keeps our slots.

    Args:
        context: of the machine.

    Attributes:
        closing: we are about to go offline on purpose.
        forgetting: our slots are cleared, and stay so.
    """

    def __init__(self, context: Context) -> None:
        self._c = context
        self.closing = False
        self.forgetting = False
        self._greeting_due = False
        self._mailbox_ms = 0
        self._mailbox_skipped = False

    def announce(self, now: Now, signer: Signer) -> None:
        """Say all there is to say: nothing was said on this connection, or by this incarnation."""
        if self.forgetting:
            return
        self._tidy()
        self._c.presence.say(now, signer, online=True)
        self._c.head.opened(now)
        self._c.vector.opened(now)
        self._c.mailbox.opened(now)
        self._c.live.opened(self._c.knowledge)

    def _tidy(self) -> None:
        """Clear what earlier incarnations of ours left, except heads and mailboxes: those may be needed (P7.12)."""
        own = self._c.knowledge.own
        for peer in self._c.peers:
            earlier = own is not None and peer.author.key == own.key and peer.generation < own.generation
            if not earlier or not (peer.presence or peer.standing or peer.pages):
                continue
            names = [self._c.topics.presence(peer.origin), self._c.topics.standing(peer.origin)]
            for name in [*names, *(self._c.topics.vector(peer.origin, page) for page in peer.pages)]:
                self._c.outbox.publish(name, b"", retain=True)
            peer.presence = peer.standing = None
            self._c.peers.forget_vector(peer)

    def new_origin(self, now: Now, before: OriginState | None) -> None:
        """We write another origin from now on: its slots are new ones.

        Args:
            now: the time.
            before: the one that was written until now; None for none.
        """
        for topic in self._c.slots.topics():
            if self._c.topics.parse(topic)[0] in ("p", "s", "v"):
                self._c.outbox.publish(topic, b"", retain=True)
        self._c.slots.forget()
        ring = self._c.mailbox.new_origin()
        if before is not None and ring:
            index = Index(self._c.outbox.counter(), now.wall_ms, self._c.settings.mailbox_slots, ring)
            self._c.peers.left_ring(Author(before.key, before.incarnation, before.id), index)
        self._c.presence.new_session()
        self._c.outbox.trace("new incarnation", origin=(self._c.own_id() or b"").hex())
        signer = self._c.signer()
        self._c.reopening = False
        if signer is not None and self._c.fence.open and not self._c.rekey.silent:
            self.announce(now, signer)

    def tick(self, now: Now, signer: Signer, came_ms: int) -> None:
        """Give each part its turn. Called while own slots may be written.

        Args:
            now: the time.
            signer: this incarnation.
            came_ms: monotonic ms when anything was stored last.
        """
        knowledge, listeners = self._c.knowledge, self._c.listeners(now)
        self._c.live.moved(now, knowledge, self._c.room, listeners=listeners)
        self._c.slots.tick(now)
        self._c.head.tick(now)
        if self._c.vector.is_due(now):
            self._c.vector.tick(now, signer, knowledge, len(knowledge.active(now)) + 1)
        hunted, missing = self._c.hunts.hunted(), self._c.lacks.stuck(now)
        if self.closing:
            missing = [origin for origin in {**knowledge.wanted(), **hunted} if not self._c.lacks.is_held_up(origin)]
        self._c.standing.tick(now, signer, knowledge, missing, hunted)
        urgent = self.closing or self._c.flusher.urgent(now, listeners=listeners)
        self._mailbox_skipped = not urgent and now.mono_ms < self._mailbox_ms
        if not self._mailbox_skipped:
            self._c.mailbox.tick(now, knowledge, signer, self._c.room, urgent=urgent)
            self._mailbox_ms = now.mono_ms + self._pause_ms()
        self._c.nudge.tick(now, knowledge, signer)
        self._c.reread.tick(now, knowledge)
        self._c.earlier.tick(now, signer, knowledge)
        self._move_on(now, signer, came_ms)
        if self._greeting_due:
            self._greeting_due = False
            self._c.presence.say(now, signer, online=False)

    def _pause_ms(self) -> int:
        """How long the mailbox is left alone: to see who lacks what takes a look at every device."""
        devices = len(self._c.peers.current(self._c.knowledge.own))
        return devices if devices > _LOOK_FREELY else 0

    def _move_on(self, now: Now, signer: Signer, came_ms: int) -> None:
        """Leave this broker, when the group has (section 16)."""
        moving = self._c.moving
        seeks = moving.bound_for is not None and self._c.lacks.seeks(now, self._c.knowledge)
        moving.tick(now, signer, came_ms if seeks else None)

    def wake_at(self) -> int | None:
        """When `tick` is wanted."""
        c = self._c
        if not c.fence.open:
            return None
        parts: tuple[Timed, ...] = (c.slots, c.head, c.vector, c.nudge, c.earlier, c.reread, c.moving)
        times = [part.wake_at() for part in parts]
        mailbox_ms = c.mailbox.wake_at()
        if mailbox_ms is not None or self._mailbox_skipped:
            times.append(max(mailbox_ms or 0, self._mailbox_ms))
        return min((time for time in times if time is not None), default=None)

    def close(self, now: Now) -> None:
        """We are about to go offline on purpose: leave behind what others need, and say so last."""
        self.closing = self._greeting_due = True
        self._c.head.hurry(now)
        self._c.vector.hurry(now)

    def closed(self) -> bool:
        """Whether everything that is to be left behind, or cleared, has been taken by the broker."""
        if self._c.outbox.effects or self._c.outbox.waiting():
            return False
        own = self._c.knowledge.own
        if self.forgetting or own is None or not self._c.fence.connected:
            return True
        said = self._c.fence.open and not self._greeting_due and self._c.head.told >= own.seq
        return self.closing and said and self._c.mailbox.settled()

    def forget(self) -> None:
        """Clear every slot of ours on the broker, of all our incarnations; nothing is written after that."""
        self.forgetting = True
        for topics in (self._c.topics, *self._c.topics.earlier.values()):
            for origin in [state.id for state in self._c.knowledge.own_origins()]:
                self._forget_slots(topics, origin)

    def _forget_slots(self, topics: Topics, origin: OriginId) -> None:
        names = [topics.head(origin), topics.index(origin), topics.standing(origin), topics.presence(origin)]
        names += [topics.vector(origin, page) for page in range(len(pages_of(self._c.knowledge.states)))]
        names += [topics.segment(origin, slot) for slot in range(self._c.settings.mailbox_slots)]
        for name in [*names, topics.rekeyed(origin), topics.gone(origin)]:
            self._c.outbox.publish(name, b"", retain=True)
