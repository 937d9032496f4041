"""`audit diff`: whether another device holds the same history, by what it has signed.

Owns the comparison. A pair (seq, c) is all that is needed of an origin: equal c at an equal seq proves all before it
equal. Where c differs, the other history is looked for in questions that go back twice as far each time, and from there
halve what lies between (P4.8, P4.9): their number is logarithmic, and the fork that is found names the first
difference.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from hcom_replica.api.control import Control
from hcom_replica.api.names import Names
from hcom_replica.api.opening import Parts
from hcom_replica.api.times import iso_ms
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.origin import OriginState
from hcom_replica.core.peer import Peer
from hcom_replica.core.peers import Peers
from hcom_replica.core.settings import Settings
from hcom_replica.errors import BrokerError, DaemonError, UsageError
from hcom_replica.ids import OriginId


class OriginDiff(msgspec.Struct, frozen=True):
    """How two devices stand to each other about one origin.

    Attributes:
        device: name of the origin's device.
        origin: 16 hex digits.
        here: seq held here.
        there: seq that the other says to hold; null when it has said nothing of it.
        relation: `equal`; `here more`, equal as far as the other goes; `there more`; `differs`; `unknown`.
        differs_at: the first seq that differs from what the other calls by this name; of a branch that a fork has left,
            the first that differs from the origin it left, whoever holds both; null where nothing does, or it is not
            known yet.
        branch_of: 16 hex digits of the origin that a fork has left here; null for none.
        questions: how many this device needed to find `differs_at`; null where it asked none since its daemon began,
            because the other, or a mailbox, was first.
    """

    device: str
    origin: str
    here: int
    there: int | None
    relation: str
    differs_at: int | None
    branch_of: str | None = None
    questions: int | None = None


class DiffReport(msgspec.Struct, frozen=True):
    """The answer of `audit diff`.

    Attributes:
        device: name of the other device.
        equal: both hold the same of every origin.
        asked: it has answered just now; else what it said last counts.
        said_at: when it said so.
        origins: those that are not equal first.
    """

    device: str
    equal: bool
    asked: bool
    said_at: str | None
    origins: list[OriginDiff]


def compare(parts: Parts, name: str, *, timeout_s: float = 10.0) -> DiffReport:
    """Compare this log with that of another device.

    Args:
        parts: of an open folder.
        name: of the other device.
        timeout_s: how long to wait for its answer, where a daemon or a broker is there.

    Raises:
        UsageError: no device, or more than one, is called so, or it is this one.
    """
    names = Names(parts.log, parts.device.public)
    device = names.find(name)
    if device == names.own:
        raise UsageError("that is this device", hint="name another one: hcom-replica devices lists them")
    shown = names.all()[device]
    control, asked, questions = Control(parts), False, dict[str, int]()
    with suppress(BrokerError, DaemonError):  # then what it has said last is looked at
        answer = control.compare(device, timeout_s)
        asked, questions = answer.answered, answer.questions
    comparison = _Comparison(parts, names, device, questions)
    rows = sorted(comparison.rows(), key=lambda row: (row.relation == "equal", row.device, row.origin))
    equal = bool(rows) and all(row.relation == "equal" for row in rows)
    return DiffReport(shown, equal, asked, comparison.said_at, rows)


class _Comparison:
    """This device's log against the vector that one other device has said; `device` is the other's 8-byte id."""

    def __init__(self, parts: Parts, names: Names, device: bytes, questions: dict[str, int]) -> None:
        self._names = names
        self._questions = questions
        peers = Peers(parts.token.keys.group, parts.log.peers())
        self._knowledge = Knowledge(parts.log, peers, Settings().lease_ms, parts.viewer)
        spoken = [peer for peer in peers if peer.device == device]
        self._peer: Peer | None = max(spoken, key=lambda peer: (peer.generation, peer.heard_ms), default=None)

    @property
    def said_at(self) -> str | None:
        """When the other device was last heard."""
        return None if self._peer is None or not self._peer.heard_ms else iso_ms(self._peer.heard_ms)

    @property
    def _said_all(self) -> bool:
        """Whether all pages of the other's vector are known: what they do not name it does not hold."""
        pages = self._peer.pages if self._peer is not None else {}
        return bool(pages) and len(pages) == max(pages.values(), key=lambda page: page.counter).pages

    def rows(self) -> list[OriginDiff]:
        """One for each origin that either holds."""
        states = {state.id: state for state in self._knowledge.states.values() if state.seq > state.base}
        theirs = self._theirs()
        return [self._row(origin, states.get(origin), theirs.get(origin)) for origin in sorted({*states, *theirs})]

    def _theirs(self) -> dict[OriginId, tuple[int, bytes]]:
        """What the other says to hold: its vector, and its own head, which may be newer."""
        peer = self._peer
        if peer is None:
            return {}
        found = {origin: (ack.seq, ack.digest) for origin, ack in peer.acks.items() if ack.seq}
        if peer.head is not None and peer.head.seq >= found.get(peer.origin, (0, b""))[0]:
            found[peer.origin] = (peer.head.seq, peer.head.tip)
        return found

    def _row(self, origin: OriginId, state: OriginState | None, said: tuple[int, bytes] | None) -> OriginDiff:
        relation, differs_at = self._relation(state, said)
        device = self._names.shown(origin) if state is not None else ""
        here, there = state.seq if state is not None else 0, said[0] if said is not None else None
        root = self._knowledge.root_of(origin)
        branch_of = root.hex() if root != origin else None
        if branch_of is not None and state is not None and differs_at is None:
            differs_at = state.base + 1
        asked = self._questions.get(root.hex()) if differs_at is not None else None
        return OriginDiff(device, origin.hex(), here, there, relation, differs_at, branch_of, asked)

    def _relation(self, state: OriginState | None, said: tuple[int, bytes] | None) -> tuple[str, int | None]:
        if said is None:
            return ("here more" if self._said_all else "unknown"), None
        seq, digest = said
        if state is None or seq > state.seq:
            return "there more", None
        if seq <= state.base:
            return "here more", None
        if self._knowledge.tip(state, seq).startswith(digest):
            return ("equal", None) if seq == state.seq else ("here more", None)
        return "differs", self._first_difference(state, seq, digest)

    def _first_difference(self, state: OriginState, seq: int, digest: bytes) -> int | None:
        """Where the branch that the other calls by this name leaves it, if that is held here."""
        for branch in self._knowledge.states.values():
            same = (branch.key, branch.incarnation) == (state.key, state.incarnation) and branch.id != state.id
            if same and branch.base < seq <= branch.seq and self._knowledge.tip(branch, seq).startswith(digest):
                return max(branch.base, state.base) + 1
        return None
