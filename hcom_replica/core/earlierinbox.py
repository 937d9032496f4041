"""What comes under the topics of earlier epochs (protocol-v1 P12.13, P12.14).

What absent members left there, and word of later epochs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hcom_replica.core.earlier import EarlierEpochs
from hcom_replica.core.effects import Now
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.mailbox import Mailbox
from hcom_replica.core.peers import Peers
from hcom_replica.core.pull import Puller
from hcom_replica.errors import ProtocolError
from hcom_replica.wire.epoch import decode_notice
from hcom_replica.wire.frame import Author, Frame, Kind
from hcom_replica.wire.messages import decode_rekey
from hcom_replica.wire.topics import Topics

_TAKEN: Final = frozenset((Kind.HEAD, Kind.VECTOR, Kind.STANDING))


class EarlierInbox:
    """Takes what an open frame under earlier topics says, as far as that still counts.

    Args:
        knowledge: what this device knows.
        earlier: its own slots there.
        puller: waits for mailbox segments.
        mailbox: serves standing wants.
        segment: takes a frame that came from a mailbox slot.
        turned: called when a notice has changed something.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        earlier: EarlierEpochs,
        puller: Puller,
        mailbox: Mailbox,
        segment: Callable[[Frame], None],
        turned: Callable[[], None],
    ) -> None:
        self._knowledge = knowledge
        self._earlier = earlier
        self._puller = puller
        self._mailbox = mailbox
        self._segment = segment
        self._turned = turned

    @property
    def _peers(self) -> Peers:
        return self._knowledge.peers

    def receive(self, now: Now, topics: Topics, topic: str, frame: Frame, payload: bytes) -> None:
        """Take a frame whose author is not revoked, or a notice from anyone.

        Raises:
            ProtocolError: it does not belong there; nothing was changed.
        """
        author = frame.author
        if author is None:
            raise ProtocolError("topic")
        if self._is_own(author):
            self._earlier.saw(topic, payload)
        elif frame.kind is Kind.REKEY:
            self.notice(topics, topic, frame)
        elif frame.kind in (Kind.SEGMENT, Kind.SEGMENT_PART):
            group, leaves = topics.parse(topic)
            if group != "m" or leaves[:1] != [topics.leaf(author.origin)]:
                raise ProtocolError("topic")
            self._segment(frame)
            self._puller.segment(now, topic)
        else:
            self._slot(now, topics, topic, frame, author)

    def emptied(self, topics: Topics, topic: str) -> None:
        """A slot was cleared there."""
        group, leaves = topics.parse(topic)
        if any(topics.leaf(state.id) in leaves[:1] for state in self._knowledge.own_origins()):
            self._earlier.saw(topic, b"")
        elif group == "i" and leaves:
            self._peers.ring_gone(topics.prefix, lambda origin: topics.leaf(origin) == leaves[0])

    def _is_own(self, author: Author) -> bool:
        return any(author.origin == state.id for state in self._knowledge.own_origins())

    def notice(self, topics: Topics, topic: str, frame: Frame) -> None:
        """Take a notice from anyone: what it says proves itself.

        Raises:
            ProtocolError: it stands in nobody's slot, or is none; nothing was changed.
        """
        if frame.author is None or topics.slot_page(topic, "r", frame.author.origin) is None:
            raise ProtocolError("topic")
        if self._knowledge.hear(decode_notice(topics.keys.group, decode_rekey(frame.payload).notice)):
            self._turned()

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
            self._puller.news(now)
            self._mailbox.moved(now)
