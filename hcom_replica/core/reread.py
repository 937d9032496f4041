"""Reading all heads again when some must have been lost on their way (protocol-v1 P7.13).

A vector or an index that names an origin of which no head was ever heard shows it. Heads are retained, so most of what
is lacking comes at once, where their repetition would take ever longer in a large group. What is lost again shows in
another round.
"""

from __future__ import annotations

from typing import Final

from hcom_replica.core.effects import Now, Subscribe
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.topics import Topics

_FEW: Final = 8
"""Among so few others a lost head costs less than reading all."""

_HEAD_MS: Final = 10
"""The least time between two readings, for each head that they bring."""

_VAIN_MAX: Final = 2
"""So many readings in a row may bring nothing before it is believed that nothing is left."""


class Reread:
    """When to ask the broker for all heads again."""

    def __init__(self, outbox: Outbox, topics: Topics, settings: Settings) -> None:
        self._outbox = outbox
        self._topics = topics
        self._pause_ms = settings.reread_ms
        self._look_ms = 0
        self._headless: set[OriginId] = set()
        self._reading: int | None = None
        """How many heads were known when they were asked for last; None when they are not being read."""
        self._vain = 0

    def closed(self) -> None:
        """The link has ended; the next one begins with all that is retained."""
        self._headless.clear()
        self._reading, self._look_ms = None, 0

    def tick(self, now: Now, knowledge: Knowledge) -> None:
        """Ask if there is reason to; looks at all that is claimed, so not more often than it asks."""
        if now.mono_ms < self._look_ms:
            return
        others = len(knowledge.peers.current(knowledge.own))
        self._look_ms = now.mono_ms + max(self._pause_ms, others * _HEAD_MS)
        if others <= _FEW:
            return
        headed = {peer.origin for peer in knowledge.peers if peer.head is not None}
        if self._goes_on(_headless(knowledge, headed), len(headed)):
            self._reading = len(headed)
            self._outbox.emit(Subscribe((self._topics.heads,), no_local=True))
        else:
            self._reading = None

    def wake_at(self) -> int | None:
        """When `tick` is wanted, while the fence is open."""
        return self._look_ms if self._reading is not None else None

    def _goes_on(self, headless: set[OriginId], heads: int) -> bool:
        """Whether another reading may help, where now these lack a head and so many have one."""
        news, self._headless = headless - self._headless, headless
        if news or (self._reading is not None and heads > self._reading):
            self._vain = 0
            return True
        self._vain += 1
        return self._reading is not None and self._vain < _VAIN_MAX


def _headless(knowledge: Knowledge, headed: set[OriginId]) -> set[OriginId]:
    """Origins that somebody claims to hold and of which no head was heard; a branch has none."""
    return {
        origin
        for origin in knowledge.peers.claims(knowledge.own)
        if origin not in headed and origin != knowledge.own_id and knowledge.root_of(origin) == origin
    }
