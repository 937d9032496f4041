"""The own vector in pages, and what the group's budget lets a device say of it (P6.4, P7.5).

An origin's page follows from its id and the number of pages, which is a power of two: a new origin changes one page.
When pages double, each splits into itself and a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hcom_replica.core.effects import Now
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.origin import OriginState
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.ownslots import OwnSlots
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.limits import VECTOR_PAGE_ENTRIES
from hcom_replica.wire.frame import Kind, Signer
from hcom_replica.wire.messages import Ack, VectorPage, pack_entries
from hcom_replica.wire.topics import Topics

_PAGE_BYTES: Final = 200
"""What a page takes beside its entries."""

_ENTRY_BYTES: Final = 24
_PAGES_MAX: Final = 1024
"""Bounds what a member can do to us that makes up origins whose ids share their last bits."""


def page_of(origin: OriginId, pages: int) -> int:
    """The page of an origin among so many, a power of two."""
    return int.from_bytes(origin[-2:], "big") % pages


def pages_of(states: Mapping[OriginId, OriginState]) -> list[bytes]:
    """The packed entries of each page: as few pages as hold at most 128 entries each, a power of two.

    No origin is ever forgotten, so the pages become more and never fewer: none has to be cleared.
    With the most pages there may be, what finds no room in its page is left out, and so not acknowledged.
    """
    count = 1
    while True:
        pages: list[list[OriginState]] = [[] for _ in range(count)]
        for origin in sorted(states):
            pages[page_of(origin, count)].append(states[origin])
        if max(map(len, pages)) <= VECTOR_PAGE_ENTRIES or count == _PAGES_MAX:
            cut = (page[:VECTOR_PAGE_ENTRIES] for page in pages)
            return [pack_entries((s.id, Ack(s.seq, s.tip[:8])) for s in page) for page in cut]
        count *= 2


def share_ms(settings: Settings, size: int, devices: int) -> int:
    """How long a device keeps silent after so many bytes, so that all together stay within the budget."""
    return max(settings.vector_ms_min, size * max(2, devices) * 1_000 // settings.vector_budget_bytes_s)


def word_ms(settings: Settings, origins: int, devices: int) -> tuple[int, int]:
    """How long the budget takes for one page of so many origins, about, and for all pages of a vector."""
    pages = 1
    while pages * VECTOR_PAGE_ENTRIES < origins:
        pages *= 2
    page_ms = share_ms(settings, _PAGE_BYTES + _ENTRY_BYTES * origins // pages, devices)
    return page_ms, page_ms * pages


class VectorSlots:
    """When to publish the own vector: on change, within the group's budget, or when asked.

    While one word of all devices fits into a minute's budget, all that has changed is published together. In a larger
    group it is one page at a time, the first after a random part of its share, so that the pages of all devices mix.
    What a share is follows from the devices that are known when it ends: on connect few are.
    """

    def __init__(self, outbox: Outbox, slots: OwnSlots, topics: Topics, settings: Settings) -> None:
        self._outbox = outbox
        self._slots = slots
        self._topics = topics
        self._settings = settings
        self._published: dict[int, bytes] = {}
        self._asked: dict[OriginId, None] = {}
        self._unanswered = 0
        self._next_ms = 0
        self._dirty = False
        self._open = False
        self._greeted = False
        self._since_ms = 0
        self._spent = 0
        self._part = 0.0

    def opened(self, now: Now) -> None:
        """The fence has passed: whatever stood there, write all pages."""
        self._published.clear()
        self._open, self._dirty, self._greeted, self._next_ms = True, True, False, now.mono_ms
        self._spent = 0

    def closed(self) -> None:
        """The link has ended."""
        self._open = False
        self._asked.clear()
        self._unanswered = 0

    def moved(self) -> None:
        """Something new is held."""
        self._dirty = True

    def hurry(self, now: Now) -> None:
        """Publish at the next tick, changed or not: we are about to leave."""
        self._published.clear()
        self._dirty, self._greeted, self._next_ms = True, True, now.mono_ms
        self._spent, self._part = 0, 0.0

    def asked(self, origins: list[OriginId]) -> None:
        """Somebody waits for what we hold of these: publish their pages, changed or not.

        At the next tick, or when the broker has taken what was published before: whoever asks without end gets no more
        than that.
        """
        self._asked.update(dict.fromkeys(origins))

    def is_due(self, now: Now) -> bool:
        """Whether `tick` has anything to do."""
        return self._open and (self._answers() or (self._dirty and now.mono_ms >= self._next_ms))

    def _answers(self) -> bool:
        return bool(self._asked) and not self._unanswered

    def tick(self, now: Now, signer: Signer, knowledge: Knowledge, devices: int) -> None:
        """Publish what is due; `devices` share the budget."""
        if not self.is_due(now):
            return
        pages = pages_of(knowledge.states)
        numbers = set[int]()
        if self._answers():
            numbers = {page_of(origin, len(pages)) for origin in self._asked}
            self._asked.clear()
        if self._dirty and now.mono_ms >= self._next_ms and self._has_come(now, pages, devices):
            numbers.update(self._turn(now, pages, devices))
        sent = sum(self._write(now, signer, number, pages) for number in sorted(numbers))
        if sent:
            self._since_ms, self._spent = now.mono_ms, sent
            self._next_ms = now.mono_ms + share_ms(self._settings, sent, devices)
        self._dirty = bool(self._changed(pages))

    def wake_at(self) -> int | None:
        """When `tick` is wanted."""
        if not self._open or not (self._dirty or self._answers()):
            return None
        return 0 if self._answers() else self._next_ms

    def _changed(self, pages: list[bytes]) -> list[int]:
        return [number for number, entries in enumerate(pages) if self._published.get(number) != entries]

    def _has_come(self, now: Now, pages: list[bytes], devices: int) -> bool:
        """Whether the share has ended by what is known now; else it is waited for."""
        size = self._spent or int(self._part * sum(map(len, pages)) / len(pages))
        if size:
            self._next_ms = self._since_ms + share_ms(self._settings, size, devices)
        return now.mono_ms >= self._next_ms

    def _turn(self, now: Now, pages: list[bytes], devices: int) -> list[int]:
        """The pages whose turn it is: all that have changed in a small group, at most one in a large one."""
        changed = self._changed(pages)
        if sum(map(len, pages)) * devices <= self._settings.vector_burst_bytes or not changed:
            return changed
        if not self._greeted:
            self._greeted = True
            self._since_ms, self._part = now.mono_ms, self._outbox.rng.random()
            self._has_come(now, pages, devices)
            return []
        fresh = [number for number in changed if number not in self._published]
        if fresh:  # before the page that it was split from is written without its entries
            return [fresh[int(self._outbox.rng.random() * len(fresh))]]
        return [next(number for number in self._published if number in changed)]  # the one written longest ago

    def _write(self, now: Now, signer: Signer, number: int, pages: list[bytes]) -> int:
        page = VectorPage(self._outbox.counter(), now.wall_ms, len(pages), self._settings.durable, pages[number])
        self._published.pop(number, None)
        self._published[number] = pages[number]
        self._unanswered += 1
        topic = self._topics.vector(signer.origin, number)
        return self._slots.write(now, topic, Kind.VECTOR, signer, page, done=self._taken)

    def _taken(self, _: bool) -> None:
        self._unanswered -= 1
