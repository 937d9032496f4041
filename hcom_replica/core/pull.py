"""Asking for what is missing: one source at a time for each origin (P7.7, P7.8).

Sources in order: mailbox segments that an index names, then devices that are online and claim to hold the range. A
source that brings nothing in time goes to the end of the list. Hearing somebody else ask for the same range is as good
as asking.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hcom_replica.core.effects import Now, Subscribe, Unsubscribe
from hcom_replica.core.intake import Intake
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.peers import Peer
from hcom_replica.core.settings import Settings
from hcom_replica.ids import ORIGIN_BYTES, OriginId
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import Author, Kind, Signer, pack
from hcom_replica.wire.messages import Segment, Want, WantItem
from hcom_replica.wire.topics import Topics, block_of

_SLOTS_AT_ONCE: Final = 8
_GROW_BELOW_MS: Final = 1_000
_WANT_BYTES: Final = 6
"""Ids of wants begin at random, so that those of two askers differ."""

Source = tuple[OriginId, int]
"""(holder, -1) for a device that is asked, (writer, slot) for a mailbox slot."""


@dataclass
class _Pull:
    """One source that is being tried for one origin.

    Attributes:
        holder: key of the device that was asked; None when slots are read.
        have: how far the prefix went when it last counted as progress.
    """

    sources: list[Source]
    want: int
    holder: bytes | None
    first: int
    have: int
    started_ms: int
    progress_ms: int
    timeout_ms: int
    slots: set[str] = field(default_factory=set)


@dataclass
class _Pace:
    """What has been learnt about pulling one origin."""

    window: int
    timeout_ms: int
    due_ms: int
    failed: dict[Source, int] = field(default_factory=dict)
    filters: tuple[str, ...] = ()
    sourceless_ms: int | None = None


class Puller:
    """The asker."""

    def __init__(self, outbox: Outbox, topics: Topics, settings: Settings, intake: Intake) -> None:
        self._outbox = outbox
        self._topics = topics
        self._settings = settings
        self._intake = intake
        self._pulls: dict[OriginId, _Pull] = {}
        self._paces: dict[OriginId, _Pace] = {}
        self._connected = False
        self._hunts: dict[OriginId, int] = {}
        self._at_once_until = 0
        self._want = int.from_bytes(outbox.rng.randbytes(_WANT_BYTES), "big")

    def link_up(self, now: Now) -> None:
        """A new connection: ask at once for what turns out to be missing."""
        self._connected = True
        self._at_once_until = now.mono_ms + self._settings.fence_grace_ms * 4

    def link_down(self) -> None:
        """The connection has ended."""
        self._connected = False
        self._pulls.clear()
        self._paces.clear()

    def pulling(self) -> list[OriginId]:
        """Origins for which a source is being tried."""
        return list(self._pulls)

    def tick(self, now: Now, knowledge: Knowledge, signer: Signer) -> None:
        """Give up sources that bring nothing, and try the next ones."""
        if not self._connected:
            return
        wanted = {o: seq for o, seq in knowledge.wanted().items() if seq > self._intake.have(o)}
        for origin, seq in self._intake.gaps().items():
            wanted[origin] = max(seq, wanted.get(origin, 0))
        for origin, seq in self._hunts.items():
            wanted[origin] = max(seq + 1, wanted.get(origin, 0))
        for origin in [origin for origin in self._paces if origin not in wanted]:
            self._leave(origin)
        for origin in sorted(wanted, key=lambda origin: self._pace(now, origin).due_ms):
            if origin in self._pulls:
                self._check(now, origin)
            room = len(self._pulls) < self._settings.pulls_max
            if room and origin not in self._pulls and self._paces[origin].due_ms <= now.mono_ms:
                self._begin(now, knowledge, signer, origin, wanted[origin])

    def stuck(self, now: Now) -> list[OriginId]:
        """Origins of which something is missing that nobody reachable has had for a while."""
        after = self._settings.standing_after_ms
        return [
            origin
            for origin, pace in self._paces.items()
            if pace.sourceless_ms is not None and now.mono_ms - pace.sourceless_ms >= after
        ]

    def news(self, now: Now) -> None:
        """A source may have turned up: look again for what had none."""
        for pace in self._paces.values():
            if pace.sourceless_ms is not None:
                pace.due_ms = now.mono_ms

    def fill(self, now: Now, origin: OriginId, author: Author | None, want: int, *, last: bool) -> None:
        """A fill for an origin was taken in.

        All devices hear a want, so any of them can send fills under its number. Those count that the asked holder sent,
        and those that bring something; the others neither keep a pull waiting nor end it (P7.8).
        """
        pull, have = self._pulls.get(origin), self._intake.have(origin)
        if pull is None:
            return
        answer = author is not None and author.key == pull.holder and want == pull.want
        if answer or have > pull.have:
            pull.progress_ms, pull.have = now.mono_ms, have
        if answer and last:
            self._finished(now, origin, pull)

    def segment(self, now: Now, topic: str) -> None:
        """A mailbox slot was read."""
        for origin, pull in list(self._pulls.items()):
            if topic in pull.slots:
                pull.slots.discard(topic)
                pull.progress_ms = now.mono_ms
                self._outbox.emit(Unsubscribe((topic,)))
                if not pull.slots:
                    self._finished(now, origin, pull)

    def stored(self, now: Now, origin: OriginId) -> None:
        """The prefix of an origin has grown."""
        self._hunts.pop(origin, None)
        if origin in self._pulls:
            self._pulls[origin].progress_ms = now.mono_ms

    def unplaced(self, now: Now, origin: OriginId) -> None:
        """What came of an origin could not be stored: something else must come first, so do not ask again at once."""
        pace = self._pace(now, origin)
        pace.due_ms = now.mono_ms + self._settings.pull_ms_min
        self._end(origin)

    def misfit(self, now: Now, knowledge: Knowledge, origin: OriginId, before: int) -> None:
        """A run differs from what is held at or below `before`: ask from further back, twice as far each time (P4.8).

        The origin may lack nothing by number: what is held of it may be the branch that has another name by now.
        """
        have, hunted = knowledge.have(origin), self._hunts.get(origin)
        back = 2 * (have - hunted) if hunted is not None else 1
        row = knowledge.log.commit_at_or_below(origin, max(0, min(before, have) - back))
        self._hunts[origin] = row.seq if row is not None else 0
        self._end(origin)
        if self._hunts[origin] != hunted:  # where there is no further back, a source that misled us is left for a while
            pace = self._pace(now, origin)
            pace.failed.clear()
            pace.due_ms = now.mono_ms

    def others_want(self, now: Now, want: Want) -> None:
        """Somebody asks for ranges: what we lack too will come past, if we listen."""
        for item in want.items:
            origin = OriginId(item.hash[:ORIGIN_BYTES])
            pace = self._paces.get(origin)
            first = self._intake.have(origin) + 1
            if pace is None or origin in self._pulls or pace.due_ms <= now.mono_ms:
                continue
            if item.first <= first and block_of(item.first) == block_of(first):
                self._listen(origin, pace, first)
                pace.due_ms = now.mono_ms + self._settings.ask_ms_max

    def wake_at(self) -> int | None:
        """When `tick` is wanted."""
        times = [pull.progress_ms + pull.timeout_ms for pull in self._pulls.values()]
        if len(self._pulls) < self._settings.pulls_max:
            times += [pace.due_ms for origin, pace in self._paces.items() if origin not in self._pulls]
        return min(times, default=None)

    def _pace(self, now: Now, origin: OriginId) -> _Pace:
        pace = self._paces.get(origin)
        if pace is None:
            settings = self._settings
            spread = settings.ask_ms_min + int(self._outbox.rng.random() * (settings.ask_ms_max - settings.ask_ms_min))
            due = now.mono_ms + (0 if now.mono_ms < self._at_once_until else spread)
            pace = self._paces[origin] = _Pace(settings.window_bytes_first, settings.pull_ms_min, due)
        return pace

    def _begin(self, now: Now, knowledge: Knowledge, signer: Signer, origin: OriginId, claimed: int) -> None:
        """Try the best source there is."""
        pace = self._paces[origin]
        first = self._hunts.get(origin, self._intake.have(origin)) + 1
        slots = self._slots(now, knowledge, pace, origin, first)
        if slots:
            pace.sourceless_ms = None
            self._read_slots(now, origin, pace, first, slots)
            return
        holder = self._holder(now, knowledge, pace, origin, first)
        if holder is None:
            pace.sourceless_ms = pace.sourceless_ms if pace.sourceless_ms is not None else now.mono_ms
            pace.due_ms = now.mono_ms + self._settings.standing_after_ms
            return
        pace.sourceless_ms = None
        self._ask(now, knowledge, signer, origin, holder, first, claimed)

    def _slots(
        self, now: Now, knowledge: Knowledge, pace: _Pace, origin: OriginId, first: int
    ) -> list[tuple[OriginId, Segment]]:
        """Segments that carry on from `first` without a hole, the newest index of each writer believed."""
        named = [
            (peer.origin, segment)
            for peer in knowledge.peers
            if peer.index is not None
            for segment in peer.index.segments
            if segment.origin == origin
            and segment.last >= first
            and not self._failed(now, pace, (peer.origin, segment.slot))
        ]
        chain: list[tuple[OriginId, Segment]] = []
        while len(chain) < _SLOTS_AT_ONCE:
            fitting = [item for item in named if item[1].first <= first <= item[1].last]
            if not fitting:
                break
            writer, best = max(fitting, key=lambda item: item[1].last)
            group = [
                item for item in named if item[0] == writer and (item[1].first, item[1].last) == (best.first, best.last)
            ]
            whole = {segment.part: (writer, segment) for _, segment in group if segment.parts == best.parts}
            if len(whole) < best.parts:
                named = [item for item in named if item not in group]
                continue
            chain.extend(whole.values())
            first = best.last + 1
        return chain

    def _read_slots(
        self, now: Now, origin: OriginId, pace: _Pace, first: int, slots: list[tuple[OriginId, Segment]]
    ) -> None:
        topics = {self._topics.segment(writer, segment.slot) for writer, segment in slots}
        sources = [(writer, segment.slot) for writer, segment in slots]
        self._pulls[origin] = _Pull(
            sources,
            0,
            None,
            first,
            self._intake.have(origin),
            now.mono_ms,
            now.mono_ms,
            max(pace.timeout_ms, self._settings.slot_read_ms),
            topics,
        )
        self._outbox.emit(Subscribe(tuple(sorted(topics))))

    def _holder(self, now: Now, knowledge: Knowledge, pace: _Pace, origin: OriginId, first: int) -> Peer | None:
        holders = [
            peer
            for peer in knowledge.peers.current(knowledge.own)
            if _claims(peer, origin, first) and peer.online(now, self._settings.online_ms)
        ]
        fresh = [peer for peer in holders if not self._failed(now, pace, (peer.origin, -1))]
        holders = fresh or [p for p in holders if now.mono_ms - pace.failed[p.origin, -1] >= pace.timeout_ms]
        rng, hunting = self._outbox.rng, origin in self._hunts

        def order(peer: Peer) -> tuple[bool, int, float]:
            """Whoever failed longest ago; in a hunt, those first who hold something else than we do."""
            same = hunting and knowledge.acked(peer, origin) > 0
            return same, pace.failed.get((peer.origin, -1), 0), rng.random()

        return min(holders, key=order, default=None)

    def _ask(
        self, now: Now, knowledge: Knowledge, signer: Signer, origin: OriginId, holder: Peer, first: int, claimed: int
    ) -> None:
        pace = self._paces[origin]
        self._want += 1
        state = knowledge.states.get(origin)
        name = state.hash if state is not None else origin
        spooled = self._intake.spooled_from(origin)
        last = spooled - 1 if spooled is not None and first < spooled <= claimed else 0
        want = Want(self._want, holder.origin, pace.window, [WantItem(name, first, last)])
        self._pulls[origin] = _Pull(
            [(holder.origin, -1)],
            want.id,
            holder.author.key,
            first,
            self._intake.have(origin),
            now.mono_ms,
            now.mono_ms,
            pace.timeout_ms,
        )
        self._listen(origin, pace, first)
        topic = self._topics.want
        self._outbox.publish(topic, self._outbox.seal(topic, Kind.WANT, signer, pack(encode(want))), retain=False)
        self._outbox.trace("ask", origin=origin.hex(), first=first, last=last, holder=holder.origin.hex())

    def _listen(self, origin: OriginId, pace: _Pace, first: int) -> None:
        """Be subscribed to the block of `first` and the next one, and to no others of this origin."""
        block = block_of(first)
        filters = (self._topics.fill(origin, block), self._topics.fill(origin, block + 1))
        fresh = tuple(name for name in filters if name not in pace.filters)
        stale = tuple(name for name in pace.filters if name not in filters)
        if fresh:
            self._outbox.emit(Subscribe(fresh))
        if stale:
            self._outbox.emit(Unsubscribe(stale))
        pace.filters = filters

    def _check(self, now: Now, origin: OriginId) -> None:
        pull, pace = self._pulls[origin], self._paces[origin]
        if now.mono_ms - pull.progress_ms < pull.timeout_ms:
            return
        for source in pull.sources:
            pace.failed[source] = now.mono_ms
        pace.window = max(pace.window // 2, self._settings.window_bytes_min)
        pace.timeout_ms = min(2 * pace.timeout_ms, self._settings.pull_ms_max)
        self._outbox.trace("source brought nothing", origin=origin.hex(), source=pull.sources[0][0].hex())
        self._end(origin)

    def _finished(self, now: Now, origin: OriginId, pull: _Pull) -> None:
        """A source has brought all it was asked for."""
        pace = self._paces[origin]
        if self._intake.have(origin) < pull.first or origin in self._hunts:
            for source in pull.sources:
                pace.failed[source] = now.mono_ms
        elif now.mono_ms - pull.started_ms < _GROW_BELOW_MS:
            pace.window = min(2 * pace.window, self._settings.window_bytes_max)
            pace.timeout_ms = max(pace.timeout_ms // 2, self._settings.pull_ms_min)
        pace.due_ms = now.mono_ms
        self._end(origin)

    def _failed(self, now: Now, pace: _Pace, source: Source) -> bool:
        failed = pace.failed.get(source)
        return failed is not None and now.mono_ms - failed < self._settings.source_retry_ms

    def _end(self, origin: OriginId) -> None:
        pull = self._pulls.pop(origin, None)
        if pull is not None and pull.slots:
            self._outbox.emit(Unsubscribe(tuple(sorted(pull.slots))))

    def _leave(self, origin: OriginId) -> None:
        """Nothing is missing of an origin any more."""
        self._end(origin)
        pace = self._paces.pop(origin)
        if pace.filters:
            self._outbox.emit(Unsubscribe(pace.filters))


def _claims(peer: Peer, origin: OriginId, first: int) -> bool:
    ack = peer.acks.get(origin)
    if ack is not None and ack.seq >= first:
        return True
    return peer.origin == origin and peer.head is not None and peer.head.seq >= first
