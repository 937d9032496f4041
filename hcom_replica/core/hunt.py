"""Looking for where a history that is claimed leaves the one that is held (protocol-v1 P4.8, P4.9).

What is held by both ends between two seqs: one from which on something is asked for, and one at which it differs. Those
who are asked, and rings that are read, raise the one; what comes and does not fit lowers the other. While much lies
between them, what is asked for next begins in the middle: so the number of questions is logarithmic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hcom_replica.ids import OriginId
from hcom_replica.wire.messages import Segment

NEAR_EVENTS: Final = 1_024
"""No more than this between what both hold and what differs is fetched as it is: mostly it fits one answer."""


@dataclass(slots=True)
class Hunt:
    """The hunt for one origin.

    Attributes:
        back: what is asked for begins behind this seq.
        differs: the claimed history is another one at this seq already.
        agreed: device, or writer of a ring -> the seq up to which it was found to hold what is held here.
        cleared: devices that were found to hold nothing else, whatever they claim.
        questions: how many devices were asked, counting each time.
    """

    back: int
    differs: int
    agreed: dict[OriginId, int] = field(default_factory=dict)
    cleared: set[OriginId] = field(default_factory=set)
    questions: int = 0

    def compared(self, source: OriginId, held: int) -> None:
        """A source has brought what is held here, up to a seq; 0 when something of it is not."""
        self.agreed[source] = max(held, self.agreed.get(source, 0))

    def doubts(self, before: int) -> bool:
        """Note that a run differs at `before` already; whether that is news to those who ask from `back` on."""
        self.differs = min(before, self.differs)
        self.agreed = {source: seq for source, seq in self.agreed.items() if seq <= before}
        return before <= self.back

    def first_to_ask(self, source: OriginId, claimed: int) -> int:
        """The lowest seq to ask a source for that claims to hold `claimed` of it.

        That is what lies behind `back` until something is found to be held in both, and then what lies behind that, or
        behind the middle between that and where it differs.
        """
        agreed = self.agreed.get(source, 0)
        if not self.back < agreed < claimed:
            return self.back + 1
        return agreed + 1 + (max(0, self.differs - agreed) // 2 if self.is_far(source) else 0)

    def is_far(self, source: OriginId) -> bool:
        """Whether a source is asked in order to compare, and not yet to fetch what differs."""
        return self.differs - max(self.back, self.agreed.get(source, 0)) > NEAR_EVENTS

    def may_show(self, writer: OriginId, segment: Segment) -> bool:
        """Whether a segment of a ring may show the difference: not what is held too, nor what begins behind it."""
        return segment.last > self.agreed.get(writer, 0) and segment.first <= self.differs + 1

    @property
    def begins(self) -> int:
        """The seq behind which somebody who is away should leave what is lacked: what both hold is left out."""
        return max((seq for seq in self.agreed.values() if seq < self.differs), default=self.back)
