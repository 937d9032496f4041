"""The flights under way: sends wants, reads slots, and notes what the answers bring (P7.7, P7.8).

Owns who is waited for, by origin. What to ask for, of whom, and what follows from an answer is the affair of `pull`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hcom_replica.core.effects import Now, Subscribe, Unsubscribe
from hcom_replica.core.flight import Flight, Pull
from hcom_replica.core.intake import Intake
from hcom_replica.core.listening import Listening
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.pace import Waits
from hcom_replica.core.patience import Patience
from hcom_replica.core.peer import Peer, Place
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import Kind, Signer, pack
from hcom_replica.wire.messages import Want, WantItem
from hcom_replica.wire.topics import Topics

_WANT_BYTES: Final = 6
"""Ids of wants begin at random, so that those of two askers differ."""

Part = tuple[OriginId, WantItem, int]
"""One origin's part in a want: whose, which range, and how many ms it may bring nothing at the most."""


class Flights:
    """What is under way.

    Attributes:
        pulls: origin -> its part in a flight; not to be changed from outside.
    """

    def __init__(
        self,
        outbox: Outbox,
        topics: Topics,
        settings: Settings,
        intake: Intake,
        listening: Listening,
        waits: Waits,
        patience: Patience,
    ) -> None:
        self._outbox = outbox
        self._topics = topics
        self._settings = settings
        self._intake = intake
        self._listening = listening
        self._waits = waits
        self._patience = patience
        self.pulls: dict[OriginId, Pull] = {}
        self._want = int.from_bytes(outbox.rng.randbytes(_WANT_BYTES), "big")

    def closed(self) -> None:
        """The link has ended: nothing is waited for any more."""
        self.pulls.clear()

    def room(self) -> bool:
        """Whether another source may be tried at the same time."""
        return len({id(pull.flight) for pull in self.pulls.values() if pull.flight.own}) < self._settings.pulls_max

    def ask(self, now: Now, signer: Signer, holder: Peer, window: int, parts: Sequence[Part]) -> None:
        """Ask a device, in one want.

        Args:
            now: the time.
            signer: this incarnation.
            holder: whom.
            window: bytes that the answer may have.
            parts: what is wanted, at least one; nothing is waited for of these origins yet.
        """
        self._want += 1
        want = Want(self._want, holder.origin, window, [item for _, item, _ in parts])
        flight = Flight(want.id, holder.author.key, now.mono_ms, now.mono_ms)
        for origin, item, most_ms in parts:
            sure, have = holder.claims(origin, item.first), self._intake.have(origin)
            timeout_ms = min(most_ms, self._patience.longest_ms() if sure else self._patience.guess_ms())
            pull = Pull(flight, [(holder.origin, -1)], item.first, have, now.mono_ms, now.mono_ms, timeout_ms)
            pull.sure, pull.claimed = sure, holder.claimed(origin)
            self.pulls[origin] = pull
        self._listening.listen((origin, item.first) for origin, item, _ in parts)
        topic = self._topics.want
        self._outbox.publish(topic, self._outbox.seal(topic, Kind.WANT, signer, pack(encode(want))), retain=False)
        origin, item, _ = parts[0]
        self._outbox.trace(
            "ask",
            origin=origin.hex(),
            first=item.first,
            last=item.last,
            holder=holder.origin.hex(),
            origins=len(parts),
        )

    def read(self, now: Now, origin: OriginId, first: int, slots: list[Place], timeout_ms: int) -> None:
        """Read mailbox slots.

        Args:
            now: the time.
            origin: whose events.
            first: the lowest seq wanted.
            slots: where they are.
            timeout_ms: how long they may bring nothing.
        """
        topics = {self._topics.at(place.prefix).segment(place.writer, place.segment.slot) for place in slots}
        sources = [(place.writer, place.segment.slot) for place in slots]
        flight, have = Flight(0, None, now.mono_ms, now.mono_ms), self._intake.have(origin)
        timeout_ms = max(timeout_ms, self._settings.slot_read_ms)
        self.pulls[origin] = Pull(flight, sources, first, have, now.mono_ms, now.mono_ms, timeout_ms, topics)
        self._outbox.emit(Subscribe(tuple(sorted(topics))))

    def follow(self, now: Now, origin: OriginId, first: int, want: int, holder: bytes | None) -> None:
        """Wait for the answer to another's want as if it were ours, but not as long.

        Args:
            now: the time.
            origin: whose events.
            first: the seq that the want begins with.
            want: its id.
            holder: key of the device that is asked; None when it is not known.
        """
        flight, have = Flight(want, holder, now.mono_ms, now.mono_ms, own=False), self._intake.have(origin)
        timeout_ms = self._settings.ask_ms_max + self._waits.draw()
        self.pulls[origin] = Pull(flight, [], first, have, now.mono_ms, now.mono_ms, timeout_ms, leads=False)
        self._listening.listen([(origin, first)])

    def fill(
        self, now: Now, topic: str, origin: OriginId, sender: bytes | None, want: int, *, is_beginning: bool
    ) -> Pull | None:
        """A fill for an origin was taken in: note what it brings to what is waited for.

        All devices hear a want, so any of them can send fills under its number. Those count that the asked holder sent
        to where its answer goes, and those that bring something; the others neither keep a pull waiting nor end it
        (P7.8). The answer may bear the number of a want of another that has asked for the same.

        Args:
            now: the time.
            topic: where it came.
            origin: whose events.
            sender: its author's key; None for none.
            want: the number that it bears.
            is_beginning: more will follow it, and it is not all held: so an answer that nobody was known to be asked
                for is waited for.

        Returns:
            The pull whose answer it is of; None when it is of none.
        """
        pull, place = self.pulls.get(origin), self._listening.place(origin, topic)
        self._patience.came(now, want, sender)
        if pull is None:
            if place is not None and is_beginning:
                self.follow(now, origin, place, want, sender)
            return None
        have = self._intake.have(origin)
        answer = place == pull.first and sender is not None and sender == pull.flight.holder
        if answer:
            self._patience.answered(now, pull.flight, ours=want == pull.flight.want)
        if answer or have > pull.have:
            pull.progress_ms, pull.have = now.mono_ms, have
        return pull if answer else None

    def segment(self, now: Now, topic: str) -> list[tuple[OriginId, Pull]]:
        """A mailbox slot was read: wait for it no more; returns those that have waited for it."""
        found = [(origin, pull) for origin, pull in self.pulls.items() if topic in pull.slots]
        for _, pull in found:
            pull.slots.discard(topic)
            pull.progress_ms = now.mono_ms
            self._outbox.emit(Unsubscribe((topic,)))
        return found

    def end(self, origin: OriginId) -> None:
        """Wait no longer for anything of an origin."""
        pull = self.pulls.pop(origin, None)
        if pull is not None and pull.slots:
            self._outbox.emit(Unsubscribe(tuple(sorted(pull.slots))))
