"""Our mailbox ring on the broker: when to write it, in which order, when to clear it (protocol-v1 section 8).

Order: the index is raised and acknowledged by the broker BEFORE a slot that it speaks of is overwritten.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from hcom_replica.core.effects import Now
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.origin import OriginState
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.ownslots import OwnSlots
from hcom_replica.core.packer import Bundle, bundle
from hcom_replica.core.peers import Peer
from hcom_replica.core.readback import ReadBack
from hcom_replica.core.ring import Need, RingRun, Step, covered, extend, runs_of, serve, split
from hcom_replica.core.settings import Settings
from hcom_replica.ids import ORIGIN_BYTES, OriginId
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import RAW, Kind, Packed, Signer
from hcom_replica.wire.messages import INDEX_ENTRIES_MAX, Index, Segment
from hcom_replica.wire.signing import hash32
from hcom_replica.wire.topics import Topics


class _Write(NamedTuple):
    slot: int
    payload: bytes


class Mailbox:
    """The ring of this device's current origin.

    Attributes:
        too_large: first seq of an own event that fits in no half of the ring; None when all fit.
        refused: how many segments the broker did not take.
        written_bytes: payload bytes of segments and indexes published.
    """

    def __init__(self, outbox: Outbox, slots: OwnSlots, topics: Topics, settings: Settings) -> None:
        self._outbox = outbox
        self._slots = slots
        self._topics = topics
        self._settings = settings
        self._ring: dict[int, Segment] = {}
        self._taken: set[int] = set()
        self._unproven: set[int] = set()
        self._read = ReadBack(outbox, topics, settings)
        self._lost = False
        self._refusing = False
        self._busy = 0
        self._open_ms: int | None = None
        self._due_ms: int | None = None
        self._waiting: tuple[int, int] | None = None
        self._moved_ms = 0
        self._merging = True
        self._written_ms: int | None = None
        self._ring_seen = False
        self._leftover = False
        self.too_large: int | None = None
        self.refused = 0
        self.written_bytes = 0

    # --- what happens -----------------------------------------------------------------------------------

    def adopt(self, index: Index) -> None:
        """Our own index, as the broker holds it on this connection.

        What this process has written counts as far as the broker still says so; a process that has written nothing yet
        takes over all that the one before it has left, and reads it back, because that one may have died between index
        and slots. What does not count lies there all the same, until the ring is cleared.
        """
        self._ring_seen = True
        lines = {segment.slot: segment for segment in index.segments if segment.slot < self._settings.mailbox_slots}
        if self._written_ms is not None:
            lines = {slot: line for slot, line in lines.items() if slot in self._taken and self._ring.get(slot) == line}
        self._leftover = len(lines) < len(index.segments)
        self._ring, self._taken = lines, set(lines)
        self._unproven = set(lines) if self._written_ms is None else set()

    def link_up(self) -> None:
        """A new connection: the broker has yet to show that it still has our ring."""
        self._ring_seen = False

    def opened(self, now: Now) -> None:
        """The fence has passed. No own index on the broker means no ring there: begin anew."""
        self._open_ms = self._due_ms = now.mono_ms
        self._moved_ms = now.mono_ms
        self._refusing = False
        if not self._ring_seen:
            self._forget_ring()

    def closed(self) -> None:
        """The link has ended: what was on its way may or may not have arrived."""
        self._open_ms, self._busy = None, 0
        self._read.closed()

    def moved(self, now: Now) -> None:
        """The own log has grown, or somebody has said what they hold."""
        self._moved_ms = now.mono_ms

    def segment(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Something came from one of our own slots."""
        lost = self._read.came(topic, payload, retain=retain, ring=self._ring)
        if lost is not None:
            self._lose([lost])

    def new_origin(self) -> None:
        """A new incarnation has a ring of its own; the old one stays until all have what it holds."""
        self._forget_ring()
        self.too_large = None

    # --- what it does -----------------------------------------------------------------------------------

    def tick(self, now: Now, knowledge: Knowledge, signer: Signer, room: int, *, urgent: bool) -> None:
        """Write what is due, or clear what all have."""
        self._lose(self._read.overdue(now))
        if self._open_ms is None or self._busy or knowledge.own is None:
            return
        self._due_ms = None
        if self._resting(now) or self._proving(signer):
            return
        active = knowledge.active(now)
        if self.too_large is not None and _low(knowledge, active, knowledge.own) >= self.too_large:
            self.too_large = None
        if self._clear(now, knowledge, signer, active):
            return
        if not urgent and not self._lost and not self._is_due(now, knowledge, active):
            return
        self._lost = False
        writes = self._plan(knowledge, signer, active, room)
        if writes:
            self._write(now, signer, writes)

    def safe_upto(self, origin: OriginId, above: int) -> int:
        """The highest seq such that everything after `above` was read back from the broker."""
        runs = runs_of(segment for slot, segment in self._ring.items() if slot in self._read.verified)
        return covered(runs, origin, above)

    def read_back(self, signer: Signer, origin: OriginId, above: int) -> None:
        """Ask the broker for the slots that are to prove `safe_upto`."""
        lines = ((slot, self._ring[slot]) for slot in self._taken if slot in self._ring)
        self._read.ask(signer.origin, [slot for slot, line in lines if line.origin == origin and line.last > above])

    def settled(self) -> bool:
        """Nothing is on its way to the broker."""
        return self._busy == 0

    def runs(self) -> list[RingRun]:
        """What the ring holds."""
        return runs_of(self._ring.values())

    def wake_at(self) -> int | None:
        """When `tick` is wanted."""
        due = None if self._open_ms is None or self._busy else self._due_ms
        return min((ms for ms in (due, self._read.wake_at()) if ms is not None), default=None)

    # --- when -------------------------------------------------------------------------------------------

    def _is_due(self, now: Now, knowledge: Knowledge, active: list[Peer]) -> bool:
        """P8.2; sets when to look again."""
        self._due_ms = None
        own = knowledge.own
        if own is None:
            return False
        settings = self._settings
        low = _low(knowledge, active, own)
        unsaved, newest = self._unsaved(knowledge, own, low)
        waited = self._waited(now, low, own.seq)
        if not unsaved:
            if self._needs(knowledge, active):
                return self._after(now, (self._open_ms or 0) + settings.due_ms, settings.ring_idle_ms)
            earlier = any(peer.index is not None and _earlier(peer, own) for peer in knowledge.peers)
            if self._ring or self._leftover or earlier:
                self._due_ms = now.mono_ms + settings.clear_after_connect_ms
            return False
        if unsaved >= max(newest, settings.ring_small_bytes) and self._after(now, waited, 0):
            return True
        if self._written_ms is not None and self._after(now, waited, settings.ring_ms):
            return True
        return self._after(now, max(waited, self._moved_ms + settings.due_ms), settings.ring_idle_ms)

    def _waited(self, now: Now, low: int, tip: int) -> int:
        """When the oldest event that somebody has not acknowledged will have waited long enough for it."""
        if self._waiting is None or low >= self._waiting[1]:
            self._waiting = (now.mono_ms, tip)
        return self._waiting[0] + self._settings.due_ms

    def _after(self, now: Now, due: int, written_ms: int) -> bool:
        """Whether `due` has come, and so much has passed since the last write; else says when to look again."""
        if self._written_ms is not None:
            due = max(due, self._written_ms + written_ms)
        if now.mono_ms >= due:
            self._due_ms = now.mono_ms + self._settings.due_ms
            return True
        self._due_ms = due if self._due_ms is None else min(due, self._due_ms)
        return False

    def _unsaved(self, knowledge: Knowledge, own: OriginState, low: int) -> tuple[int, int]:
        """(encoded bytes after the ring's newest own run, encoded bytes of that run)."""
        runs = [run for run in self.runs() if run.origin == own.id and run.last > low]
        end = max((run.last for run in runs), default=low)
        if end >= own.seq:
            return 0, 0
        newest = max(runs, key=lambda run: run.last, default=None)
        if newest is None:
            return own.cum - _cum(knowledge, own.id, end), 0
        # A run starts behind a commit that is kept for good; the one at its end may have been thinned since.
        return own.cum - _cum(knowledge, own.id, newest.first - 1) - newest.raw, newest.raw

    def _resting(self, now: Now) -> bool:
        """The broker has refused something: it is left alone for a while."""
        until = (self._written_ms or 0) + self._settings.ring_ms
        if self._refusing and now.mono_ms < until:
            self._due_ms = until
            return True
        self._lost, self._refusing = self._lost or self._refusing, False
        return False

    def _proving(self, signer: Signer) -> bool:
        """What another process is said to have written is being read back; nothing is decided before."""
        self._unproven &= self._ring.keys() - self._read.verified
        self._read.ask(signer.origin, sorted(self._unproven))
        return bool(self._unproven)

    # --- what -------------------------------------------------------------------------------------------

    def _plan(self, knowledge: Knowledge, signer: Signer, active: list[Peer], room: int) -> list[_Write]:
        """Change the ring in memory, run by run, and collect what has to be published."""
        writes: dict[int, bytes] = {}
        self._merging = True
        for _ in range(4 * self._settings.mailbox_slots):
            step = self._next(knowledge, active)
            if step is None or not self._put(knowledge, signer, step, room, writes):
                break
        return [_Write(slot, payload) for slot, payload in writes.items() if slot in self._ring]

    def _next(self, knowledge: Knowledge, active: list[Peer]) -> Step | None:
        own = knowledge.own
        if own is None:
            return None
        low = _low(knowledge, active, own)
        half = self._settings.mailbox_slots // 2
        runs = self.runs()
        serving, newest = split(runs, own.id, low, half)
        needs = self._needs(knowledge, active)
        standing = [run for run in runs if run.origin != own.id and any(_serves(run, need) for need in needs)]
        free = self._free([*serving, *newest, *standing])
        step: Step | None = None
        if self.too_large is None:
            end = (newest or serving)[-1].last if newest or serving else low
            due = own.cum - _cum(knowledge, own.id, end)
            skip = self._skip(knowledge, own, end, due, len(serving) + len(standing))
            merged = due if self._merging else 0
            step = extend(serving, newest, Need(own.id, low, own.seq), merged, free, skip_to=skip)
        if step is not None:
            return step
        used = sum(len(run.slots) for run in [*serving, *standing])
        others = [run for peer in knowledge.peers if peer.index is not None and peer.origin != own.id
                  for run in runs_of(peer.index.segments)]  # fmt: skip
        for need in needs if used < half else []:
            step = serve(runs, need, others, free[: half - used])
            if step is not None:
                return step
        return None

    def _skip(self, knowledge: Knowledge, own: OriginState, end: int, due: int, serving: int) -> int | None:
        """Where the newest half must begin, when what is due after `end` does not fit beside the serving half."""
        half = self._settings.mailbox_slots // 2
        room_bytes = (self._settings.mailbox_slots - half) * _slot_raw(self.runs())
        if serving < half or due <= room_bytes:
            return None
        low, high = end + 1, own.seq
        while low < high:
            middle = (low + high) // 2
            if own.cum - _cum(knowledge, own.id, middle - 1) <= room_bytes:
                high = middle
            else:
                low = middle + 1
        return low

    def _needs(self, knowledge: Knowledge, active: list[Peer]) -> list[Need]:
        """Ranges to serve beside the own origin, lowest first: earlier incarnations' and standing wants of others."""
        own = knowledge.own
        needs: list[Need] = []
        for state in knowledge.own_origins()[:-1]:
            low = _low(knowledge, active, state)
            if low < state.seq:
                needs.append(Need(state.id, low, state.seq))
        for peer in active:
            for item in peer.standing.items if peer.standing is not None else ():
                origin = OriginId(item.hash[:ORIGIN_BYTES])
                held = knowledge.states.get(origin)
                if held is None or (own is not None and held.key == own.key):
                    continue
                above = max(item.first - 1, knowledge.acked(peer, origin), held.base)
                if above < held.seq:
                    needs.append(Need(origin, above, held.seq))
        return sorted(needs, key=lambda need: (need.above, need.origin))

    def _free(self, used: list[RingRun]) -> tuple[int, ...]:
        busy = {slot for run in used for slot in run.slots}
        return tuple(slot for slot in range(self._settings.mailbox_slots) if slot not in busy)

    def _put(self, knowledge: Knowledge, signer: Signer, step: Step, room: int, writes: dict[int, bytes]) -> bool:
        """Put one run into the ring; False when it cannot be."""
        state = knowledge.states.get(step.origin)
        ready = bundle(knowledge.log, state, step.first, room) if state is not None else None
        if ready is None:
            return False
        if step.drop and step.first <= step.drop[-1].last and ready.last <= step.drop[-1].last:
            self._merging = False  # what does not compress fits no better than before: write it behind the others
            return True
        count = max(1, len(ready.parts))
        slots = [*step.free, *(slot for run in step.drop for slot in run.slots)][:count]
        if count > self._settings.mailbox_slots // 2 or len(slots) < count:
            self.too_large = ready.last if count > self._settings.mailbox_slots // 2 else self.too_large
            return False
        for run in step.drop:
            for slot in run.slots:
                self._ring.pop(slot, None)
        self._fill_slots(signer, step.origin, ready, slots, writes)
        return True

    def _fill_slots(
        self, signer: Signer, origin: OriginId, ready: Bundle, slots: list[int], writes: dict[int, bytes]
    ) -> None:
        if ready.whole is not None:
            pieces = [(Kind.SEGMENT, ready.whole)]
        else:
            pieces = [(Kind.SEGMENT_PART, Packed(RAW, encode(part))) for part in ready.parts]
        for number, (slot, (kind, packed)) in enumerate(zip(slots, pieces, strict=True)):
            payload = self._outbox.seal(self._topics.segment(signer.origin, slot), kind, signer, packed)
            digest = hash32(payload)[:8]
            self._ring[slot] = Segment(slot, origin, ready.first, ready.last, digest, number, len(pieces), ready.raw)
            writes[slot] = payload
            self._taken.discard(slot)
            self._read.forget(slot)

    # --- publishing ---------------------------------------------------------------------------------------

    def _write(self, now: Now, signer: Signer, writes: list[_Write]) -> None:
        self._written_ms = now.mono_ms
        self._busy = 1
        self._outbox.trace("mailbox written", slots=len(writes), bytes=sum(len(write.payload) for write in writes))

        def index_taken(taken: bool) -> None:
            self._busy -= 1
            if not taken:
                self._refuse([write.slot for write in writes])
                return
            for write in writes:
                self._busy += 1
                self.written_bytes += len(write.payload)
                topic = self._topics.segment(signer.origin, write.slot)
                self._outbox.publish(topic, write.payload, retain=True, done=partial(taken_slot, write.slot))

        def taken_slot(slot: int, taken: bool) -> None:
            self._busy -= 1
            if taken:
                self._taken.add(slot)
            else:
                self._refuse([slot])

        index = Index(self._outbox.counter(), now.wall_ms, self._settings.mailbox_slots, self._lines())
        self.written_bytes += self._slots.write(
            now, self._topics.index(signer.origin), Kind.INDEX, signer, index, index_taken
        )

    def _lines(self) -> list[Segment]:
        return [self._ring[slot] for slot in sorted(self._ring)]

    def _refuse(self, slots: list[int]) -> None:
        self.refused += len(slots)
        self._outbox.trace("the broker refused the mailbox", slots=len(slots))
        self._refusing = True
        for slot in slots:
            self._ring.pop(slot, None)

    def _lose(self, slots: list[int]) -> None:
        """Slots of the ring were found not to hold what the index says."""
        for slot in slots:
            self._outbox.trace("mailbox slot lost", slot=slot)
            self._ring.pop(slot, None)
            self._taken.discard(slot)
            self._lost = True

    def _clear(self, now: Now, knowledge: Knowledge, signer: Signer, active: list[Peer]) -> bool:
        """P8.5: clear the ring when every active device has all of it; rings of earlier incarnations likewise."""
        if self._open_ms is None or now.mono_ms - self._open_ms < self._settings.clear_after_connect_ms or not active:
            return False
        needs = self._needs(knowledge, active)
        cleared = False
        if (self._ring or self._leftover) and all(self._dead(knowledge, active, needs, run) for run in self._lines()):
            self._empty(now, signer.origin, self._settings.mailbox_slots)
            self._ring.clear()
            self._taken.clear()
            self._leftover = False
            cleared = True
        for peer in knowledge.peers:
            if peer.index is None or not peer.index.segments or not _earlier(peer, knowledge.own):
                continue
            if all(self._dead(knowledge, active, needs, segment) for segment in peer.index.segments):
                self._empty(now, peer.origin, peer.index.slots)
                peer.index = None
                cleared = True
        return cleared

    def _dead(self, knowledge: Knowledge, active: list[Peer], needs: list[Need], segment: Segment) -> bool:
        """Nobody needs a segment any more. A fork may have renamed its origin: all of our earlier ones count."""
        origin, own = OriginId(segment.origin), knowledge.own
        if own is not None and origin == own.id:
            return all(knowledge.acked(peer, origin) >= segment.last for peer in active)
        state = knowledge.states.get(origin)
        if state is not None and own is not None and state.key == own.key:
            return all(knowledge.acked(peer, s.id) >= s.seq for s in knowledge.own_origins()[:-1] for peer in active)
        return not any(need.origin == origin and need.above < segment.last for need in needs)

    def _empty(self, now: Now, origin: OriginId, slots: int) -> None:
        """Clear all slots, also those that no index names any more."""
        for slot in range(min(slots, INDEX_ENTRIES_MAX)):
            self._outbox.publish(self._topics.segment(origin, slot), b"", retain=True)
        self._slots.put(now, self._topics.index(origin), b"")
        self._outbox.trace("mailbox cleared", origin=origin.hex())

    def _forget_ring(self) -> None:
        self._ring.clear()
        self._taken.clear()
        self._unproven.clear()
        self._read.verified.clear()
        self._leftover = False
        self._written_ms = None


def _low(knowledge: Knowledge, active: list[Peer], state: OriginState) -> int:
    """The lowest seq of an own origin that an active device acknowledges; its base when nobody is known."""
    return min((max(state.base, knowledge.acked(peer, state.id)) for peer in active), default=state.base)


def _cum(knowledge: Knowledge, origin: OriginId, seq: int) -> int:
    row = knowledge.log.commit_at_or_below(origin, seq)
    return row.cum if row is not None else 0


def _slot_raw(runs: list[RingRun]) -> int:
    """Encoded bytes that a slot holds, as far as this ring's full runs tell; before there are any, a cautious guess."""
    full = [run.raw // len(run.slots) for run in runs]
    return max(full, default=64 << 10)


def _serves(run: RingRun, need: Need) -> bool:
    return run.origin == need.origin and run.last > need.above


def _earlier(peer: Peer, own: OriginState | None) -> bool:
    return own is not None and peer.author.key == own.key and peer.generation < own.generation
