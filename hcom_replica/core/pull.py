"""Asking for what is missing: one source at a time for each origin, many origins in one want (P7.7, P7.8).

Sources in order: mailbox segments that an index names, then devices that are online and claim to hold the range. A
source that brings nothing in time goes to the end of the list. Hearing somebody else ask for what begins at the same
seq is as good as asking: the answer goes where both listen.
"""

from __future__ import annotations

from typing import Final

from hcom_replica.core.effects import Now, Subscribe, Unsubscribe
from hcom_replica.core.flight import Flight, Pull
from hcom_replica.core.hunt import Hunt
from hcom_replica.core.intake import Intake
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.listening import Listening
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.pace import Pace, Waits, patience_ms
from hcom_replica.core.peer import Peer, Place
from hcom_replica.core.settings import Settings
from hcom_replica.core.sources import Sources
from hcom_replica.ids import ORIGIN_BYTES, OriginId
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import Author, Kind, Signer, pack
from hcom_replica.wire.messages import WANT_ITEMS_MAX, Want, WantItem
from hcom_replica.wire.topics import Topics

_WANT_BYTES: Final = 6
"""Ids of wants begin at random, so that those of two askers differ."""

_GUESS_BYTES: Final = 4 << 10
"""What is missing of an origin of which only a hint is known, when a want is filled up."""

_GUESS_MS: Final = 500
"""The least that a device is given to bring what it is only guessed to have."""

_FEW: Final = 8
"""Where more others are known, many may come back at once and lack the same: none of them asks at once."""

_GIVEN_UP_MAX: Final = 64
"""So many wants are known by the time that their answers may still come."""

_LOOK_FREELY: Final = 64
"""With more origins than this to ask for, looking at all of them is left alone for an eighth of a ms each."""


class Puller:
    """The asker."""

    def __init__(self, outbox: Outbox, topics: Topics, settings: Settings, intake: Intake) -> None:
        self._outbox = outbox
        self._topics = topics
        self._settings = settings
        self._intake = intake
        self._sources = Sources(settings)
        self._waits = Waits(settings, outbox)
        self._listening = Listening(outbox, topics)
        self._pulls: dict[OriginId, Pull] = {}
        self._paces: dict[OriginId, Pace] = {}
        self._sourceless: dict[OriginId, int] = {}
        self._hunts: dict[OriginId, Hunt] = {}
        self._questions: dict[OriginId, int] = {}
        self._behind: dict[OriginId, OriginId] = {}
        self._connected = False
        self._devices = 1
        self._at_once_until = 0
        self._look_ms: int | None = None
        self._answer_ms: int | None = None
        self._given_up: dict[int, Flight] = {}
        self._want = int.from_bytes(outbox.rng.randbytes(_WANT_BYTES), "big")

    def link_up(self, now: Now) -> None:
        """A new connection: ask at once for what turns out to be missing."""
        self._connected = True
        self._at_once_until = now.mono_ms + self._settings.fence_grace_ms * 4

    def link_down(self) -> None:
        """The connection has ended."""
        self._connected = False
        self._listening.closed()
        self._pulls.clear()
        self._paces.clear()
        self._sourceless.clear()
        self._look_ms = self._answer_ms = None
        self._given_up.clear()

    def pulling(self) -> list[OriginId]:
        """Origins for which a source is being tried."""
        return list(self._pulls)

    def tick(self, now: Now, knowledge: Knowledge, signer: Signer) -> None:
        """Give up sources that bring nothing, and try the next ones."""
        if not self._connected or (self._look_ms is not None and now.mono_ms < self._look_ms):
            return
        self._devices = 1 + len(knowledge.peers.current(knowledge.own))
        wanted = self._wanted(knowledge)
        for origin in [origin for origin in self._paces if origin not in wanted]:
            self._leave(origin)
        for origin in list(self._pulls):
            self._check(now, origin)
        due = [origin for origin in wanted if self._pace(now, origin).due_ms <= now.mono_ms]
        due.sort(key=lambda origin: self._paces[origin].due_ms)
        for origin in due:
            if origin not in self._pulls and self._room() and self._paces[origin].due_ms <= now.mono_ms:
                self._begin(now, knowledge, signer, origin, wanted, due)
        self._listening.listen((origin, self._first(origin)) for origin in wanted if origin not in self._pulls)
        pause_ms = len(wanted) // 8 if len(wanted) > _LOOK_FREELY else 0
        self._look_ms = now.mono_ms + pause_ms if pause_ms else None

    def _wanted(self, knowledge: Knowledge) -> dict[OriginId, int]:
        """Origins to ask for -> the highest seq that is known of."""
        wanted = {o: seq for o, seq in knowledge.wanted().items() if seq > self._intake.have(o)}
        for origin, seq in self._intake.gaps().items():
            wanted[origin] = max(seq, wanted.get(origin, 0))
        for origin, hunt in self._hunts.items():
            wanted[origin] = max(hunt.back + 1, wanted.get(origin, 0))
        return wanted

    def _room(self) -> bool:
        """Whether another source may be tried at the same time."""
        return len({id(pull.flight) for pull in self._pulls.values() if pull.flight.own}) < self._settings.pulls_max

    def stuck(self, now: Now) -> list[OriginId]:
        """Origins of which something is missing that nobody reachable has had for a while."""
        after = self._settings.standing_after_ms
        late = [origin for origin, since_ms in self._sourceless.items() if now.mono_ms - since_ms >= after]
        return [origin for origin in late if not self.waits(origin)]

    def seeks(self, now: Now, knowledge: Knowledge) -> bool:
        """Whether something is missing that somebody who can be reached may bring, or that a ring here holds."""
        stuck = set(self.stuck(now))
        return any(origin not in stuck or self._is_in_a_ring(knowledge, origin) for origin in self._paces)

    def _is_in_a_ring(self, knowledge: Knowledge, origin: OriginId) -> bool:
        """Whether an index names something of what is missing."""
        first = self._first(origin)
        return any(place.segment.last >= first for place in knowledge.peers.segments(origin))

    def waits(self, origin: OriginId) -> bool:
        """Whether a derived origin cannot be stored before more of the one that it forks from, which is asked for."""
        return self._behind.get(origin) in self._paces

    def hunted(self) -> dict[OriginId, int]:
        """Origins of which another history is looked for -> the seq behind which it is."""
        return {origin: hunt.begins for origin, hunt in self._hunts.items()}

    def questions(self) -> dict[OriginId, int]:
        """Origins of which another history was looked for -> how many questions the newest hunt has asked."""
        return {**self._questions, **{origin: hunt.questions for origin, hunt in self._hunts.items()}}

    def news(self, now: Now) -> None:
        """A source may have turned up: look again for what had none."""
        for origin in self._sourceless:
            self._paces[origin].due_ms = now.mono_ms

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

        `held` is its last seq when all of it was held already, else 0; None while parts of it are still to come.
        All devices hear a want, so any of them can send fills under its number. Those count that the asked holder sent
        to where its answer goes, and those that bring something; the others neither keep a pull waiting nor end it
        (P7.8). The answer may bear the number of a want of another that has asked for the same.
        """
        pull, have, place = self._pulls.get(origin), self._intake.have(origin), self._listening.place(origin, topic)
        sender = author.key if author is not None else None
        self._late(now, want, sender)
        if pull is None:
            if place is not None and not (last or held):
                self._follow(now, origin, place, want, sender)
            return
        ours = want == pull.flight.want
        answer = place == pull.first and sender is not None and sender == pull.flight.holder
        if answer:
            self._answered(now, pull.flight, ours=ours)
            if held is not None and pull.flight.own:
                self._compare(origin, pull, held)
        if answer or have > pull.have:
            pull.progress_ms, pull.have = now.mono_ms, have
        if answer and last and (ours or have >= pull.first):
            self._finished(now, origin, pull)

    def _compare(self, origin: OriginId, pull: Pull, held: int) -> None:
        """Note how far the asked holder has what is held here: a hunt goes on behind that (P4.9)."""
        pull.news = pull.news or not held
        if origin in self._hunts:
            self._hunts[origin].compared(pull.sources[0][0], held)

    def _answered(self, now: Now, flight: Flight, *, ours: bool) -> None:
        """A holder's message came; how long the first took says what to expect of others."""
        flight.progress_ms = now.mono_ms
        if ours and flight.own and not flight.answered:
            self._answer_ms = max(now.mono_ms - flight.started_ms, (self._answer_ms or 0) * 7 // 8)
        flight.answered = True

    def _late(self, now: Now, want: int, sender: bytes | None) -> None:
        """What was given up and comes all the same was given too little time."""
        flight = self._given_up.get(want)
        if flight is not None and flight.holder == sender:
            self._answer_ms = max(now.mono_ms - flight.started_ms, self._answer_ms or 0)
            del self._given_up[want]

    def segment(self, now: Now, topic: str, writer: OriginId | None = None, *, held: int | None = None) -> None:
        """A mailbox slot was read; None and None: it is empty. For `held` see `fill`."""
        for origin, pull in list(self._pulls.items()):
            if topic in pull.slots:
                if writer is not None and held:
                    self._found_held(origin, pull, writer, held)
                pull.slots.discard(topic)
                pull.progress_ms = now.mono_ms
                self._outbox.emit(Unsubscribe((topic,)))
                if not pull.slots:
                    self._finished(now, origin, pull)

    def _found_held(self, origin: OriginId, pull: Pull, writer: OriginId, held: int) -> None:
        """A ring goes as far as `held` with what is held here; where more is asked for, that may be another history."""
        if held < pull.first:
            self._hunts.setdefault(origin, Hunt(held, pull.have))
        if origin in self._hunts:
            self._hunts[origin].compared(writer, held)

    def stored(self, now: Now, origin: OriginId) -> None:
        """The prefix of an origin has grown."""
        self._end_hunt(origin)
        self._behind = {branch: root for branch, root in self._behind.items() if origin not in (branch, root)}
        if origin in self._pulls:
            self._pulls[origin].progress_ms = now.mono_ms

    def _end_hunt(self, origin: OriginId) -> None:
        hunt = self._hunts.pop(origin, None)
        if hunt is not None and hunt.questions:
            self._questions[origin] = hunt.questions

    def unplaced(self, now: Now, origin: OriginId, before: OriginId) -> None:
        """What came of an origin could not be stored: something else must come first, so do not ask again at once.

        That is something of `before`: of the origin itself, or of the one that it forks from.
        """
        if before != origin:
            self._behind[origin] = before
        pace = self._pace(now, origin)
        pace.due_ms = now.mono_ms + self._settings.pull_ms_min
        if origin in self._hunts:
            self._hunts[origin].agreed.clear()
        self._cut_short(origin)

    def misfit(self, now: Now, knowledge: Knowledge, origin: OriginId, before: int) -> bool:
        """A run differs from what is held at or below `before`: ask from further back, twice as far each time (P4.8).

        The origin may lack nothing by number: what is held of it may be the branch that has another name by now. False
        when there is no further back; nothing has changed then. A run that begins later than what is asked for anyway
        changes nothing either.
        """
        have, hunt = knowledge.have(origin), self._hunts.get(origin)
        closer = hunt is not None and before < hunt.differs
        if hunt is not None and not hunt.doubts(before):
            if closer:
                self._ask_anew(now, origin)
            return True
        back = 2 * (have - hunt.back) if hunt is not None else 1
        row = knowledge.log.commit_at_or_below(origin, max(0, min(before, have) - back))
        further = row.seq if row is not None else 0
        if hunt is None:
            self._hunts[origin] = Hunt(further, before)
        elif further == hunt.back:
            return False
        else:
            hunt.back = further
        self._ask_anew(now, origin)
        return True

    def _ask_anew(self, now: Now, origin: OriginId) -> None:
        """An answer has shown something: what it leads to is asked for at once, of whomever."""
        self._end(origin)
        pace = self._pace(now, origin)
        pace.failures.times.clear()
        pace.due_ms = now.mono_ms

    def _cut_short(self, origin: OriginId) -> None:
        """Wait no longer for an answer that is of no use; but slots still to be read may be those that are needed.

        Were they not waited for, one that does not come would never be found to fail, and nobody else would be asked.
        """
        pull = self._pulls.get(origin)
        if pull is not None and not pull.slots:
            self._end(origin)

    def others_want(self, now: Now, want: Want, holder: bytes | None) -> None:
        """Somebody asks for ranges: what begins where ours does comes past, for we listen there.

        Args:
            now: the time.
            want: what is asked for.
            holder: key of the device that is asked; None when it is not known.
        """
        for item in want.items:
            origin = OriginId(item.hash[:ORIGIN_BYTES])
            pull = self._pulls.get(origin)
            if pull is None and origin in self._paces and origin not in self._hunts:
                if item.first == self._first(origin):
                    self._follow(now, origin, item.first, want.id, holder)
            elif pull is not None and pull.first == item.first and want.id < pull.flight.want:
                pull.leads = False

    def _follow(self, now: Now, origin: OriginId, first: int, want: int, holder: bytes | None) -> None:
        """Wait for the answer to another's want as if it were ours, but not as long."""
        flight, have = Flight(want, holder, now.mono_ms, now.mono_ms, own=False), self._intake.have(origin)
        timeout_ms = self._settings.ask_ms_max + self._waits.draw(self._devices)
        self._pulls[origin] = Pull(flight, [], first, have, now.mono_ms, now.mono_ms, timeout_ms, leads=False)
        self._listening.listen([(origin, first)])

    def wake_at(self) -> int | None:
        """When `tick` is wanted."""
        times = [pull.gives_up_ms() for pull in self._pulls.values()]
        if self._room():
            times += [pace.due_ms for origin, pace in self._paces.items() if origin not in self._pulls]
        at_ms = min(times, default=None)
        return max(at_ms, self._look_ms) if at_ms is not None and self._look_ms is not None else at_ms

    def _pace(self, now: Now, origin: OriginId) -> Pace:
        pace = self._paces.get(origin)
        if pace is None:
            at_once = now.mono_ms < self._at_once_until and self._devices <= 1 + _FEW
            due = now.mono_ms if at_once else self._waits.due(now, self._devices)
            settings = self._settings
            pace = self._paces[origin] = Pace(settings.window_bytes_first, settings.pull_ms_min, due)
        return pace

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
        pace, first = self._paces[origin], self._first(origin)
        hunt = self._hunts.get(origin)
        if hunt is not None and hunt.cleared and not knowledge.is_disputed(origin, hunt.cleared):
            self._end_hunt(origin)
            return
        slots = self._sources.slots(now, knowledge, pace.failures, origin, first, hunt)
        holder = None
        if not slots:
            holder = self._sources.holder(
                now, knowledge, pace.failures, origin, first, again_ms=self._again_ms(pace), hunting=hunt is not None
            )
        held = hunt is None and origin in knowledge.states
        if not slots and holder is None and (not held or origin in self.stuck(now)):
            slots = self._sources.other_slots(now, knowledge, pace.failures, origin, hunt)
            pace.failures.read.update(place.segment.digest for place in slots)
        if slots:
            self._sourceless.pop(origin, None)
            self._read_slots(now, origin, pace, first, slots)
            return
        if holder is None:
            self._sourceless.setdefault(origin, now.mono_ms)
            pace.due_ms = now.mono_ms + self._settings.standing_after_ms
            return
        others = [other for other in due if other != origin and self._goes_along(now, knowledge, holder, other)]
        sure = [other for other in others if holder.claims(other, self._first(other))]
        waiting = len(others) - len(sure)
        maybe = [other for other in others if other not in sure] if waiting > self._settings.pulls_max else []
        self._ask(now, knowledge, signer, holder, self._within_window(knowledge, [origin, *sure, *maybe]), wanted)

    def _guess_ms(self) -> int:
        """How long a device is given that may not have what it is asked for, once it has brought the rest."""
        return self._settings.ask_ms_max if self._answer_ms is None else max(_GUESS_MS, 2 * self._answer_ms)

    def _again_ms(self, pace: Pace) -> int:
        """How long those who have all failed are left alone."""
        return min(pace.timeout_ms, self._settings.standing_after_ms)

    def _first(self, origin: OriginId) -> int:
        """The lowest seq to ask for."""
        hunt = self._hunts.get(origin)
        return (hunt.back if hunt is not None else self._intake.have(origin)) + 1

    def _first_of(self, origin: OriginId, holder: Peer) -> int:
        """The lowest seq to ask a holder for: in a hunt what it was found to hold as we do is left out."""
        hunt = self._hunts.get(origin)
        return self._first(origin) if hunt is None else hunt.first_to_ask(holder.origin, holder.claimed(origin))

    def _goes_along(self, now: Now, knowledge: Knowledge, holder: Peer, origin: OriginId) -> bool:
        """Whether a holder that is asked anyway may be asked for this origin too."""
        pace = self._paces[origin]
        return (
            origin not in self._pulls
            and origin not in self._hunts
            and self._sources.may_ask(now, pace.failures, holder)
            and not knowledge.peers.segments(origin)
        )

    def _within_window(self, knowledge: Knowledge, origins: list[OriginId]) -> list[OriginId]:
        """As many of the origins as one answer brings: the first, and others while their missing bytes fit."""
        taken, left = origins[:1], self._paces[origins[0]].window - _missing_bytes(knowledge, origins[0])
        for origin in origins[1:WANT_ITEMS_MAX]:
            left -= _missing_bytes(knowledge, origin)
            if left < 0:
                break
            taken.append(origin)
        return taken

    def _read_slots(self, now: Now, origin: OriginId, pace: Pace, first: int, slots: list[Place]) -> None:
        topics = {self._topics.at(place.prefix).segment(place.writer, place.segment.slot) for place in slots}
        sources = [(place.writer, place.segment.slot) for place in slots]
        timeout_ms = max(pace.timeout_ms, self._settings.slot_read_ms)
        flight = Flight(0, None, now.mono_ms, now.mono_ms)
        have = self._intake.have(origin)
        self._pulls[origin] = Pull(flight, sources, first, have, now.mono_ms, now.mono_ms, timeout_ms, topics)
        self._outbox.emit(Subscribe(tuple(sorted(topics))))

    def _ask(
        self,
        now: Now,
        knowledge: Knowledge,
        signer: Signer,
        holder: Peer,
        origins: list[OriginId],
        wanted: dict[OriginId, int],
    ) -> None:
        self._want += 1
        hunt, window = self._hunts.get(origins[0]), self._paces[origins[0]].window
        if hunt is not None:
            hunt.questions += 1
            window = self._settings.window_bytes_min if hunt.is_far(holder.origin) else window
        want = Want(self._want, holder.origin, window, [self._item(knowledge, o, holder, wanted[o]) for o in origins])
        flight = Flight(want.id, holder.author.key, now.mono_ms, now.mono_ms)
        for origin, item in zip(origins, want.items, strict=True):
            pace, have = self._paces[origin], self._intake.have(origin)
            self._sourceless.pop(origin, None)
            source = (holder.origin, -1)
            sure = holder.claims(origin, item.first)
            patience = patience_ms(self._answer_ms, self._settings) if sure else self._guess_ms()
            timeout_ms = min(pace.timeout_ms, patience)
            self._pulls[origin] = Pull(
                flight, [source], item.first, have, now.mono_ms, now.mono_ms, timeout_ms, sure=sure
            )
            self._pulls[origin].claimed = holder.claimed(origin)
        self._listening.listen(zip(origins, (item.first for item in want.items), strict=True))
        topic = self._topics.want
        self._outbox.publish(topic, self._outbox.seal(topic, Kind.WANT, signer, pack(encode(want))), retain=False)
        item = want.items[0]
        self._outbox.trace(
            "ask",
            origin=origins[0].hex(),
            first=item.first,
            last=item.last,
            holder=holder.origin.hex(),
            origins=len(origins),
        )

    def _item(self, knowledge: Knowledge, origin: OriginId, holder: Peer, known: int) -> WantItem:
        """The range to ask for: what waits beyond a gap is not asked for again."""
        state, spooled = knowledge.states.get(origin), self._intake.spooled_from(origin)
        first = self._first_of(origin, holder)
        last = spooled - 1 if spooled is not None and first < spooled <= known else 0
        return WantItem(state.hash if state is not None else origin, first, last)

    def _check(self, now: Now, origin: OriginId) -> None:
        """Give up what has brought nothing in time."""
        pull = self._pulls[origin]
        if now.mono_ms < pull.gives_up_ms():
            return
        pace = self._paces[origin]
        if not pull.flight.own:
            pace.due_ms = now.mono_ms
        elif pull.sure:
            self._given_up = dict([*self._given_up.items(), (pull.flight.want, pull.flight)][-_GIVEN_UP_MAX:])
            pace.slower(now, pull.sources, self._answer_ms, self._settings)
        else:
            pace.fail(now, pull.sources)
        source = pull.sources[0][0] if pull.sources else b""
        self._outbox.trace("source brought nothing", origin=origin.hex(), source=source.hex())
        self._end(origin)

    def _finished(self, now: Now, origin: OriginId, pull: Pull) -> None:
        """A source has brought all it was asked for; whoever leads asks for what follows, the others wait for that."""
        pace = self._paces[origin]
        pace.due_ms = now.mono_ms if pull.leads else now.mono_ms + self._waits.draw(self._devices)
        if pull.flight.own:
            self._learn(now, origin, pull)
        self._end(origin)

    def _learn(self, now: Now, origin: OriginId, pull: Pull) -> None:
        """What an answer that is there says of its sources."""
        pace = self._paces[origin]
        hunt, have = self._hunts.get(origin), self._intake.have(origin)
        asked = hunt is not None and pull.flight.want and not pull.news
        agreed = hunt.agreed.get(pull.sources[0][0], 0) if hunt is not None and asked else 0
        if hunt is not None and agreed and agreed >= min(pull.claimed, have):
            hunt.cleared.add(pull.sources[0][0])  # whoever claimed something else has nothing else
            pace.fail(now, pull.sources)
        elif (have if hunt is None else agreed) < pull.first:
            pace.fail(now, pull.sources)
        else:
            pace.faster(now.mono_ms - pull.started_ms, self._settings)

    def _end(self, origin: OriginId) -> None:
        pull = self._pulls.pop(origin, None)
        if pull is not None and pull.slots:
            self._outbox.emit(Unsubscribe(tuple(sorted(pull.slots))))

    def _leave(self, origin: OriginId) -> None:
        """Nothing is missing of an origin any more."""
        self._end(origin)
        self._sourceless.pop(origin, None)
        del self._paces[origin]
        self._listening.leave(origin)


def _missing_bytes(knowledge: Knowledge, origin: OriginId) -> int:
    """About what is missing of an origin, by its signed head."""
    peer, state = knowledge.peers.get(origin), knowledge.states.get(origin)
    if peer is None or peer.head is None:
        return _GUESS_BYTES
    return max(peer.head.cum - (state.cum if state is not None else 0), 0)
