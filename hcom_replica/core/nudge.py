"""Asking for words that must have been lost: outbound lag and mailboxes wait for the vectors of others (P8.10).

A vector is published when it changes, and a queue that overflows on the way loses it without a word. A device that is
online, lacks something of ours by what we know of it, and has said nothing else for a while, is asked.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hcom_replica.core.asking import ask_vector
from hcom_replica.core.effects import Now
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.peer import Peer
from hcom_replica.core.settings import Settings
from hcom_replica.core.vectors import word_ms
from hcom_replica.ids import OriginId
from hcom_replica.wire.frame import Signer
from hcom_replica.wire.topics import Topics

_LOOK_MS: Final = 10
"""Between two looks at all devices lies so much for each of them: in large groups a look costs."""

_Word = tuple[int, int]
"""What a device has said last: (seqs of ours that it acknowledges, counter of its standing want)."""


class _Silence(NamedTuple):
    """A device that lacks something: its last word, and since when it is waited for another."""

    word: _Word
    since_ms: int


class Nudge:
    """The devices that are waited for."""

    def __init__(self, outbox: Outbox, topics: Topics, settings: Settings) -> None:
        self._outbox = outbox
        self._topics = topics
        self._settings = settings
        self._silent: dict[OriginId, _Silence] = {}
        self._due_ms: int | None = None
        self._look_ms = 0
        self._ask_ms = 0
        self._part: float | None = None

    def closed(self) -> None:
        """The link has ended."""
        self._silent.clear()
        self._due_ms = None
        self._look_ms = self._ask_ms = 0

    def tick(self, now: Now, knowledge: Knowledge, signer: Signer) -> None:
        """Ask whoever has been silent for longer than all pages of a vector take; an answer costs one."""
        if now.mono_ms < self._look_ms:
            return
        devices = len(knowledge.active(now)) + 1
        page_ms, round_ms = word_ms(self._settings, len(knowledge.states), devices)
        patience_ms = self._patience_ms(page_ms, round_ms)
        lacking = {peer.origin: _word(knowledge, peer) for peer in self._lacking(now, knowledge)}
        self._look_ms = now.mono_ms + len(knowledge.peers.current(knowledge.own)) * _LOOK_MS
        self._silent = {origin: silence for origin, silence in self._silent.items() if origin in lacking}
        for origin, word in lacking.items():
            silence = self._silent.get(origin)
            if silence is None or silence.word != word:
                self._silent[origin] = _Silence(word, now.mono_ms)
            elif now.mono_ms >= max(silence.since_ms + patience_ms, self._ask_ms):
                ask_vector(self._outbox, self._topics, signer, origin)
                self._ask_ms = now.mono_ms + page_ms
                self._silent[origin] = _Silence(word, now.mono_ms)
        since_ms = min((silence.since_ms for silence in self._silent.values()), default=None)
        self._due_ms = None if since_ms is None else since_ms + patience_ms

    def wake_at(self) -> int | None:
        """When `tick` is wanted, while the fence is open."""
        return None if self._due_ms is None else max(self._due_ms, self._ask_ms, self._look_ms)

    def _patience_ms(self, page_ms: int, round_ms: int) -> int:
        """How long a device may be silent; in a large group a random time longer, or all who wait would ask at once."""
        if round_ms <= self._settings.nudge_ms:
            return self._settings.nudge_ms
        if self._part is None:
            self._part = self._outbox.rng.random()
        return round_ms + int(self._part * page_ms)

    def _lacking(self, now: Now, knowledge: Knowledge) -> list[Peer]:
        own = [(state.id, state.seq) for state in knowledge.own_origins()]
        return [
            peer
            for peer in knowledge.active(now)
            if peer.online(now, self._settings.online_ms)
            and (peer.standing is not None or any(knowledge.acked(peer, origin) < seq for origin, seq in own))
        ]


def _word(knowledge: Knowledge, peer: Peer) -> _Word:
    acked = sum(knowledge.acked(peer, state.id) for state in knowledge.own_origins()) if peer.acks else 0
    return acked, peer.standing.counter if peer.standing is not None else 0
