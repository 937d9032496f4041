"""Asking for what is missing: one source at a time for each origin, many origins in one want (P7.7, P7.8).

Sources in order: mailbox segments that an index names, then devices that are online and claim to hold the range. A
source that brings nothing in time goes to the end of the list. Hearing somebody else ask for what begins at the same
seq is as good as asking: the answer goes where both listen.

Decides only: what is lacked is known to `lacks`, what is under way to `flights`, how far back to look to `hunts`.
"""

from __future__ import annotations

from typing import Final

from hcom_replica.core.crowd import Crowd
from hcom_replica.core.effects import Now
from hcom_replica.core.flight import Pull
from hcom_replica.core.flights import Flights
from hcom_replica.core.hunts import Hunts
from hcom_replica.core.intake import Intake
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.lacks import Lacks
from hcom_replica.core.listening import Listening
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.patience import Patience
from hcom_replica.core.peer import Peer
from hcom_replica.core.settings import Settings
from hcom_replica.core.sources import Sources
from hcom_replica.ids import ORIGIN_BYTES, OriginId
from hcom_replica.wire.frame import Author, Signer
from hcom_replica.wire.messages import WANT_ITEMS_MAX, Want, WantItem
from hcom_replica.wire.topics import Topics

_GUESS_BYTES: Final = 4 << 10
"""What is missing of an origin of which only a hint is known, when a want is filled up."""

_LOOK_FREELY: Final = 64
"""With more origins than this to ask for, looking at all of them is left alone for an eighth of a ms each."""


class Puller:
    """The asker."""

    def __init__(
        self, outbox: Outbox, topics: Topics, settings: Settings, intake: Intake, hunts: Hunts, lacks: Lacks
    ) -> None:
        self._outbox = outbox
        self._settings = settings
        self._intake = intake
        self._hunts = hunts
        self._lacks = lacks
        self._waits = lacks.waits
        self._crowd = Crowd(self._waits)
        self._sources = Sources(settings)
        self._patience = Patience(settings)
        self._listening = Listening(outbox, topics)
        self._flights = Flights(outbox, topics, settings, intake, self._listening, self._waits, self._patience)
        self._connected = False
        self._look_ms: int | None = None

    def link_up(self, now: Now) -> None:
        """A new connection: ask at once for what turns out to be missing."""
        self._connected = True
        self._waits.link_up(now)
        self._crowd.link_up(now)

    def link_down(self) -> None:
        """The connection has ended."""
        self._connected = False
        self._look_ms = None
        self._listening.closed()
        self._flights.closed()
        self._patience.closed()
        self._lacks.closed()

    def pulling(self) -> list[OriginId]:
        """Origins for which a source is being tried."""
        return list(self._flights.pulls)

    def tick(self, now: Now, knowledge: Knowledge, signer: Signer) -> None:
        """Give up sources that bring nothing, and try the next ones."""
        if not self._connected or (self._look_ms is not None and now.mono_ms < self._look_ms):
            return
        self._waits.devices = 1 + len(knowledge.peers.current(knowledge.own))
        lacks, pulls, wanted = self._lacks, self._flights.pulls, self._lacks.find(knowledge)
        for origin in [origin for origin in lacks.paces if origin not in wanted]:
            self._leave(origin)
        for origin in list(pulls):
            self._check(now, origin)
        due = [origin for origin in wanted if lacks.pace(now, origin).due_ms <= now.mono_ms]
        due.sort(key=lambda origin: lacks.paces[origin].due_ms)
        for origin in due:
            if origin not in pulls and self._flights.room() and lacks.paces[origin].due_ms <= now.mono_ms:
                self._begin(now, knowledge, signer, origin, wanted, due)
        self._listening.listen((origin, lacks.first(origin)) for origin in wanted if origin not in pulls)
        pause_ms = len(wanted) // 8 if len(wanted) > _LOOK_FREELY else 0
        self._look_ms = now.mono_ms + pause_ms if pause_ms else None

    def wake_at(self) -> int | None:
        """When `tick` is wanted."""
        pulls = self._flights.pulls
        times = [pull.gives_up_ms() for pull in pulls.values()]
        if self._flights.room():
            times += [pace.due_ms for origin, pace in self._lacks.paces.items() if origin not in pulls]
        at_ms = min(times, default=None)
        return max(at_ms, self._look_ms) if at_ms is not None and self._look_ms is not None else at_ms

    # --- what comes -------------------------------------------------------------------------------------------

    def fill(
        self,
        now: Now,
        topic: str,
        origin: OriginId,
        author: Author | None,
        want: int,
        *,
        last: bool,
        held: int | None,
    ) -> None:
        """A fill for an origin was taken in.

        `held` is its last seq when all of it was held already, else 0; None while parts of it are still to come. In a
        hunt it says how far the asked holder has what is held here: it goes on behind that (P4.9).
        """
        self._crowd.heard(now, 1)
        sender, is_beginning = author.key if author is not None else None, not (last or held)
        pull = self._flights.fill(now, topic, origin, sender, want, is_beginning=is_beginning)
        if pull is None:
            return
        if held is not None and pull.flight.own:
            pull.news = pull.news or not held
            if origin in self._hunts.under_way:
                self._hunts.under_way[origin].compared(pull.sources[0][0], held)
        if last and (want == pull.flight.want or pull.have >= pull.first):
            self._finished(now, origin, pull)

    def segment(self, now: Now, topic: str, writer: OriginId | None = None, *, held: int | None = None) -> None:
        """A mailbox slot was read; None and None: it is empty. For `held` see `fill`."""
        for origin, pull in self._flights.segment(now, topic):
            if writer is not None and held:
                self._hunts.found_held(origin, writer, held, pull.first, pull.have)
            if not pull.slots:
                self._finished(now, origin, pull)

    def stored(self, now: Now, origin: OriginId) -> None:
        """The prefix of an origin has grown."""
        self._hunts.end(origin)
        self._lacks.stored(origin)
        if origin in self._flights.pulls:
            self._flights.pulls[origin].progress_ms = now.mono_ms

    def unplaced(self, now: Now, origin: OriginId, before: OriginId) -> None:
        """What came of an origin could not be stored: something else must come first, so do not ask again at once.

        That is something of `before`: of the origin itself, or of the one that it forks from.
        """
        self._lacks.unplaced(now, origin, before)
        if origin in self._hunts.under_way:
            self._hunts.under_way[origin].agreed.clear()
        self._cut_short(origin)

    def misfit(self, now: Now, knowledge: Knowledge, origin: OriginId, before: int) -> bool:
        """A run differs from what is held at or below `before`: ask from further back, twice as far each time (P4.8).

        The origin may lack nothing by number: what is held of it may be the branch that has another name by now. False
        when there is no further back; nothing has changed then. A run that begins later than what is asked for anyway
        changes nothing either.
        """
        hunt = self._hunts.under_way.get(origin)
        closer = hunt is not None and before < hunt.differs
        if hunt is not None and not hunt.doubts(before):
            if closer:
                self._ask_anew(now, origin)
            return True
        if not self._hunts.further(knowledge, origin, before):
            return False
        self._ask_anew(now, origin)
        return True

    def _ask_anew(self, now: Now, origin: OriginId) -> None:
        """An answer has shown something: what it leads to is asked for at once, of whomever."""
        self._flights.end(origin)
        pace = self._lacks.pace(now, origin)
        pace.failures.times.clear()
        pace.due_ms = now.mono_ms

    def _cut_short(self, origin: OriginId) -> None:
        """Wait no longer for an answer that is of no use; but slots still to be read may be those that are needed.

        Were they not waited for, one that does not come would never be found to fail, and nobody else would be asked.
        """
        pull = self._flights.pulls.get(origin)
        if pull is not None and not pull.slots:
            self._flights.end(origin)

    def others_want(self, now: Now, want: Want, holder: bytes | None) -> None:
        """Somebody asks for ranges: what begins where ours does comes past, for we listen there.

        Args:
            now: the time.
            want: what is asked for.
            holder: key of the device that is asked; None when it is not known.
        """
        self._crowd.heard(now, len(want.items))
        for item in want.items:
            origin = OriginId(item.hash[:ORIGIN_BYTES])
            pull = self._flights.pulls.get(origin)
            if pull is None and origin in self._lacks.paces and origin not in self._hunts.under_way:
                if item.first == self._lacks.first(origin):
                    self._flights.follow(now, origin, item.first, want.id, holder)
            elif pull is not None and pull.first == item.first and want.id < pull.flight.want:
                pull.leads = False

    # --- asking -----------------------------------------------------------------------------------------------

    def _begin(
        self,
        now: Now,
        knowledge: Knowledge,
        signer: Signer,
        origin: OriginId,
        wanted: dict[OriginId, int],
        due: list[OriginId],
    ) -> None:
        """Try the best source there is; a device is asked in one want for all that is due and that it has."""
        pace, first = self._lacks.paces[origin], self._lacks.first(origin)
        hunt = self._hunts.under_way.get(origin)
        if hunt is not None and hunt.cleared and not knowledge.is_disputed(origin, hunt.cleared):
            self._hunts.end(origin)
            return
        slots = self._sources.slots(now, knowledge, pace.failures, origin, first, hunt)
        holder = None
        if not slots:
            if (later_ms := self._crowd.held_back(now)) is not None:
                pace.due_ms = later_ms
                return
            again_ms = min(pace.timeout_ms, self._settings.standing_after_ms)
            holder = self._sources.holder(
                now, knowledge, pace.failures, origin, first, again_ms=again_ms, hunting=hunt is not None
            )
        held = hunt is None and origin in knowledge.states
        if not slots and holder is None and (not held or origin in self._lacks.stuck(now)):
            slots = self._sources.other_slots(now, knowledge, pace.failures, origin, hunt)
            pace.failures.read.update(place.segment.digest for place in slots)
        if slots:
            self._lacks.asked(origin)
            self._flights.read(now, origin, first, slots, pace.timeout_ms)
            return
        if holder is None:
            self._lacks.nobody_has(now, origin)
            return
        others = [other for other in due if other != origin and self._goes_along(now, knowledge, holder, other)]
        sure = [other for other in others if holder.claims(other, self._lacks.first(other))]
        waiting = len(others) - len(sure)
        maybe = [other for other in others if other not in sure] if waiting > self._settings.pulls_max else []
        self._ask(now, knowledge, signer, holder, self._within_window(knowledge, [origin, *sure, *maybe]), wanted)

    def _goes_along(self, now: Now, knowledge: Knowledge, holder: Peer, origin: OriginId) -> bool:
        """Whether a holder that is asked anyway may be asked for this origin too."""
        return (
            origin not in self._flights.pulls
            and origin not in self._hunts.under_way
            and self._sources.may_ask(now, self._lacks.paces[origin].failures, holder)
            and not knowledge.peers.segments(origin)
        )

    def _within_window(self, knowledge: Knowledge, origins: list[OriginId]) -> list[OriginId]:
        """As many of the origins as one answer brings: the first, and others while their missing bytes fit."""
        taken, left = origins[:1], self._lacks.paces[origins[0]].window - _missing_bytes(knowledge, origins[0])
        for origin in origins[1:WANT_ITEMS_MAX]:
            left -= _missing_bytes(knowledge, origin)
            if left < 0:
                break
            taken.append(origin)
        return taken

    def _ask(
        self,
        now: Now,
        knowledge: Knowledge,
        signer: Signer,
        holder: Peer,
        origins: list[OriginId],
        wanted: dict[OriginId, int],
    ) -> None:
        paces = self._lacks.paces
        hunt, window = self._hunts.under_way.get(origins[0]), paces[origins[0]].window
        if hunt is not None:
            hunt.questions += 1
            window = self._settings.window_bytes_min if hunt.is_far(holder.origin) else window
        for origin in origins:
            self._lacks.asked(origin)
        self._crowd.asked(now)
        parts = [(o, self._item(knowledge, o, holder, wanted[o]), paces[o].timeout_ms) for o in origins]
        self._flights.ask(now, signer, holder, window, parts)

    def _item(self, knowledge: Knowledge, origin: OriginId, holder: Peer, known: int) -> WantItem:
        """The range to ask for: what waits beyond a gap is not asked for again."""
        state, spooled = knowledge.states.get(origin), self._intake.spooled_from(origin)
        first = self._first_of(origin, holder)
        last = spooled - 1 if spooled is not None and first < spooled <= known else 0
        return WantItem(state.hash if state is not None else origin, first, last)

    def _first_of(self, origin: OriginId, holder: Peer) -> int:
        """The lowest seq to ask a holder for: in a hunt what it was found to hold as we do is left out."""
        hunt = self._hunts.under_way.get(origin)
        return self._lacks.first(origin) if hunt is None else hunt.first_to_ask(holder.origin, holder.claimed(origin))

    # --- what follows -----------------------------------------------------------------------------------------

    def _check(self, now: Now, origin: OriginId) -> None:
        """Give up what has brought nothing in time."""
        pull = self._flights.pulls[origin]
        if now.mono_ms < pull.gives_up_ms():
            return
        pace = self._lacks.paces[origin]
        if not pull.flight.own:
            pace.due_ms = now.mono_ms
        elif pull.sure:
            self._patience.gave_up(pull.flight)
            pace.slower(now, pull.sources, self._patience.longest_ms(), self._settings)
        else:
            pace.fail(now, pull.sources)
        source = pull.sources[0][0] if pull.sources else b""
        self._outbox.trace("source brought nothing", origin=origin.hex(), source=source.hex())
        self._flights.end(origin)

    def _finished(self, now: Now, origin: OriginId, pull: Pull) -> None:
        """A source has brought all it was asked for; whoever leads asks for what follows, the others wait for that."""
        pace = self._lacks.paces[origin]
        pace.due_ms = now.mono_ms if pull.leads else now.mono_ms + self._waits.draw()
        if pull.flight.own:
            self._learn(now, origin, pull)
        self._flights.end(origin)

    def _learn(self, now: Now, origin: OriginId, pull: Pull) -> None:
        """What an answer that is there says of its sources."""
        pace = self._lacks.paces[origin]
        hunt, have = self._hunts.under_way.get(origin), self._intake.have(origin)
        asked = hunt is not None and pull.flight.want and not pull.news
        agreed = hunt.agreed.get(pull.sources[0][0], 0) if hunt is not None and asked else 0
        if hunt is not None and agreed and agreed >= min(pull.claimed, have):
            hunt.cleared.add(pull.sources[0][0])  # whoever claimed something else has nothing else
            pace.fail(now, pull.sources)
        elif (have if hunt is None else agreed) < pull.first:
            pace.fail(now, pull.sources)
        else:
            pace.faster(now.mono_ms - pull.started_ms, self._settings)

    def _leave(self, origin: OriginId) -> None:
        """Nothing is missing of an origin any more."""
        self._flights.end(origin)
        self._lacks.leave(origin)
        self._listening.leave(origin)


def _missing_bytes(knowledge: Knowledge, origin: OriginId) -> int:
    """About what is missing of an origin, by its signed head."""
    peer, state = knowledge.peers.get(origin), knowledge.states.get(origin)
    if peer is None or peer.head is None:
        return _GUESS_BYTES
    return max(peer.head.cum - (state.cum if state is not None else 0), 0)
