"""The proof of a fork: one device signed two histories of one origin (protocol-v1 4.2, 4.6).

Two signed commits alone do not show it, because they may be at different seqs. What does: from one c at the base, the
events of each branch lead to another c at base + 1, and on to a c that the device has signed. All of it travels with
the branches themselves, so every device that holds both holds the proof.
"""

from __future__ import annotations

from typing import NamedTuple

from hcom_replica.core.chain import walk
from hcom_replica.core.origin import CommitRow, OriginState
from hcom_replica.core.reader import LogReader
from hcom_replica.errors import ProtocolError, StoreCorrupt
from hcom_replica.wire.signing import COMMIT, commit_digest, verify

_ONE_COMMIT: int = 1


class Branch(NamedTuple):
    """One of two histories that leave each other.

    Attributes:
        state: the origin that holds it.
        differing: c at base + 1.
        commit: the first that is kept above the base.
        sound: the events from the base lead to the commit's c, and the signature over it is the device's.
    """

    state: OriginState
    differing: bytes
    commit: CommitRow
    sound: bool


class ForkProof(NamedTuple):
    """Two branches of one incarnation, and the last c that they share.

    Attributes:
        base: seq of the last event that they share.
        shared: c at base.
        kept: the one with the smaller c at base + 1.
        derived: the one that became a derived origin there.
    """

    base: int
    shared: bytes
    kept: Branch
    derived: Branch

    @property
    def proven(self) -> bool:
        """Whether one key has signed both."""
        return self.kept.sound and self.derived.sound and self.kept.differing != self.derived.differing


def fork_proofs(log: LogReader, group: bytes) -> list[ForkProof]:
    """Collect and check the proof of each fork held, by derived origin.

    Args:
        log: to read.
        group: 16 bytes.

    Raises:
        StoreError: rows are missing.
    """
    states = log.origins()
    found = (_proof(log, group, state, states) for state in states if state.forks)
    return [proof for proof in found if proof is not None]


def _proof(log: LogReader, group: bytes, derived: OriginState, states: list[OriginState]) -> ForkProof | None:
    """The proof of one derived origin; None when nothing is held that it leaves."""
    base, shared = derived.base, log.tip_at(derived.id, derived.base)
    theirs = _branch(log, group, derived, base, shared)
    for state in states:
        same = (state.key, state.incarnation) == (derived.key, derived.incarnation)
        if same and state.base <= base < state.seq and log.tip_at(state.id, base) == shared:
            ours = _branch(log, group, state, base, shared)
            if ours.differing < theirs.differing:
                return ForkProof(base, shared, ours, theirs)
    return None


def _branch(log: LogReader, group: bytes, state: OriginState, base: int, shared: bytes) -> Branch:
    run = log.read_run(state.id, base + 1, _ONE_COMMIT)
    if run is None:
        raise StoreCorrupt(f"origin {state.id.hex()} holds nothing behind {base}")
    commit = run.commits[0]
    at_base, behind = (
        run.records[: base + 1 - run.first],
        run.records[base + 1 - run.first : commit.seq + 1 - run.first],
    )
    digest = commit_digest(state.root(group), commit.seq, commit.hlc, commit.cum, commit.tip)
    try:
        verify(state.key, COMMIT, digest, commit.signature)
        signed = True
    except ProtocolError:
        signed = False
    linked = walk(run.prev, at_base) == shared and walk(shared, behind) == commit.tip
    return Branch(state, walk(shared, behind[:1]), commit, signed and linked)
