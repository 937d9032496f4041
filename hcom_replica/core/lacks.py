"""What is lacked: of which origins, from which seq on, and since when nobody reachable has it (P7.7, P7.9).

Owns what is known of each lack, its pace too; asking for it is the affair of `pull`.
"""

from __future__ import annotations

from hcom_replica.core.effects import Now
from hcom_replica.core.hunts import Hunts
from hcom_replica.core.intake import Intake
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.pace import Pace, Waits
from hcom_replica.core.settings import Settings
from hcom_replica.ids import OriginId


class Lacks:
    """The origins of which something is lacked.

    Attributes:
        paces: origin -> how asking for it is paced; all that is being asked for, and no other origin.
        waits: the random waits before asking.
    """

    def __init__(self, outbox: Outbox, settings: Settings, intake: Intake, hunts: Hunts) -> None:
        self._settings = settings
        self._intake = intake
        self._hunts = hunts
        self.waits = Waits(settings, outbox)
        self.paces: dict[OriginId, Pace] = {}
        self._sourceless: dict[OriginId, int] = {}
        self._behind: dict[OriginId, OriginId] = {}

    def closed(self) -> None:
        """The link has ended: on another one others may be reached."""
        self.paces.clear()
        self._sourceless.clear()

    def find(self, knowledge: Knowledge) -> dict[OriginId, int]:
        """Origins to ask for -> the highest seq that is known of."""
        wanted = {o: seq for o, seq in knowledge.wanted().items() if seq > self._intake.have(o)}
        for origin, seq in self._intake.gaps().items():
            wanted[origin] = max(seq, wanted.get(origin, 0))
        for origin, hunt in self._hunts.under_way.items():
            wanted[origin] = max(hunt.back + 1, wanted.get(origin, 0))
        return wanted

    def first(self, origin: OriginId) -> int:
        """The lowest seq to ask for."""
        hunt = self._hunts.under_way.get(origin)
        return (hunt.back if hunt is not None else self._intake.have(origin)) + 1

    def pace(self, now: Now, origin: OriginId) -> Pace:
        """How asking for an origin is paced, from now on if it was not lacked before."""
        pace = self.paces.get(origin)
        if pace is None:
            settings = self._settings
            pace = Pace(settings.window_bytes_first, settings.pull_ms_min, self.waits.due(now))
            self.paces[origin] = pace
        return pace

    def asked(self, origin: OriginId) -> None:
        """A source is being tried."""
        self._sourceless.pop(origin, None)

    def nobody_has(self, now: Now, origin: OriginId) -> None:
        """No source is left to try: look again in a while."""
        self._sourceless.setdefault(origin, now.mono_ms)
        self.paces[origin].due_ms = now.mono_ms + self._settings.standing_after_ms

    def news(self, now: Now) -> None:
        """A source may have turned up: look again for what had none."""
        for origin in self._sourceless:
            self.paces[origin].due_ms = now.mono_ms

    def stored(self, origin: OriginId) -> None:
        """The prefix of an origin has grown: what waited for that, or in vain, is to be asked for."""
        self._behind = {branch: root for branch, root in self._behind.items() if origin not in (branch, root)}

    def unplaced(self, now: Now, origin: OriginId, before: OriginId) -> None:
        """What came of an origin could not be stored before more of `before`, itself or the one that it forks from."""
        if before != origin:
            self._behind[origin] = before
        self.pace(now, origin).due_ms = now.mono_ms + self._settings.pull_ms_min

    def leave(self, origin: OriginId) -> None:
        """Nothing of an origin is lacked any more."""
        self._sourceless.pop(origin, None)
        del self.paces[origin]

    def stuck(self, now: Now) -> list[OriginId]:
        """Origins of which something is missing that nobody reachable has had for a while."""
        after = self._settings.standing_after_ms
        late = [origin for origin, since_ms in self._sourceless.items() if now.mono_ms - since_ms >= after]
        return [origin for origin in late if not self.is_held_up(origin)]

    def is_held_up(self, origin: OriginId) -> bool:
        """Whether a derived origin cannot be stored before more of the one that it forks from, which is asked for."""
        return self._behind.get(origin) in self.paces

    def seeks(self, now: Now, knowledge: Knowledge) -> bool:
        """Whether something is missing that somebody who can be reached may bring, or that a ring here holds."""
        stuck = set(self.stuck(now))
        return any(origin not in stuck or self._is_in_a_ring(knowledge, origin) for origin in self.paces)

    def _is_in_a_ring(self, knowledge: Knowledge, origin: OriginId) -> bool:
        """Whether an index names something of what is missing."""
        first = self.first(origin)
        return any(place.segment.last >= first for place in knowledge.peers.segments(origin))
