"""A roster that is kept beside the log, so that it is judged anew only when something has come that may change it.

It depends on the system events held and on which origins there are (protocol-v1 section 13). Of both the log only ever
gets more: while their numbers are the same, it is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hcom_replica.core.membership import Viewer
from hcom_replica.core.origin import OriginState
from hcom_replica.core.reader import LogReader
from hcom_replica.core.roster import Roster, logged_roster
from hcom_replica.ids import OriginId


class Basis(NamedTuple):
    """What a roster was judged from.

    Attributes:
        founder: 32-byte key.
        system: system events held.
        origins: of which something is held.
    """

    founder: bytes
    system: int
    origins: int


class KeptRoster(NamedTuple):
    """A roster, and what it was judged from; never less than that."""

    basis: Basis
    roster: Roster


def basis_of(founder: bytes, states: Iterable[OriginState]) -> Basis:
    """What a roster would be judged from, by all origins held."""
    systems = [state.system for state in states]
    return Basis(founder, sum(systems), len(systems))


class RosterKeeper:
    """The roster of one log, by the log alone.

    Args:
        log: to read.
        viewer: on whose behalf is judged.
    """

    def __init__(self, log: LogReader, viewer: Viewer) -> None:
        self._log = log
        self._viewer = viewer
        self._kept: KeptRoster | None = None

    def roster(self, states: Mapping[OriginId, OriginState]) -> Roster:
        """Give it; `states` are all origins held, read just now."""
        basis = basis_of(self._viewer.founder, states.values())
        if self._kept is None or self._kept.basis != basis:
            stored = self._log.kept_roster(basis)
            judged = stored if stored is not None else logged_roster(self._log, self._viewer, states)
            self._kept = KeptRoster(basis, judged)
        return self._kept.roster
