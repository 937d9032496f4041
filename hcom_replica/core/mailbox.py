"""Our mailbox ring on the broker: what it holds, and what is done about it (protocol-v1 section 8).

Owns which segments stand in which slots. When to write is the affair of `ringclock`, what to write that of `ringplan`,
in which order that of `ringwriter`. Nothing counts as standing on the broker that the broker has not confirmed.
"""

from __future__ import annotations

from collections.abc import Iterable

from hcom_replica.core.demand import Demand
from hcom_replica.core.effects import Now
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.ownslots import OwnSlots
from hcom_replica.core.packer import Bundle, bundle
from hcom_replica.core.readback import ReadBack
from hcom_replica.core.ring import RingRun, Step, covered, runs_of
from hcom_replica.core.ringclock import RingClock
from hcom_replica.core.ringplan import RingPlan
from hcom_replica.core.ringwriter import RingWriter, Sealed
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.frame import Signer
from hcom_replica.wire.messages import Index, Segment
from hcom_replica.wire.topics import Topics


class Mailbox:
    """The ring of this device's current origin.

    Attributes:
        unfit: origin -> seqs (first, last) of what comes next of it, fits in no half of the ring, and is lacked by
            somebody.
        refused: how many segments the broker did not take.
    """

    def __init__(self, outbox: Outbox, slots: OwnSlots, topics: Topics, settings: Settings) -> None:
        self._outbox = outbox
        self._settings = settings
        self._clock = RingClock(settings)
        self._writer = RingWriter(outbox, slots, topics, settings, taken=self._take, refused=self._refuse)
        self._read = ReadBack(outbox, topics, settings)
        self._ring: dict[int, Segment] = {}
        self._taken: set[int] = set()
        self._unproven: set[int] = set()
        self._doubted: set[int] = set()
        self._superseded: dict[int, Segment] = {}
        self._stale: dict[int, Segment] = {}
        self._emptying = False
        self._unchecked = False
        self._index_seen = False
        self._leftover = False
        self.unfit: dict[OriginId, tuple[int, int]] = {}
        self.refused = 0

    # --- what happens -----------------------------------------------------------------------------------

    def adopt(self, index: Index) -> None:
        """Our own index, as the broker holds it on this connection.

        What this process has written counts as far as the broker still says so; a process that has written nothing yet
        takes over all that the one before it has left, and reads it back, because that one may have died between index
        and slots. What does not count lies there all the same, until the ring is cleared.
        """
        self._index_seen = True
        lines = {segment.slot: segment for segment in index.segments if segment.slot < self._settings.mailbox_slots}
        first = self._clock.written_ms is None
        if not first:
            lines = {slot: line for slot, line in lines.items() if slot in self._taken and self._ring.get(slot) == line}
        self._leftover = len(lines) < len(index.segments)
        self._ring, self._taken = lines, set(lines)
        self._unproven = set(lines) if first else set()
        self._unchecked = self._unchecked or first

    def link_up(self) -> None:
        """A new connection: the broker has yet to show that it still has our ring."""
        self._index_seen = False

    def opened(self, now: Now) -> None:
        """The fence has passed. No own index on the broker means that nobody finds a ring there: begin anew.

        Slots may lie there all the same, where the broker lost the index alone; so the ring is cleared in the end.
        """
        self._clock.opened(now)
        if not self._index_seen:
            written = bool(self._ring or self._leftover)
            self._forget_ring()
            self._leftover = written

    def closed(self) -> None:
        """The link has ended: what was on its way may or may not have arrived."""
        self._clock.closed()
        self._writer.closed()
        self._read.closed()
        self._doubted.clear()

    def moved(self, now: Now) -> None:
        """The own log has grown, or somebody has said what they hold."""
        self._clock.moved(now)

    def segment(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Something came from one of our own slots."""
        lost = self._read.came(topic, payload, retain=retain, ring=self._ring)
        if lost is not None:
            self._lose([lost])

    def new_origin(self) -> list[Segment]:
        """A new incarnation has a ring of its own; return what the old one holds, which stays until all have it."""
        left = self._lines({**self._stale, **self._ring})
        self._unchecked = self._unchecked or bool(self._stale)
        self._forget_ring()
        return left

    # --- what it does -----------------------------------------------------------------------------------

    def tick(self, now: Now, knowledge: Knowledge, signer: Signer, room: int, *, urgent: bool) -> None:
        """Write what is due, or clear what all have."""
        self._lose(self._read.overdue(now))
        if not self._clock.is_open or not self._writer.settled() or knowledge.own is None:
            return
        if self._clock.is_resting(now) or self._proving(signer):
            return
        demand = Demand(knowledge, knowledge.own, now)
        self.unfit = {origin: seqs for origin, seqs in self.unfit.items() if demand.lacks(origin, seqs[1])}
        if self._clear(now, demand, signer):
            return
        self._let_go_of_bodies(now, knowledge, demand)
        self._doubt(demand, signer)
        to_clear = bool(self._ring or self._leftover or demand.earlier_rings())
        urgent = urgent or self._emptying
        if self._clock.is_due(now, demand, self.runs(), urgent=urgent, to_clear=to_clear):
            self._write(now, knowledge, demand, signer, room)

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
        return self._writer.settled()

    def is_full(self, demand: Demand) -> bool:
        """Whether the ring holds all that somebody may lack, as far as it can, and nothing of it is on its way."""
        return self._clock.is_open and self.settled() and self._plan(demand).next(self.runs()) is None

    def runs(self) -> list[RingRun]:
        """What the ring holds."""
        return runs_of(self._ring.values())

    def wake_at(self) -> int | None:
        """When `tick` is wanted."""
        due = self._clock.due_ms if self._clock.is_open and self._writer.settled() else None
        return min((ms for ms in (due, self._read.wake_at()) if ms is not None), default=None)

    def _proving(self, signer: Signer) -> bool:
        """What another process is said to have written is being read back; nothing is decided before."""
        self._unproven &= self._ring.keys() - self._read.verified
        self._read.ask(signer.origin, sorted(self._unproven))
        return bool(self._unproven)

    def _doubt(self, demand: Demand, signer: Signer) -> None:
        """Read back, once on a connection, slots that hold what somebody asks for all the same (P8.9)."""
        doubtful = {
            slot
            for origin, first in demand.asked_for
            for slot in (self._taken & self._ring.keys()) - self._doubted  # a slot that was taken may be dropped since
            if self._ring[slot].origin == origin and self._ring[slot].last >= first
        }
        self._doubted |= doubtful
        self._read.verified -= doubtful
        self._read.ask(signer.origin, sorted(doubtful))

    # --- writing ------------------------------------------------------------------------------------------

    def _write(self, now: Now, knowledge: Knowledge, demand: Demand, signer: Signer, room: int) -> None:
        """Change the ring in memory, run by run, then publish what is new."""
        plan = self._plan(demand)
        written: dict[int, bytes] = {}
        for _ in range(4 * self._settings.mailbox_slots):
            step = plan.next(self.runs())
            if step is None:
                break
            ready = bundle(knowledge.log, knowledge.states[step.origin], step.first, room)
            sealed = self._put(signer, step, ready, plan) if ready is not None else None
            if sealed is None:
                break
            written.update({one.line.slot: one.payload for one in sealed})
        payloads = {slot: payload for slot, payload in written.items() if slot in self._ring}
        named = {**self._superseded, **self._ring}
        if self._emptying:
            payloads.update((slot, b"") for slot in range(self._settings.mailbox_slots) if slot not in named)
        if payloads:
            self._clock.wrote(now)
            self._writer.write(now, signer, [named[slot] for slot in sorted(named)], payloads)

    def _plan(self, demand: Demand) -> RingPlan:
        return RingPlan(demand, self._settings.mailbox_slots, self.unfit)

    def _put(self, signer: Signer, step: Step, ready: Bundle, plan: RingPlan) -> list[Sealed] | None:
        """Put one run into the ring, and return what goes into its slots; None when it cannot be."""
        merges = bool(step.drop) and step.drop[0].first == step.first  # else what is dropped only makes way
        if merges and ready.last <= step.drop[-1].last:
            plan.merging = False  # what does not compress fits no better than before: write it behind the others
            return []
        count, half = max(1, len(ready.parts)), self._settings.mailbox_slots // 2
        slots = [*step.free, *(slot for run in step.drop for slot in run.slots)][:count]
        if count > half:
            self.unfit[step.origin] = (step.first, ready.last)
            return []
        if len(slots) < count:
            return None
        kept = [slot for run in step.drop for slot in run.slots if slot not in slots and slot in self._ring]
        self._superseded.update({slot: self._ring[slot] for slot in kept})
        plan.reserved.update(kept)
        self._drop(slot for run in step.drop for slot in run.slots)
        sealed = self._writer.seal(signer, step.origin, ready, slots)
        self._place(sealed)
        return sealed

    def _place(self, sealed: list[Sealed]) -> None:
        """Slots are about to be overwritten: the broker is yet to confirm them."""
        for one in sealed:
            slot = one.line.slot
            self._ring[slot] = one.line
            self._taken.discard(slot)
            self._read.forget(slot)

    def _take(self, slot: int) -> None:
        """The broker holds a slot as the index says; what all new ones have taken in is not needed any more."""
        self._taken.add(slot)
        if self._writer.settled():
            self._superseded.clear()
            self._emptied()

    def _refuse(self, slots: list[int]) -> None:
        """The broker did not take slots, or the index that names them."""
        self.refused += len(slots)
        self._outbox.trace("the broker refused the mailbox", slots=len(slots))
        self._clock.refused()
        self._leftover = True
        self._drop(slots)

    def _lose(self, slots: list[int]) -> None:
        """Slots of the ring were found not to hold what the index says."""
        for slot in slots:
            self._outbox.trace("mailbox slot lost", slot=slot)
            self._taken.discard(slot)
            self._clock.lost()
            self._leftover = True
        self._drop(slots)

    # --- redactions ---------------------------------------------------------------------------------------

    def _let_go_of_bodies(self, now: Now, knowledge: Knowledge, demand: Demand) -> None:
        """P8.11: segments that hold a body which is to go are written anew, and the slots that are not named emptied.

        Those may hold it as well: what a merge has taken in lies there until its slot is needed.
        """
        places = knowledge.redacted.take_fresh()
        if self._unchecked:  # another process may have written the ring before it knew
            places, self._unchecked = set(knowledge.redacted.known), False
        if not places:
            return

        def holds(segment: Segment) -> bool:
            root = knowledge.root_of(OriginId(segment.origin))
            return any(root == origin and segment.first <= seq <= segment.last for origin, seq in places)

        for peer in demand.earlier_rings():
            if peer.index is not None and any(map(holds, peer.index.segments)):
                self._writer.clear(now, peer.origin, peer.index.slots)
                peer.index = None
        stale = {slot: line for slot, line in {**self._superseded, **self._ring}.items() if holds(line)}
        own = {knowledge.root_of(state.id) for state in knowledge.own_origins()}
        if stale or ((self._ring or self._leftover) and any(origin in own for origin, _ in places)):
            self._outbox.trace("mailbox written anew without bodies", slots=len(stale))
            self._stale.update(stale)
            self._emptying = self._leftover = True
            self._drop(stale)
            for slot in stale:
                self._superseded.pop(slot, None)
                self._read.forget(slot)

    def _emptied(self) -> None:
        """No slot holds what no index names."""
        self._stale.clear()
        self._emptying = False

    # --- clearing -----------------------------------------------------------------------------------------

    def _clear(self, now: Now, demand: Demand, signer: Signer) -> bool:
        """P8.5: clear the ring when every active device has all of it; rings of earlier incarnations likewise."""
        if not self._clock.may_clear(now) or not demand.active:
            return False
        cleared = False
        if self._is_over(demand):
            self._writer.clear(now, signer.origin, self._settings.mailbox_slots)
            self._ring.clear()
            self._taken.clear()
            self._leftover = False
            self._emptied()
            cleared = True
        for peer in demand.earlier_rings():
            if peer.index is not None and peer.index.segments and all(map(demand.is_over, peer.index.segments)):
                self._writer.clear(now, peer.origin, peer.index.slots)
                peer.index = None
                cleared = True
        return cleared

    def _is_over(self, demand: Demand) -> bool:
        """Something of ours lies on the broker, and nobody needs it, even what lies there and does not count."""
        if self._leftover and demand.low < demand.own.seq:
            return False
        return bool(self._ring or self._leftover) and all(map(demand.is_over, self._lines(self._ring)))

    def _lines(self, ring: dict[int, Segment]) -> list[Segment]:
        return [ring[slot] for slot in sorted(ring)]

    def _drop(self, slots: Iterable[int]) -> None:
        for slot in slots:
            self._ring.pop(slot, None)
            self._taken.discard(slot)

    def _forget_ring(self) -> None:
        self._ring.clear()
        self._taken.clear()
        self._superseded.clear()
        self._emptied()
        self._unproven.clear()
        self._read.verified.clear()
        self._leftover = False
        self._clock.forget()
