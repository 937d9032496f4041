"""The replica machine: inputs in, effects out. No socket, disk, thread or clock (protocol-v1 sections 6 to 8).

This file only routes: each part of the protocol has a file of its own, named for what it does. Inputs change what
is known; `tick` decides what to do about it; `effects` hands it out in the order in which it has to be carried out.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from hcom_replica.core.comparing import Comparison
from hcom_replica.core.context import Context
from hcom_replica.core.effects import Disconnect, Effect, NotePeers, Now
from hcom_replica.core.flush import FlushResult
from hcom_replica.core.inbox import Inbox
from hcom_replica.core.info import LiveInfo, WaitResult
from hcom_replica.core.kept import KeptRoster
from hcom_replica.core.membership import Membership
from hcom_replica.core.moving import Moving
from hcom_replica.core.origin import OriginState
from hcom_replica.core.place import Gap, Misfit
from hcom_replica.core.reader import OwnTip
from hcom_replica.core.report import IngestReport, Outcome, Refused
from hcom_replica.core.vectors import pages_of
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import Author, Kind, Signer, pack
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.messages import ASK_OFF, Ask, Index
from hcom_replica.wire.topics import Topics

_RATE_MS: Final = 10_000
_LOOK_FREELY: Final = 16


class _Timed(Protocol):
    """A part that may want to be called at a time."""

    def wake_at(self) -> int | None:
        """Monotonic ms; None when it waits for no time."""


class Machine:
    """One device's replica.

    Args:
        context: its parts, made for this machine alone; `Context` says of what.
    """

    def __init__(self, context: Context) -> None:
        self._c = context
        self._inbox = Inbox(context, self._heard_of_epoch)
        self._stored: deque[tuple[int, int]] = deque()
        self._now = Now(0, 0)
        self._since_ms: int | None = None
        self._dirty = True
        self._closing = False
        self._greeting_due = False
        self._forgetting = False
        self._heads_read = False
        self._mailbox_ms = 0
        self._mailbox_skipped = False
        self._shut_out = ""
        if self._c.knowledge.own is None:
            self._c.reopen("first")

    # --- inputs: the link ---------------------------------------------------------------------------------

    def will(self, now: Now) -> tuple[str, bytes] | None:
        """Topic and payload of the will of the connection that is about to be made; None before the first append."""
        signer = self._c.signer()
        if signer is None:
            return None
        self._c.presence.new_session()
        topic, message = self._c.presence.will(now, signer)
        payload = self._c.outbox.seal(topic, Kind.PRESENCE, signer, pack(encode(message)))
        self._c.slots.remember(payload)
        return topic, payload

    def link_up(self, now: Now, packet_bytes_max: int | None) -> None:
        """The broker accepted us."""
        self._step(now)
        self._since_ms = now.wall_ms
        self._c.link_up(packet_bytes_max)
        self._c.peers.new_connection()
        self._c.fence.link_up(now, [state.id for state in self._c.knowledge.own_origins()])
        self._c.puller.link_up(now)
        self._c.mailbox.link_up()
        self._c.rekey.settled()
        self._c.usher.settled()

    def link_down(self, now: Now, reason: str) -> None:
        """The connection ended. Nothing that was handed to it is counted on."""
        self._step(now)
        self._since_ms, self._heads_read = None, False
        self._c.outbox.forget()
        context = self._c
        for part in (context.head, context.vector, context.standing, context.server, context.mailbox, context.nudge):
            part.closed()
        context.earlier.closed()
        context.reread.closed()
        context.moving.closed()
        context.rekey.settled()
        context.usher.settled()
        self._c.fence.link_down()
        self._c.puller.link_down()
        self._c.slots.forget()
        self._c.outbox.trace("link down", reason=reason)

    def subscribed(self, now: Now, filters: tuple[str, ...], refused: tuple[str, ...]) -> None:
        """SUBACK."""
        self._step(now)
        if refused:
            self._c.outbox.trace("subscription refused", filters=" ".join(refused))
        self._c.fence.subscribed(now, filters)

    def published(self, now: Now, token: int, *, refused: bool) -> None:
        """PUBACK."""
        self._step(now)
        self._c.outbox.answered(token, taken=not refused)

    def received(self, now: Now, topic: str, payload: bytes, *, retain: bool) -> None:
        """A message. Whatever it is, nothing is raised."""
        self._step(now)
        try:
            self._inbox.receive(now, topic, payload, retain=retain)
        except ProtocolError as error:
            self._c.counters[f"dropped.{error.reason}"] += 1
            if self._c.slots.written(topic):
                self._c.slots.seen(now, topic, payload)

    # --- inputs: the log ----------------------------------------------------------------------------------

    def log_moved(self, now: Now) -> None:
        """The log has grown by an append on this device, or an incarnation was opened."""
        self._step(now)
        before, held = self._c.knowledge.own, self._c.knowledge.states
        self._c.knowledge.reload()
        own = self._c.knowledge.own
        self._c.rekey.settled()
        self._c.usher.settled()
        if own is None:
            return
        self._c.reopening = False
        if before is None or before.id != own.id:
            self._new_origin(now, before)
        if self._turned():
            return
        if any(held.get(state.id) != state for state in self._c.knowledge.states.values() if state.id != own.id):
            self._c.vector.moved()  # own appends alone are told by the head
        if before is None or (before.id, before.seq) != (own.id, own.seq):
            self._c.mailbox.moved(now)
            if self._c.fence.open and not self._c.rekey.silent:
                self._c.head.moved(now)
                self._c.live.moved(now, self._c.knowledge, self._c.room, listeners=self._c.listeners(now))

    def ingested(self, now: Now, report: IngestReport) -> None:
        """What was staged is durable."""
        self._step(now)
        before = self._c.knowledge.own
        if report.forks or report.reopened is not None:
            self._c.knowledge.reload()
        else:
            self._c.knowledge.update(report.states)
        self._c.intake.settled()
        while self._stored and now.mono_ms - self._stored[0][0] >= _RATE_MS:
            self._stored.popleft()
        self._stored.append((now.mono_ms, report.events))
        self._c.counters["events stored"] += report.events
        for origin, outcome in zip(self._c.intake.handed, report.outcomes, strict=True):
            self._placed(now, origin, outcome)
        for state in report.states:
            self._c.puller.stored(now, state.id)
            self._c.dispute(now, self._c.disputes.of_origin(state))
        for fork in report.forks:
            self._c.outbox.trace("fork", kept=fork.kept.hex(), derived=fork.derived.hex(), base=fork.base)
        self._c.vector.moved()
        self._turned()
        own = self._c.knowledge.own
        if own is not None and (before is None or before.id != own.id):
            self._new_origin(now, before)
        elif own is not None and any(s.generation > own.generation for s in self._c.knowledge.own_origins()):
            self._c.reopen("a later incarnation of this device exists")

    def _placed(self, now: Now, origin: OriginId, outcome: Outcome) -> None:
        """What became of one run: what was not stored makes us ask for something else first."""
        placement = outcome.placement
        if isinstance(placement, Refused):
            self._c.counters[f"dropped.{placement.reason}"] += 1
        further = False
        if isinstance(placement, Misfit):
            further = self._c.puller.misfit(now, self._c.knowledge, outcome.origin, placement.before)
        if isinstance(placement, Refused | Gap | Misfit) and not (further and outcome.origin == origin):
            self._c.puller.unplaced(now, origin, outcome.origin)

    def ingest_failed(self, now: Now) -> None:
        """The store could not take what was staged: it is asked for again."""
        self._step(now)
        self._c.intake.settled()
        self._c.counters["ingest failed"] += 1

    def promised(self, now: Now, tip: OwnTip) -> None:
        """A promise is durable."""
        self._step(now)
        if self._c.knowledge.own is None or tip.origin.id != self._c.knowledge.own.id:
            self.log_moved(now)
        signer = self._c.signer()
        if signer is not None and self._c.fence.open:
            self._c.head.promised(now, signer, self._c.name(), tip)

    # --- inputs: time and people ----------------------------------------------------------------------------

    def tick(self, now: Now) -> None:
        """Decide what to do next."""
        self._step(now)
        self._dirty = False
        signer, knowledge = self._c.signer(), self._c.knowledge
        if self._c.fence.tick(now):
            self._opened(now)
        if signer is None:
            return
        self._c.rekey.tick(now, is_open=self._c.fence.open and not self._c.reopening)
        if self._c.rekey.silent:
            return
        self._usher(now)
        self._c.puller.tick(now, knowledge, signer)
        self._c.server.pump(knowledge, signer, self._c.room)
        if self._c.fence.open and not self._c.reopening and not self._forgetting:
            self._write_slots(now, signer)
        self._c.flusher.tick(now, knowledge, signer, is_open=self._c.fence.open, keeps=self._c.moving.keeps)
        self._c.comparer.tick(now, signer, is_open=self._c.fence.open)

    def start_flush(self, now: Now, device: str | None) -> int:
        """Begin a flush; its number is for `flush_result` and `end_flush`."""
        self.log_moved(now)
        return self._c.flusher.start(now, self._c.knowledge, device)

    def flush_result(self, number: int) -> FlushResult:
        """How far a flush has come."""
        return self._c.flusher.result(number)

    def end_flush(self, number: int) -> None:
        """Nobody waits for a flush any more."""
        self._c.flusher.drop(number)

    def start_comparison(self, now: Now, device: bytes) -> int:
        """Begin to compare with a device (8-byte id); its number is for `comparison` and `end_comparison`."""
        self.log_moved(now)
        return self._c.comparer.start(device)

    def comparison(self, number: int) -> Comparison:
        """How far a comparison has come."""
        return self._c.comparer.result(number)

    def end_comparison(self, number: int) -> None:
        """Nobody waits for a comparison any more."""
        self._c.comparer.drop(number)

    def wait_result(self) -> WaitResult:
        """Whether anything known is missing here."""
        return WaitResult(self._heads_read, sum(self._c.knowledge.behind().values()))

    def known(self) -> dict[OriginId, int]:
        """Origin -> the highest seq that is held, or that signed knowledge says exists."""
        knowledge = self._c.knowledge
        behind = knowledge.behind()
        return {origin: knowledge.have(origin) + behind.get(origin, 0) for origin in {**knowledge.states, **behind}}

    def ask_off(self, now: Now) -> None:
        """Ask every device that hears it to stop syncing."""
        self._step(now)
        signer = self._c.signer()
        if signer is not None and self._c.fence.connected:
            ask = pack(encode(Ask(self._c.outbox.counter(), None, ASK_OFF)))
            topic = self._c.topics.ask
            self._c.outbox.publish(topic, self._c.outbox.seal(topic, Kind.ASK, signer, ask), retain=False)

    def closing(self, now: Now) -> None:
        """We are about to go offline on purpose: leave behind what others need."""
        self._step(now)
        self.log_moved(now)
        self._closing = self._greeting_due = True
        self._c.head.hurry(now)
        self._c.vector.hurry(now)

    def closed(self) -> bool:
        """Whether everything that is to be left behind, or cleared, has been taken by the broker."""
        if self._c.outbox.effects or self._c.outbox.waiting():
            return False
        own = self._c.knowledge.own
        if self._forgetting or own is None or not self._c.fence.connected:
            return True
        said = self._c.fence.open and not self._greeting_due and self._c.head.told >= own.seq
        return self._closing and said and self._c.mailbox.settled()

    def forget(self, now: Now) -> None:
        """Clear every slot of ours on the broker, of all our incarnations; nothing is written after that."""
        self._step(now)
        self._forgetting = True
        for topics in (self._c.topics, *self._c.topics.earlier.values()):
            for origin in [state.id for state in self._c.knowledge.own_origins()]:
                self._forget_slots(topics, origin)

    def _forget_slots(self, topics: Topics, origin: OriginId) -> None:
        names = [topics.head(origin), topics.index(origin), topics.standing(origin), topics.presence(origin)]
        names += [topics.vector(origin, page) for page in range(len(pages_of(self._c.knowledge.states)))]
        names += [topics.segment(origin, slot) for slot in range(self._c.settings.mailbox_slots)]
        for name in [*names, topics.rekeyed(origin), topics.gone(origin)]:
            self._c.outbox.publish(name, b"", retain=True)

    # --- outputs --------------------------------------------------------------------------------------------

    def effects(self) -> list[Effect]:
        """Take what there is to do, in order."""
        self._c.intake.take()
        notes = self._c.peers.take_notes()
        if notes:
            self._c.outbox.emit(NotePeers(notes))
        return self._c.outbox.take()

    def wake_at(self) -> int | None:
        """Monotonic ms when `tick` is wanted; the past when it is wanted at once."""
        if self._dirty:
            return self._now.mono_ms
        parts: list[_Timed] = [self._c.fence, self._c.rekey]
        silent = self._c.rekey.silent
        if not silent:
            parts.append(self._c.puller)
        if self._c.fence.open and not silent:
            parts += [
                self._c.slots,
                self._c.head,
                self._c.vector,
                self._c.nudge,
                self._c.flusher,
                self._c.earlier,
                self._c.reread,
                self._c.comparer,
                self._c.moving,
            ]
        times = [time for time in (part.wake_at() for part in parts) if time is not None]
        mailbox_ms = self._c.mailbox.wake_at() if self._c.fence.open and not silent else None
        if mailbox_ms is not None or (self._mailbox_skipped and not silent):
            times.append(max(mailbox_ms or 0, self._mailbox_ms))
        return min(times, default=None)

    def live_info(self) -> LiveInfo:
        """What only a running machine knows."""
        now = self._now
        recent = sum(events for at, events in self._stored if now.mono_ms - at < _RATE_MS)
        current = self._c.peers.current(self._c.knowledge.own)  # what an earlier incarnation said says nothing of now
        skews = sorted(peer.skew_ms for peer in current if peer.skew_ms is not None)
        off = {peer.origin: peer.clock_off_ms for peer in current if peer.clock_off_ms}
        most_off = len(skews) > 1 and len(off) > len(skews) / 2
        return LiveInfo(
            self._c.fence.connected,
            self._since_ms,
            dict(self._c.counters),
            recent * 1_000 / _RATE_MS,
            tuple(peer.origin for peer in self._c.peers if self._c.fence.connected and self._online(peer.origin)),
            off,
            -skews[len(skews) // 2] if most_off else 0,
            self._c.mailbox.refused,
            self._c.mailbox.too_large,
            self.epoch.epoch,
            self._shut_out,
            self._c.moving.bound_for or "",
        )

    def kept_roster(self) -> KeptRoster | None:
        """The roster as it was judged last, to be kept beside the log; None in a group without a founder."""
        return self._c.knowledge.kept_roster()

    @property
    def membership(self) -> Membership | None:
        """Who is a member, in which epoch; None for a group without a founder."""
        return self._c.knowledge.membership

    @property
    def epoch(self) -> GroupKeys:
        """The key epoch that this device is in."""
        return self._c.topics.keys

    @property
    def epochs(self) -> list[GroupKeys]:
        """The key epochs under whose topics this device speaks: the present one, then earlier ones."""
        return [self.epoch, *(topics.keys for topics in self._c.topics.earlier.values())]

    @property
    def moving(self) -> Moving:
        """What is to be done about a move of the group to another broker."""
        return self._c.moving

    @property
    def off_requested(self) -> bool:
        """A member has asked all devices to stop syncing; set it to False when that was done."""
        return self._inbox.off_requested

    @off_requested.setter
    def off_requested(self, value: bool) -> None:
        self._inbox.off_requested = value

    @property
    def buffered_bytes(self) -> int:
        """What waits in memory: events beyond gaps, or on their way to the store, and parts of large events."""
        intake = self._c.intake
        return intake.spooled_bytes + intake.staged_bytes + self._c.assembler.size_bytes

    @property
    def fence_open(self) -> bool:
        """Whether own slots may be written on this connection."""
        return self._c.fence.open

    # --- deciding -------------------------------------------------------------------------------------------

    def _opened(self, now: Now) -> None:
        """The fence has passed: the broker's heads are read, own slots may be written."""
        self._heads_read = True
        self._c.outbox.trace("fence passed")
        signer = self._c.signer()
        if signer is not None and not self._c.reopening and not self._c.rekey.silent:
            self._announce(now, signer)

    def _heard_of_epoch(self) -> None:
        self._turned()

    def _turned(self) -> bool:
        """Whether another epoch is the present one now, or is heard of: a new connection says and hears the rest."""
        membership = self._c.knowledge.membership
        shut_out = membership.shut_out if membership is not None else ""
        if not self._c.turn_epoch(self._now) and shut_out == self._shut_out:
            return False
        self._shut_out = shut_out
        self._c.outbox.trace("key epoch", number=self._c.topics.keys.epoch, shut_out=shut_out)
        if self._c.fence.connected:
            self._c.outbox.emit(Disconnect("the group's key has changed"))
        return True

    def _announce(self, now: Now, signer: Signer) -> None:
        if self._forgetting:
            return
        self._tidy()
        self._c.presence.say(now, signer, online=True)
        self._c.head.opened(now)
        self._c.vector.opened(now)
        self._c.mailbox.opened(now)
        self._c.live.opened(self._c.knowledge)

    def _tidy(self) -> None:
        """Clear what earlier incarnations of ours left, except heads and mailboxes: those may be needed (P7.12)."""
        own = self._c.knowledge.own
        for peer in self._c.peers:
            earlier = own is not None and peer.author.key == own.key and peer.generation < own.generation
            if not earlier or not (peer.presence or peer.standing or peer.pages):
                continue
            names = [self._c.topics.presence(peer.origin), self._c.topics.standing(peer.origin)]
            for name in [*names, *(self._c.topics.vector(peer.origin, page) for page in peer.pages)]:
                self._c.outbox.publish(name, b"", retain=True)
            peer.presence = peer.standing = None
            self._c.peers.forget_vector(peer)

    def _write_slots(self, now: Now, signer: Signer) -> None:
        knowledge, listeners = self._c.knowledge, self._c.listeners(now)
        self._c.live.moved(now, knowledge, self._c.room, listeners=listeners)
        self._c.slots.tick(now)
        self._c.head.tick(now)
        if self._c.vector.is_due(now):
            self._c.vector.tick(now, signer, knowledge, len(knowledge.active(now)) + 1)
        hunted, missing = self._c.hunts.hunted(), self._c.lacks.stuck(now)
        if self._closing:
            missing = [origin for origin in {**knowledge.wanted(), **hunted} if not self._c.lacks.is_held_up(origin)]
        self._c.standing.tick(now, signer, knowledge, missing, hunted)
        urgent = self._closing or self._c.flusher.urgent(now, listeners=listeners)
        self._mailbox_skipped = not urgent and now.mono_ms < self._mailbox_ms
        if not self._mailbox_skipped:
            self._c.mailbox.tick(now, knowledge, signer, self._c.room, urgent=urgent)
            self._mailbox_ms = now.mono_ms + self._pause_ms()
        self._c.nudge.tick(now, knowledge, signer)
        self._c.reread.tick(now, knowledge)
        self._c.earlier.tick(now, signer, knowledge)
        self._move_on(now, signer)
        if self._greeting_due:
            self._greeting_due = False
            self._c.presence.say(now, signer, online=False)

    def _move_on(self, now: Now, signer: Signer) -> None:
        """Leave this broker, when the group has (section 16)."""
        moving, sought_ms = self._c.moving, None
        if moving.bound_for is not None and self._c.lacks.seeks(now, self._c.knowledge):
            sought_ms = self._stored[-1][0] if self._stored else 0
        moving.tick(now, signer, sought_ms)

    def _new_origin(self, now: Now, before: OriginState | None) -> None:
        """We write another origin from now on: its slots are new ones."""
        for topic in self._c.slots.topics():
            if self._c.topics.parse(topic)[0] in ("p", "s", "v"):
                self._c.outbox.publish(topic, b"", retain=True)
        self._c.slots.forget()
        ring = self._c.mailbox.new_origin()
        if before is not None and ring:
            index = Index(self._c.outbox.counter(), now.wall_ms, self._c.settings.mailbox_slots, ring)
            self._c.peers.left_ring(Author(before.key, before.incarnation, before.id), index)
        self._c.presence.new_session()
        self._c.outbox.trace("new incarnation", origin=(self._c.own_id() or b"").hex())
        signer = self._c.signer()
        self._c.reopening = False
        if signer is not None and self._c.fence.open and not self._c.rekey.silent:
            self._announce(now, signer)

    def _usher(self, now: Now) -> None:
        """Let others into the stable order; or come back into it as a new incarnation (P13.7)."""
        is_open = self._c.fence.open and not self._c.reopening and not self._forgetting
        if is_open and self._c.usher.is_out:
            self._c.reopen("returned")
        else:
            self._c.usher.tick(now, is_open=is_open and not self._closing)

    def _pause_ms(self) -> int:
        """How long the mailbox is left alone: to see who lacks what takes a look at every device."""
        devices = len(self._c.peers.current(self._c.knowledge.own))
        return devices if devices > _LOOK_FREELY else 0

    # --- small things ---------------------------------------------------------------------------------------

    def _step(self, now: Now) -> None:
        self._now, self._dirty = now, True

    def _online(self, origin: OriginId) -> bool:
        peer = self._c.peers.get(origin)
        return peer is not None and peer.online(self._now, self._c.settings.online_ms)
