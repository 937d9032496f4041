"""Which events are known to be redacted, and which of them have been found so since somebody looked last.

Owns no bodies and takes none away: the store does, in the transaction in which it learns of a redaction.
"""

from __future__ import annotations

from hcom_replica.core.reader import LogReader
from hcom_replica.ids import OriginId

Place = tuple[OriginId, int]
"""(origin that is not derived, seq): a branch of it with the same seq is meant as well."""


class RedactedPlaces:
    """The places of all redactions known, in memory.

    Args:
        log: the store.

    Attributes:
        known: all of them.
    """

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self._count = 0
        self._fresh: set[Place] = set()
        self.known: set[Place] = set()

    def refresh(self) -> None:
        """Look whether the log knows of more."""
        count = self._log.redaction_count()
        if count != self._count:
            places = self._log.redacted_places()
            self._fresh |= places - self.known
            self.known, self._count = places, count

    def take_fresh(self) -> set[Place]:
        """Take those that were found since the last call."""
        fresh, self._fresh = self._fresh, set()
        return fresh
