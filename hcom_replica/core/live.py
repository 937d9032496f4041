"""Live: new own commits to whoever listens, at most a window each second (P7.6).

A message holds only what is new since the one before: a live event costs its own bytes and one signature.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hcom_replica.core.effects import Now
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.origin import OriginState
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.packer import bundle_behind
from hcom_replica.core.settings import Settings
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.topics import Topics

_FEW: Final = 8
"""So many devices may well ask each for itself for a new origin."""


class Live:
    """What of the own log has been sent as it was made. What is skipped here is pulled by those who need it."""

    def __init__(self, outbox: Outbox, topics: Topics, settings: Settings) -> None:
        self._outbox = outbox
        self._topics = topics
        self._settings = settings
        self._sent: OriginState | None = None
        self._window_ms = 0
        self._used = 0

    def opened(self, knowledge: Knowledge) -> None:
        """The fence has passed: what was written before is told by the head.

        But of an origin that nobody is known to hold anything of, all would have to ask: in a larger group it is said
        whole.
        """
        own = knowledge.own
        others = knowledge.peers.current(own)
        self._sent = own
        if own is not None and not own.forks and len(others) > _FEW:
            known = any(knowledge.acked(peer, own.id) for peer in others)
            self._sent = own if known else _nothing_of(own)

    def moved(self, now: Now, knowledge: Knowledge, room: int, *, listeners: bool) -> None:
        """The own log has grown. Nothing is sent when nobody is known to listen.

        Args:
            now: the time.
            knowledge: reloaded.
            room: packed payload bytes that fit a message.
            listeners: whether any device seems online.
        """
        own, sent = knowledge.own, self._sent
        if own is None or sent is None or own.seq <= sent.seq:
            return
        self._sent = own
        if now.mono_ms - self._window_ms >= self._settings.live_window_ms:
            self._window_ms, self._used = now.mono_ms, 0
        if listeners and self._used < self._settings.live_window_bytes:
            ready = bundle_behind(knowledge.log, sent, room)
            if ready is not None and ready.whole is not None and ready.last >= own.seq:
                payload = self._outbox.seal(self._topics.live, Kind.LIVE, None, ready.whole)
                self._used += len(payload)
                self._outbox.publish(self._topics.live, payload, retain=False)


def _nothing_of(own: OriginState) -> OriginState:
    """An origin as it is for those who hold nothing of it."""
    return msgspec.structs.replace(own, seq=own.base, hlc=0, tip=own.hash, cum=0, system=0)
