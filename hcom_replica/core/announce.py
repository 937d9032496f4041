"""Saying that we are here, and how far our log goes: head and presence (P7.4)."""

from __future__ import annotations

from hcom_replica.core.effects import Now, Promise
from hcom_replica.core.outbox import Done, Outbox
from hcom_replica.core.ownslots import OwnSlots
from hcom_replica.core.reader import OwnTip
from hcom_replica.core.settings import Settings
from hcom_replica.wire.frame import Kind, Signer
from hcom_replica.wire.messages import Head, Presence
from hcom_replica.wire.topics import Topics


class HeadSlot:
    """When to publish the own head.

    Publishing takes two steps: `Promise` makes the promise durable, `promised` writes the slot.
    """

    def __init__(self, outbox: Outbox, slots: OwnSlots, topics: Topics, settings: Settings) -> None:
        self._outbox = outbox
        self._slots = slots
        self._topics = topics
        self._settings = settings
        self._due: int | None = None
        self._repeats: list[int] = []
        self._gap_ms = settings.head_first_ms
        self._last_ms: int | None = None
        self._asked = False
        self.told = 0

    def opened(self, now: Now) -> None:
        """The fence has passed, or another origin is written from now on: nothing has been told of it here."""
        self._asked = False
        self._due = now.mono_ms
        self.told = 0

    def closed(self) -> None:
        """The link has ended."""
        self._due, self._asked, self._repeats = None, False, []

    def moved(self, now: Now) -> None:
        """The own log has grown: soon when it was quiet, at growing intervals while it is busy."""
        quiet = self._last_ms is None or now.mono_ms - self._last_ms > 2 * self._settings.head_busy_ms_max
        self._gap_ms = self._settings.head_first_ms if quiet else self._gap_ms
        due = now.mono_ms + self._settings.head_first_ms
        if not quiet and self._last_ms is not None:
            due = max(due, self._last_ms + self._gap_ms)
        if self._due is None or due < self._due or not self._repeats:
            self._due = due
        self._repeats = list(self._settings.head_repeats_ms)

    def hurry(self, now: Now) -> None:
        """Publish at the next tick."""
        self._due = now.mono_ms

    def tick(self, now: Now) -> None:
        """Ask for a promise when a head is due."""
        if self._due is not None and self._due <= now.mono_ms and not self._asked:
            self._asked = True
            self._outbox.emit(Promise())

    def promised(self, now: Now, signer: Signer, name: str, tip: OwnTip) -> None:
        """The promise is durable: write the head, and plan the next."""
        self._asked = False
        if self._due is None:
            return
        state, commit = tip.origin, tip.commit
        head = Head(
            self._outbox.counter(), now.wall_ms, name, commit.seq, commit.hlc, commit.tip, commit.signature,
            commit.cum, state.system, tip.promise,
        )  # fmt: skip
        self._slots.write(now, self._topics.head(state.id), Kind.HEAD, signer, head)
        if commit.seq > self.told:
            self._gap_ms = min(2 * self._gap_ms, self._settings.head_busy_ms_max)
        self.told, self._last_ms = commit.seq, now.mono_ms
        self._due = now.mono_ms + (self._repeats.pop(0) if self._repeats else self._settings.head_idle_ms)

    def wake_at(self) -> int | None:
        """When `tick` is wanted."""
        return None if self._asked else self._due


class PresenceSlot:
    """Online and offline, and the will. One session has three counters: online, will, offline (P6.2)."""

    def __init__(self, outbox: Outbox, slots: OwnSlots, topics: Topics) -> None:
        self._outbox = outbox
        self._slots = slots
        self._topics = topics
        self._online = self._will = self._offline = 0

    def new_session(self) -> None:
        """A connection is about to be made: take counters, so that its will outdoes its own greeting only."""
        self._online, self._will, self._offline = (self._outbox.counter() for _ in range(3))

    def will(self, now: Now, signer: Signer) -> tuple[str, Presence]:
        """What the broker says for us when the connection dies."""
        return self._topics.presence(signer.origin), Presence(self._will, now.wall_ms, online=False)

    def say(self, now: Now, signer: Signer, *, online: bool, done: Done | None = None) -> None:
        """Write the slot; `done` is called with the broker's answer."""
        counter = self._online if online else self._offline
        message = Presence(counter, now.wall_ms, online=online)
        self._slots.write(now, self._topics.presence(signer.origin), Kind.PRESENCE, signer, message, done)
