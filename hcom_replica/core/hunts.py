"""The hunts under way: of which origins another history is looked for, and from how far back (P4.8, P4.9).

Owns that, and how many questions each took. Whom to ask, and when, is the affair of `pull`.
"""

from __future__ import annotations

from hcom_replica.core.hunt import Hunt
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.ids import OriginId


class Hunts:
    """The hunts.

    Attributes:
        under_way: origin -> the hunt for it; not to be changed from outside.
    """

    def __init__(self) -> None:
        self.under_way: dict[OriginId, Hunt] = {}
        self._questions: dict[OriginId, int] = {}

    def hunted(self) -> dict[OriginId, int]:
        """Origins of which another history is looked for -> the seq behind which it is."""
        return {origin: hunt.begins for origin, hunt in self.under_way.items()}

    def questions(self) -> dict[OriginId, int]:
        """Origins of which another history was looked for -> how many questions the newest hunt has asked."""
        return {**self._questions, **{origin: hunt.questions for origin, hunt in self.under_way.items()}}

    def further(self, knowledge: Knowledge, origin: OriginId, before: int) -> bool:
        """Look from further back, twice as far each time; the first time just below what is held (P4.8).

        Args:
            knowledge: what is held.
            origin: whose.
            before: the claimed history is another one at this seq already.

        Returns:
            False when there is no further back; nothing has changed then.
        """
        have, hunt = knowledge.have(origin), self.under_way.get(origin)
        back = 2 * (have - hunt.back) if hunt is not None else 1
        row = knowledge.log.commit_at_or_below(origin, max(0, min(before, have) - back))
        further = row.seq if row is not None else 0
        if hunt is None:
            self.under_way[origin] = Hunt(further, before)
        elif further == hunt.back:
            return False
        else:
            hunt.back = further
        return True

    def found_held(self, origin: OriginId, writer: OriginId, held: int, first: int, have: int) -> None:
        """A ring goes on with what is held here; where more was asked for, that may be another history.

        Args:
            origin: whose.
            writer: of the ring.
            held: the last seq of it that is held here as it is.
            first: the lowest seq that was asked for.
            have: how far the prefix went then.
        """
        if held < first:
            self.under_way.setdefault(origin, Hunt(held, have))
        if origin in self.under_way:
            self.under_way[origin].compared(writer, held)

    def end(self, origin: OriginId) -> None:
        """What was looked for is found, or nobody claims it any more."""
        hunt = self.under_way.pop(origin, None)
        if hunt is not None and hunt.questions:
            self._questions[origin] = hunt.questions
