"""Flush: is everything written here safe elsewhere? Acknowledged by another device, or read back from the broker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from hcom_replica.core.asking import ask_vector
from hcom_replica.core.effects import Now
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.mailbox import Mailbox
from hcom_replica.core.members import display_names
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.peer import Peer
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId
from hcom_replica.wire.frame import Signer
from hcom_replica.wire.topics import Topics

_ASK_EVERY_MS = 500

_LEAVING: Final = "the group meets at another broker, and no device has acknowledged what was written here"

SafeIn = Literal["device", "broker"]


@dataclass(frozen=True, slots=True)
class FlushResult:
    """How far a flush has come.

    Attributes:
        done: everything is safe elsewhere.
        safe_in: where: "device" when another device acknowledged all of it, "broker" when some of it is only in the
            mailbox.
        reason: why it is not done, for people.
    """

    done: bool
    safe_in: SafeIn | None
    reason: str


@dataclass
class _Flush:
    """A flush that somebody waits for.

    Attributes:
        device: name of the one that must have it all; None for any.
        tips: origin of this device -> seq that is to be safe.
        started_ms: monotonic.
        asked_ms: monotonic, when the others were asked last; None before that.
        result: how far it has come.
    """

    device: str | None
    tips: dict[OriginId, int]
    started_ms: int
    asked_ms: int | None = None
    result: FlushResult = FlushResult(done=False, safe_in=None, reason="not connected to a broker")


class Flusher:
    """The flushes that somebody waits for."""

    def __init__(self, outbox: Outbox, topics: Topics, settings: Settings, mailbox: Mailbox) -> None:
        self._outbox = outbox
        self._topics = topics
        self._settings = settings
        self._mailbox = mailbox
        self._flushes: dict[int, _Flush] = {}
        self._next = 0

    def start(self, now: Now, knowledge: Knowledge, device: str | None) -> int:
        """Begin to wait for everything that is in the own log now; with `device`, for that device to have it."""
        self._next += 1
        tips = {state.id: state.seq for state in knowledge.own_origins()}
        self._flushes[self._next] = _Flush(device, tips, now.mono_ms)
        return self._next

    def result(self, number: int) -> FlushResult:
        """How far it has come; a flush that is done, or that nobody waits for, is to be dropped with `drop`."""
        return self._flushes[number].result

    def drop(self, number: int) -> None:
        """Nobody waits for it any more."""
        self._flushes.pop(number, None)

    def urgent(self, now: Now, *, listeners: bool) -> bool:
        """Whether the mailbox has to be written now."""
        after = self._settings.flush_ring_after_ms if listeners else 0
        return any(
            not flush.result.done and flush.device is None and now.mono_ms - flush.started_ms >= after
            for flush in self._flushes.values()
        )

    def tick(self, now: Now, knowledge: Knowledge, signer: Signer, *, is_open: bool, keeps: bool = True) -> None:
        """Look at all of them.

        Args:
            now: the time.
            knowledge: who has what.
            signer: this incarnation.
            is_open: own slots may be written.
            keeps: what lies in a mailbox at this broker will be read (P16.5).
        """
        for flush in self._flushes.values():
            if flush.result.done:
                continue
            flush.result = self._look(knowledge, signer, flush, is_open=is_open, keeps=keeps)
            if not flush.result.done and is_open:
                self._ask(now, knowledge, signer, flush)

    def wake_at(self) -> int | None:
        """When `tick` is wanted, while the fence is open."""
        times = [
            flush.started_ms if flush.asked_ms is None else flush.asked_ms + _ASK_EVERY_MS
            for flush in self._flushes.values()
            if not flush.result.done
        ]
        return min(times, default=None)

    def _look(self, knowledge: Knowledge, signer: Signer, flush: _Flush, *, is_open: bool, keeps: bool) -> FlushResult:
        peers = _named(knowledge, knowledge.peers.current(knowledge.own), flush.device)
        acked = {origin: max((knowledge.acked(peer, origin) for peer in peers), default=0) for origin in flush.tips}
        lacking = {origin: seq for origin, seq in flush.tips.items() if acked[origin] < seq}
        if not lacking:
            return FlushResult(done=True, safe_in="device", reason="")
        if not is_open:
            return FlushResult(done=False, safe_in=None, reason="not connected to a broker")
        if flush.device is not None:
            reason = f"{flush.device} has not acknowledged" if peers else f"no device {flush.device} is known"
            return FlushResult(done=False, safe_in=None, reason=reason)
        if not keeps:
            return FlushResult(done=False, safe_in=None, reason=_LEAVING)
        unsafe = 0
        for origin, seq in lacking.items():
            above = max(acked[origin], knowledge.states[origin].base)
            if self._mailbox.settled():
                self._mailbox.read_back(signer, origin, above)
            unsafe += seq - min(seq, self._mailbox.safe_upto(origin, above))
        if not unsafe:
            return FlushResult(done=True, safe_in="broker", reason="")
        return FlushResult(done=False, safe_in=None, reason=self._reason(unsafe, lacking))

    def _reason(self, unsafe: int, lacking: Iterable[OriginId]) -> str:
        if unfit := [self._mailbox.unfit[origin] for origin in lacking if origin in self._mailbox.unfit]:
            return f"event {unfit[0][1]} is too large for the mailbox: another device has to be online"
        if self._mailbox.refused:
            return f"{unsafe} events are only here, and the broker refuses the mailbox"
        return f"{unsafe} events are only here: nobody has acknowledged them, and the mailbox does not hold them"

    def _ask(self, now: Now, knowledge: Knowledge, signer: Signer, flush: _Flush) -> None:
        """Ask for vectors: that of the device that has to have it, or of anybody."""
        if flush.asked_ms is not None and now.mono_ms - flush.asked_ms < _ASK_EVERY_MS:
            return
        flush.asked_ms = now.mono_ms
        named = _named(knowledge, knowledge.peers.current(knowledge.own), flush.device) if flush.device else []
        asked: list[OriginId | None] = [peer.origin for peer in named]
        for to in asked or [None]:
            ask_vector(self._outbox, self._topics, signer, to)


def _named(knowledge: Knowledge, peers: list[Peer], device: str | None) -> list[Peer]:
    if device is None:
        return peers
    names = display_names(knowledge.members, {state.device for state in knowledge.states.values()})
    return [peer for peer in peers if device in (names.get(peer.device), peer.head.name if peer.head else None)]
