"""Leaving a broker that the group has left, or is about to leave (protocol-v1 section 16).

Owns what a device says before it goes, and when it may go. Where it goes, and that settings and token name the new
broker, is the affair of whoever owns the links: `bound_for` tells it, `place` is told back.
"""

from __future__ import annotations

from typing import Final

from hcom_replica.core.announce import PresenceSlot
from hcom_replica.core.book import Moved
from hcom_replica.core.effects import Now
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.membership import Membership
from hcom_replica.core.moves import Word, counting_moves
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.ownslots import OwnSlots
from hcom_replica.core.seniority import chain_to
from hcom_replica.core.settings import Settings
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.wire.epoch import is_certified
from hcom_replica.wire.frame import Author, Kind, Signer
from hcom_replica.wire.messages import Gone, decode_gone
from hcom_replica.wire.topics import Topics

_WORDS_KEPT: Final = 16
"""Authors whose GONE slots are remembered, those of the greatest moves: one that counts is enough."""


class Moving:
    """What this device does about a move of the group.

    Attributes:
        is_away: the present connection is not to the first broker of the settings.
        may_go: all that is to be said and read here before is done.
    """

    def __init__(
        self,
        outbox: Outbox,
        slots: OwnSlots,
        topics: Topics,
        settings: Settings,
        knowledge: Knowledge,
        presence: PresenceSlot,
    ) -> None:
        self._presence = presence
        self._outbox = outbox
        self._slots = slots
        self._topics = topics
        self._settings = settings
        self._knowledge = knowledge
        self._heard: dict[bytes, Word] = {}
        self._own: dict[str, None] = {}
        self._standing: set[Moved] = set()
        self._judged: tuple[Membership | None, list[Moved]] = (None, [])
        self._told: Moved | None = None
        self._taken = self._parting = False
        self._since_ms: int | None = None
        self._wake_ms: int | None = None
        self._place: tuple[str, ...] = ()
        self._been: set[str] = set()
        self.is_away = False
        self.may_go = False

    @property
    def bound_for(self) -> str | None:
        """The broker to go to; None at home, and for who has no part in the group any more."""
        move, membership = self._move(), self._knowledge.membership
        if move is None or membership is None or membership.shut_out or self._place in ((), (move.broker,)):
            return None
        return next((broker for broker in self._outdone() if broker not in self._been), move.broker)

    @property
    def place(self) -> tuple[str, ...]:
        """The brokers that the folder's token names; empty where nothing ever moves."""
        return self._place

    @place.setter
    def place(self, brokers: tuple[str, ...]) -> None:
        self._place = brokers
        self._been.update(brokers)

    @property
    def keeps(self) -> bool:
        """Whether what is left at this broker will be read (P16.5)."""
        return self.bound_for is None and not (self.is_away and self._move() in self._standing)

    def _move(self) -> Moved | None:
        """The one that counts by the log and by what was heard."""
        return self._judge()[-1] if self._judge() else None

    def _outdone(self) -> list[str]:
        """Brokers of moves that did not know of the one that counts: who went there has to be told (P16.3)."""
        counting = self._judge()
        return [moved.broker for moved in counting if moved.number == counting[-1].number]

    def _judge(self) -> list[Moved]:
        """The moves that count, the greatest last."""
        membership = self._knowledge.membership
        if membership is not self._judged[0]:
            found = [] if membership is None else sorted(counting_moves(membership, self._heard))
            self._judged = (membership, found)
        return self._judged[1]

    # --- what happens -----------------------------------------------------------------------------------------

    def closed(self) -> None:
        """The link has ended: whatever was said has to be said again."""
        self._own.clear()
        self._standing.clear()
        self._told, self._taken, self._parting = None, False, False
        self._since_ms = self._wake_ms = None
        self.may_go = False

    def hear(self, topic: str, author: Author, payload: bytes) -> None:
        """Take what a GONE slot says, or see that one of this device's own stands here from an earlier departure.

        Raises:
            ProtocolError: it is malformed, or its author has no part in it; nothing was changed.
        """
        gone, membership = decode_gone(payload), self._knowledge.membership
        if membership is None:
            raise ProtocolError("topic")
        moved = Moved(gone.number, gone.hlc, OriginId(gone.origin), gone.broker)
        if author.key == membership.viewer.device.public:
            self._own[topic] = None
            self._standing.add(moved)
            return
        certificates = tuple(one for one in gone.certificates if is_certified(self._topics.keys.group, one))
        word = Word(moved, certificates)
        if word.moved not in counting_moves(membership, {author.key: word}):
            raise ProtocolError("revoked", "of nobody who may move the group")
        self._standing.add(moved)
        known = self._heard.get(author.key)
        if known is not None and known.moved >= moved:  # anybody may put there again what stood in the slot before
            return
        self._heard[author.key] = word
        self._judged = (None, [])
        if len(self._heard) > _WORDS_KEPT:
            del self._heard[min(self._heard, key=lambda key: self._heard[key].moved)]

    # --- what it does -----------------------------------------------------------------------------------------

    def tick(self, now: Now, signer: Signer, sought_ms: int | None) -> None:
        """Say that we go, or clear what we said here before. Called while own slots may be written.

        Args:
            now: the time.
            signer: this incarnation.
            sought_ms: when anything came last, while something is missing that somebody reachable may bring; else None.
        """
        self._wake_ms = None
        if self.bound_for is None:
            self._rest(now)
            return
        if self._since_ms is None:
            self._since_ms = now.mono_ms
        self._say(now, signer)
        until_ms = now.mono_ms
        if sought_ms is not None:
            quiet_ms = max(self._since_ms, sought_ms) + self._settings.leave_quiet_ms
            until_ms = min(quiet_ms, self._since_ms + self._settings.leave_ms_max)
        if self._taken and now.mono_ms < until_ms:
            self._wake_ms = until_ms
        elif self._taken and not self._parting:  # nobody is to ask us here any more
            self._parting = True
            self._presence.say(now, signer, online=False, done=self._parted)

    def wake_at(self) -> int | None:
        """When `tick` is wanted."""
        return self._wake_ms

    def _rest(self, now: Now) -> None:
        """At home: what stands here of an earlier departure is not so any more."""
        self._since_ms, self.may_go, self._parting = None, False, False
        if not self.is_away:
            for topic in list(self._own):
                self._slots.put(now, topic, b"")
            self._own.clear()

    def _say(self, now: Now, signer: Signer) -> None:
        membership, move = self._knowledge.membership, self._move()
        if membership is None or move is None or move == self._told:
            return
        self._told, self._taken = move, True
        if membership.viewer.device.public not in membership.ranks:
            return  # nobody would believe it
        chain = chain_to(membership.viewer.founder, membership.viewer.device.public, membership.certificates)
        gone = Gone(self._outbox.counter(), now.wall_ms, move.number, move.hlc, move.origin, move.broker, list(chain))
        self._taken = False
        self._slots.write(now, self._topics.gone(signer.origin), Kind.GONE, signer, gone, self._answered)

    def _answered(self, taken: bool) -> None:  # noqa: ARG002 - an Outbox.Done: one refused cannot be helped
        self._taken = True

    def _parted(self, taken: bool) -> None:  # noqa: ARG002 - the same
        self.may_go = self._parting
