"""The engine: takes what happened, steps the machine, carries out its effects in order.

Owns the link object, the pauses between links, and the order of things in one step. It must never block, sleep, read a
clock or start a thread: time comes in as `Now`, links queue what happens to them. So the daemon and the simulator run
this very code. Invariants:

- Effects are carried out one after the other, in the machine's order; what comes of one is told to the machine before
  the next one is looked at. Dying between any two is safe.
- A store that fails ends the link and the rest of the step: what was not written must not be announced. The next link
  starts from what is stored.
- Effects of one link never reach another: a link that is not up yet is given nothing.
- What other processes append is noticed here by the store's transaction number, poked or not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from hcom_replica.core.append import FIRST
from hcom_replica.core.effects import (
    AppendSystem,
    Disconnect,
    Effect,
    Ingest,
    NotePeers,
    Now,
    OpenIncarnation,
    Promise,
    Publish,
    Subscribe,
    Trace,
    Unsubscribe,
)
from hcom_replica.daemon.backoff import Backoff, Random
from hcom_replica.daemon.notes import NoteKeeper
from hcom_replica.daemon.parts import Dialer, LogWriter, Replica
from hcom_replica.errors import StoreError
from hcom_replica.limits import MIB
from hcom_replica.ports import Delivered, Link, LinkDown, LinkEvent, LinkUp, Published, Subscribed, Will

EVENTS_MAX: Final = 64
"""Link events in one step: enough that what they bring is stored in one transaction, few enough to stay responsive."""

BYTES_MAX: Final = 4 * MIB
"""Payload bytes in one step."""

ANOTHER_MS: Final = 100
"""The pause before another broker of the list is tried."""


class Engine:
    """One replica at work.

    Args:
        machine: the replica machine.
        log: what it writes to.
        dialer: makes links.
        rng: jitter of reconnecting.
        trace: is given what is worth a line in the log.
        before: called before each effect; a simulator kills the device by raising there. None: nothing is called.
        enabled: False stays off the network until `enable`.
    """

    def __init__(
        self,
        machine: Replica,
        log: LogWriter,
        dialer: Dialer,
        *,
        rng: Random,
        trace: Callable[[Trace], None],
        before: Callable[[Effect], None] | None = None,
        enabled: bool = True,
    ) -> None:
        self._machine = machine
        self._log = log
        self._dialer = dialer
        self._trace = trace
        self._before = before
        self._backoff = Backoff(rng)
        self._notes = NoteKeeper(lambda notes: log.note_peers(notes, machine.kept_roster()))
        self._link: Link | None = None
        self._up_ms: int | None = None
        self._backlog: deque[LinkEvent] = deque()
        self._dial_ms: int | None = 0 if enabled else None
        self._closing = False
        self._unopened: OpenIncarnation | None = None
        # Unknown at first: the machine was built before this engine looked, so it is told once in any case.
        self._seen_txn = -1
        self._seen_arrival = -1
        self._hurried = False

    # --- what the owner asks -----------------------------------------------------------------------------------

    @property
    def online(self) -> bool:
        """Whether the broker has accepted the present link."""
        return self._up_ms is not None

    def lived_ms(self, now: Now) -> int | None:
        """How long the present connection has been up; None when there is none."""
        return None if self._up_ms is None else now.mono_ms - self._up_ms

    @property
    def enabled(self) -> bool:
        """Whether links are made."""
        return self._dial_ms is not None or self._link is not None

    def enable(self, now: Now, *, enabled: bool) -> None:
        """Go on the network, or leave it and stay off."""
        if enabled and not self.enabled and not self._closing:
            self._backoff.reset()
            self._dial_ms = now.mono_ms
        elif not enabled:
            self._end(now, "syncing is off")
            self._dial_ms = None

    def renew(self, now: Now, reason: str) -> None:
        """End the present link and make a new one at once: it is suspect, or another broker is wanted."""
        if self.enabled and not self._closing:
            self._end(now, reason)
            self._backoff.reset()
            self._dial_ms = now.mono_ms

    def begin_closing(self, now: Now) -> None:
        """Let the machine say its last things; go on stepping until `closed`, then call `close`."""
        self._closing = True
        self._dial_ms = None
        if self.online:
            self._machine.closing(now)
        else:
            self._end(now, "stopping")

    @property
    def closed(self) -> bool:
        """Whether nothing more is to be waited for after `begin_closing`."""
        return self._closing and (not self.online or self._machine.closed())

    def close(self, now: Now) -> None:
        """End everything; the log stays open. Idempotent."""
        self._closing = True
        self._end(now, "stopping")
        self._dial_ms = None
        self._notes.flush(now)

    def keep_notes(self, now: Now) -> None:
        """Store what was heard of others and waits to be stored."""
        self._notes.flush(now)

    # --- the step ----------------------------------------------------------------------------------------------

    def step(self, now: Now) -> int | None:
        """Do all that can be done now, without waiting.

        Returns:
            Monotonic ms at which to step again if nothing happens before; None when only an event can bring more.
        """
        self._hear(now)
        if self._look(now):
            self._carry_out(now)
            return self._wake_at(now)
        wake_ms = self._machine.wake_at()
        if wake_ms is not None and wake_ms <= now.mono_ms:
            self._machine.tick(now)
        self._notes.tick(now)
        self._dial(now)
        self._carry_out(now)
        return self._wake_at(now)

    def _wake_at(self, now: Now) -> int | None:
        if self._backlog:
            return now.mono_ms
        machine_ms = self._machine.wake_at()
        if machine_ms is not None:
            machine_ms = max(machine_ms, now.mono_ms + 1)  # a machine that wants to be ticked for ever cannot spin
        wishes = (machine_ms, self._notes.wake_at(), self._dial_ms)
        return min((wish for wish in wishes if wish is not None), default=None)

    # --- in: the link and the log ------------------------------------------------------------------------------

    def _hear(self, now: Now) -> None:
        """Give the machine what the link has queued, up to a bound; the link is not drained further meanwhile."""
        if self._link is not None and not self._backlog:
            self._backlog.extend(self._link.drain())
        room = BYTES_MAX
        for _ in range(min(EVENTS_MAX, len(self._backlog))):
            event = self._backlog.popleft()
            self._tell(now, event)
            room -= len(event.payload) if isinstance(event, Delivered) else 0
            if room <= 0 or self._link is None:
                return

    def _tell(self, now: Now, event: LinkEvent) -> None:
        match event:
            case Delivered(topic, payload, retain):
                self._machine.received(now, topic, payload, retain=retain)
            case Published(token, refused):
                self._machine.published(now, token, refused=refused)
            case Subscribed(filters, refused_filters):
                self._machine.subscribed(now, filters, refused_filters)
            case LinkUp(capabilities):
                self._up_ms = now.mono_ms
                self._dialer.came_up()
                self._trace(Trace("link up", (("mqtt", capabilities.version),)))
                self._machine.link_up(now, capabilities.packet_bytes_max)
            case LinkDown(reason, refused):
                self._end(now, reason, refused=refused)

    def _look(self, now: Now) -> bool:
        """Notice what other processes have stored; own ingests are counted where they happen.

        Returns:
            Whether this is to be sent before anything else is thought about; not twice in a row, so that a log that
            moves all the time keeps nothing else from happening.
        """
        before, self._hurried = self._hurried, False
        try:
            txn = self._log.last_txn()
            if txn == self._seen_txn:
                return False
            arrival = self._log.last_arrival()
        except StoreError as error:
            self._store_failed(now, error)
            return False
        self._seen_txn = txn
        if arrival != self._seen_arrival:
            self._seen_arrival = arrival
            self._machine.log_moved(now)
            self._hurried = self.online and not before
        return self._hurried

    # --- the link's life ---------------------------------------------------------------------------------------

    def _dial(self, now: Now) -> None:
        if self._link is not None or self._dial_ms is None or now.mono_ms < self._dial_ms:
            return
        if self._unopened is not None and not self._reopened(now, self._unopened):
            return
        will = self._machine.will(now)
        self._dial_ms = None
        self._link = self._dialer.open(None if will is None else Will(*will))
        self._link.start()

    def _reopened(self, now: Now, effect: OpenIncarnation) -> bool:
        """Try again to open an incarnation that the store could not take: nothing may be written before it."""
        try:
            self._perform(now, effect)
        except StoreError as error:
            self._dial_ms = now.mono_ms + self._backoff.after(None, refused=False)
            self._trace(_failure(error))
            return False
        return True

    def _end(self, now: Now, reason: str, *, refused: bool = False) -> None:
        """Forget the link, whether it has died or is to be closed, and plan the next one."""
        link, up_ms = self._link, self._up_ms
        if link is None:
            return
        self._link = self._up_ms = None
        self._backlog.clear()
        link.close()
        lived_ms = None if up_ms is None else now.mono_ms - up_ms
        another = self._dialer.ended(was_up=up_ms is not None)
        again_ms = None
        if not self._closing:
            again_ms = ANOTHER_MS if another else self._backoff.after(lived_ms, refused=refused)
            self._dial_ms = now.mono_ms + again_ms
        self._trace(Trace("link ended", (("reason", reason), ("was_up", up_ms is not None), ("again_ms", again_ms))))
        if up_ms is not None:
            self._machine.link_down(now, reason)

    # --- out: effects ------------------------------------------------------------------------------------------

    def _carry_out(self, now: Now) -> None:
        while effects := self._machine.effects():
            for effect in effects:
                if self._before is not None:
                    self._before(effect)
                try:
                    self._perform(now, effect)
                except StoreError as error:
                    self._effect_failed(now, effect, error)
                    return

    def _perform(self, now: Now, effect: Effect) -> None:
        match effect:
            case Publish() | Subscribe() | Unsubscribe():
                if self._link is not None and self.online:
                    _hand_over(self._link, effect)
            case Ingest(runs):
                report = self._log.ingest(runs, now.wall_ms)
                self._seen_arrival += report.events + (report.reopened is not None)
                self._machine.ingested(now, report)
            case Promise():
                tip = self._log.promise(now.wall_ms)
                if tip is not None:
                    self._machine.promised(now, tip)
            case OpenIncarnation() | AppendSystem():
                self._write_own(now, effect)
            case NotePeers(items):
                self._notes.add(items, now)
            case Disconnect(reason):
                self._end(now, reason)
            case Trace():
                self._trace(effect)

    def _write_own(self, now: Now, effect: OpenIncarnation | AppendSystem) -> None:
        if isinstance(effect, AppendSystem):
            self._log.append(effect.drafts, now.wall_ms)
        else:
            if effect.reason != FIRST or self._log.own_origin() is None:  # another process may have been first
                self._log.open_incarnation(effect.reason, now.wall_ms)
                self._seen_arrival += 1
            self._unopened = None
        self._machine.log_moved(now)

    def _effect_failed(self, now: Now, effect: Effect, error: StoreError) -> None:
        if isinstance(effect, Ingest):
            self._machine.ingest_failed(now)
        elif isinstance(effect, OpenIncarnation):
            self._unopened = effect
        self._store_failed(now, error)

    def _store_failed(self, now: Now, error: StoreError) -> None:
        self._trace(_failure(error))
        self._end(now, f"the store failed: {error.message}")


def _failure(error: StoreError) -> Trace:
    return Trace("store failed", (("kind", error.kind), ("error", error.message)))


def _hand_over(link: Link, effect: Publish | Subscribe | Unsubscribe) -> None:
    match effect:
        case Publish(token, topic, payload, retain):
            link.publish(topic, payload, retain=retain, token=token)
        case Subscribe(filters, no_local, fresh):
            link.subscribe(filters, no_local=no_local, fresh=fresh)
        case Unsubscribe(filters):
            link.unsubscribe(filters)
