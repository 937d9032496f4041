"""The replica machine: inputs in, effects out. No socket, disk, thread or clock (protocol-v1 sections 6 to 8).

This file only routes: each part of the protocol has a file of its own, named for what it does. Inputs change what
is known; `tick` decides what to do about it; `effects` hands it out in the order in which it has to be carried out.
"""

from __future__ import annotations

from hcom_replica.core.comparing import Comparison
from hcom_replica.core.context import Context
from hcom_replica.core.effects import Effect, NotePeers, Now
from hcom_replica.core.flush import FlushResult
from hcom_replica.core.growth import Growth
from hcom_replica.core.inbox import Inbox
from hcom_replica.core.info import LiveInfo, WaitResult
from hcom_replica.core.kept import KeptRoster
from hcom_replica.core.membership import Membership
from hcom_replica.core.moving import Moving
from hcom_replica.core.reader import OwnTip
from hcom_replica.core.report import IngestReport
from hcom_replica.core.upkeep import Timed, Upkeep
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.wire.codec import encode
from hcom_replica.wire.frame import Kind, pack
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.messages import ASK_OFF, Ask


class Machine:
    """One device's replica.

    Args:
        context: its parts, made for this machine alone; `Context` says of what.
    """

    def __init__(self, context: Context) -> None:
        self._c = context
        self._inbox = Inbox(context, self._heard_of_epoch)
        self._upkeep = Upkeep(context)
        self._growth = Growth(context, self._upkeep)
        self._now = Now(0, 0)
        self._since_ms: int | None = None
        self._dirty = True
        self._heads_read = False
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
        self._growth.moved(now)

    def ingested(self, now: Now, report: IngestReport) -> None:
        """What was staged is durable."""
        self._step(now)
        self._growth.ingested(now, report)

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
        if self._c.fence.open and not self._c.reopening and not self._upkeep.forgetting:
            self._upkeep.tick(now, signer, self._growth.came_ms)
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
        self._upkeep.close(now)

    def closed(self) -> bool:
        """Whether everything that is to be left behind, or cleared, has been taken by the broker."""
        return self._upkeep.closed()

    def forget(self, now: Now) -> None:
        """Clear every slot of ours on the broker, of all our incarnations; nothing is written after that."""
        self._step(now)
        self._upkeep.forget()

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
        parts: list[Timed] = [self._c.fence, self._c.rekey]
        if not self._c.rekey.silent:
            parts += [self._c.puller, self._upkeep]
            if self._c.fence.open:
                parts += [self._c.flusher, self._c.comparer]
        return min((time for time in (part.wake_at() for part in parts) if time is not None), default=None)

    def _too_large(self) -> int | None:
        own = self._c.knowledge.own_id
        unfit = self._c.mailbox.unfit.get(own) if own is not None else None
        return unfit[1] if unfit is not None else None

    def live_info(self) -> LiveInfo:
        """What only a running machine knows."""
        now = self._now
        current = self._c.peers.current(self._c.knowledge.own)  # what an earlier incarnation said says nothing of now
        skews = sorted(peer.skew_ms for peer in current if peer.skew_ms is not None)
        off = {peer.origin: peer.clock_off_ms for peer in current if peer.clock_off_ms}
        most_off = len(skews) > 1 and len(off) > len(skews) / 2
        return LiveInfo(
            self._c.fence.connected,
            self._since_ms,
            dict(self._c.counters),
            self._growth.rate(now),
            tuple(peer.origin for peer in self._c.peers if self._c.fence.connected and self._online(peer.origin)),
            off,
            -skews[len(skews) // 2] if most_off else 0,
            self._c.mailbox.refused,
            self._too_large(),
            self.epoch.epoch,
            self._growth.shut_out,
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
            self._upkeep.announce(now, signer)

    def _heard_of_epoch(self) -> None:
        self._growth.turned(self._now)

    def _usher(self, now: Now) -> None:
        """Let others into the stable order; or come back into it as a new incarnation (P13.7)."""
        is_open = self._c.fence.open and not self._c.reopening and not self._upkeep.forgetting
        if is_open and self._c.usher.is_out:
            self._c.reopen("returned")
        else:
            self._c.usher.tick(now, is_open=is_open and not self._upkeep.closing)

    # --- small things ---------------------------------------------------------------------------------------

    def _step(self, now: Now) -> None:
        self._now, self._dirty = now, True

    def _online(self, origin: OriginId) -> bool:
        peer = self._c.peers.get(origin)
        return peer is not None and peer.online(self._now, self._c.settings.online_ms)
