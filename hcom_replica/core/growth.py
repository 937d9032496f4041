"""What follows when the log has grown: by an append here, by what was stored of others, by a new incarnation.

Owns how much was stored of late, and what was last known of this device's part in the group. Nothing is told to others
that the log does not hold by then.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from hcom_replica.core.context import Context
from hcom_replica.core.effects import Disconnect, Now
from hcom_replica.core.place import Gap, Misfit
from hcom_replica.core.report import IngestReport, Outcome, Refused
from hcom_replica.core.upkeep import Upkeep
from hcom_replica.ids import OriginId

_RATE_MS: Final = 10_000


class Growth:
    """Tells the parts of a machine of what the log holds.

    Args:
        context: of the machine.
        upkeep: told of another origin that is written.

    Attributes:
        shut_out: see `LiveInfo`.
    """

    def __init__(self, context: Context, upkeep: Upkeep) -> None:
        self._c = context
        self._upkeep = upkeep
        self._stored: deque[tuple[int, int]] = deque()
        self.shut_out = ""

    @property
    def came_ms(self) -> int:
        """Monotonic ms when anything was stored last; 0 for never."""
        return self._stored[-1][0] if self._stored else 0

    def rate(self, now: Now) -> float:
        """Events stored per second of late."""
        return sum(events for at, events in self._stored if now.mono_ms - at < _RATE_MS) * 1_000 / _RATE_MS

    def moved(self, now: Now) -> None:
        """The log has grown by an append on this device, or an incarnation was opened."""
        before, held = self._c.knowledge.own, self._c.knowledge.states
        self._c.knowledge.reload()
        own = self._c.knowledge.own
        self._c.rekey.settled()
        self._c.usher.settled()
        if own is None:
            return
        self._c.reopening = False
        if before is None or before.id != own.id:
            self._upkeep.new_origin(now, before)
        if self.turned(now):
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
        self.turned(now)
        own = self._c.knowledge.own
        if own is not None and (before is None or before.id != own.id):
            self._upkeep.new_origin(now, before)
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

    def turned(self, now: Now) -> bool:
        """Whether another epoch is the present one now, or is heard of: a new connection says and hears the rest."""
        membership = self._c.knowledge.membership
        shut_out = membership.shut_out if membership is not None else ""
        if not self._c.turn_epoch(now) and shut_out == self.shut_out:
            return False
        self.shut_out = shut_out
        self._c.outbox.trace("key epoch", number=self._c.topics.keys.epoch, shut_out=shut_out)
        if self._c.fence.connected:
            self._c.outbox.emit(Disconnect("the group's key has changed"))
        return True
