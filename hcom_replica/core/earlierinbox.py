"""What comes under the topics of earlier epochs (protocol-v1 P12.13, P12.14).

What absent members left there, and word of later epochs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hcom_replica.core.context import Context
from hcom_replica.core.effects import Now
from hcom_replica.core.peers import Peers
from hcom_replica.errors import ProtocolError
from hcom_replica.wire.epoch import decode_notice
from hcom_replica.wire.frame import Author, Frame, Kind
from hcom_replica.wire.messages import decode_rekey
from hcom_replica.wire.topics import Topics

_TAKEN: Final = frozenset((Kind.HEAD, Kind.VECTOR, Kind.STANDING))


class EarlierInbox:
    """Takes what an open frame under earlier topics says, as far as that still counts.

    Args:
        context: of the machine.
        segment: takes a frame that came from a mailbox slot; see `Inbox`.
        turned: called when a notice has changed something.
    """

    def __init__(self, context: Context, segment: Callable[[Frame], int | None], turned: Callable[[], None]) -> None:
        self._c = context
        self._segment = segment
        self._turned = turned

    @property
    def _peers(self) -> Peers:
        return self._c.peers

    def receive(self, now: Now, topics: Topics, topic: str, frame: Frame, payload: bytes) -> None:
        """Take a frame whose author is not revoked, or a notice from anyone.

        Raises:
            ProtocolError: it does not belong there; nothing was changed.
        """
        author = frame.author
        if author is None:
            raise ProtocolError("topic")
        if frame.kind is Kind.REKEY:
            self.notice(now, topics, topic, frame, payload)
        elif frame.kind is Kind.GONE:
            self.gone(topics, topic, frame)
        elif any(author.origin == state.id for state in self._c.knowledge.own_origins()):
            return
        elif frame.kind in (Kind.SEGMENT, Kind.SEGMENT_PART):
            group, leaves = topics.parse(topic)
            if group != "m" or leaves[:1] != [topics.leaf(author.origin)]:
                raise ProtocolError("topic")
            held = self._segment(frame)
            self._c.puller.segment(now, topic, author.origin, held=held)
        else:
            self._slot(now, topics, topic, frame, author)

    def emptied(self, topics: Topics, topic: str) -> None:
        """A slot was cleared there."""
        group, leaves = topics.parse(topic)
        self._c.earlier.saw(topic, b"")
        if group == "i" and leaves:
            self._peers.ring_gone(topics.prefix, lambda origin: topics.leaf(origin) == leaves[0])

    def notice(self, now: Now, topics: Topics, topic: str, frame: Frame, payload: bytes) -> None:
        """Take a notice from anyone: what it says proves itself.

        In our own slot and in our name, but not by this process, it is the word of a clone (P7.2).

        Raises:
            ProtocolError: it stands in nobody's slot, or is none; nothing was changed.
        """
        if frame.author is None or topics.slot_page(topic, "r", frame.author.origin) is None:
            raise ProtocolError("topic")
        if self._c.slots.wrote(payload) or self._c.knowledge.membership is None:
            return
        message = decode_rekey(frame.payload)
        if self._c.is_own(frame.author) and message.counter >> 32 >= self._c.outbox.boot:
            self._c.reopen("our slot was written by somebody else")
        told = decode_notice(topics.keys.group, message.notice)
        if self._c.knowledge.hear(told):
            self._turned()
        elif not self._c.knowledge.counts(told.record):
            self._c.earlier.answer(now)

    def gone(self, topics: Topics, topic: str, frame: Frame) -> None:
        """Take word of where the group has gone (P16.4), or see that our own of an earlier departure stands here.

        Raises:
            ProtocolError: it stands in nobody's slot, or is of nobody who may say so; nothing was changed.
        """
        author = frame.author
        if author is None or topics.slot_page(topic, "g", author.origin) is None:
            raise ProtocolError("topic")
        self._c.moving.hear(topic, author, frame.payload)

    def _slot(self, now: Now, topics: Topics, topic: str, frame: Frame, author: Author) -> None:
        page = topics.slot_page(topic, frame.kind.name[0].lower(), author.origin)
        if page is None or frame.kind not in (*_TAKEN, Kind.INDEX, Kind.PRESENCE):
            raise ProtocolError("topic")
        if frame.kind is Kind.INDEX:
            news = self._peers.ring_at(topics.prefix, author, frame.payload)
        elif frame.kind in _TAKEN:
            news = self._peers.accept(frame.kind, author, page, frame.payload, live=False, now=now)
        else:
            news = False
        if news:
            self._c.lacks.news(now)
            self._c.mailbox.moved(now)
