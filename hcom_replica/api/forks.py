"""`forks`: for each fork, the two signed histories of one origin that prove it."""

from __future__ import annotations

import msgspec

from hcom_replica.api.replica import Replica
from hcom_replica.core.proof import Branch, fork_proofs


class SignedCommit(msgspec.Struct, frozen=True):
    """What a device has signed of one branch; bytes in hexadecimal.

    Attributes:
        origin: the origin that holds the branch.
        seq: of the commit.
        hlc: of the event at seq.
        cum_bytes: encoded bytes of events 1 to seq.
        c: c at seq.
        signature: over these (protocol-v1 P4.2).
        differing: c at the seq behind the base, where the branches differ first.
        verified: the events behind the base lead to c, and the signature is the device's.
    """

    origin: str
    seq: int
    hlc: int
    cum_bytes: int
    c: str
    signature: str
    differing: str
    verified: bool


class Fork(msgspec.Struct, frozen=True):
    """One fork.

    Attributes:
        device: name of the device whose key has signed both branches.
        key: its public key, 64 hex digits.
        incarnation: 24 hex digits.
        base: seq of the last event that both share.
        c: c at base.
        kept: the branch that keeps the origin's id.
        derived: the other.
        proven: both are verified, and they differ.
    """

    device: str
    key: str
    incarnation: str
    base: int
    c: str
    kept: SignedCommit
    derived: SignedCommit
    proven: bool


def forks(replica: Replica) -> list[Fork]:
    """All forks held here, with their proofs checked: every device that holds the branches finds the same ones.

    Which commits prove them may differ between devices, because each keeps as few as it needs.

    Raises:
        StoreError: the log cannot be read.
    """
    group = replica.parts.token.keys.group
    return [
        Fork(
            replica.names.shown(proof.derived.state.id),
            proof.derived.state.key.hex(),
            proof.derived.state.incarnation.hex(),
            proof.base,
            proof.shared.hex(),
            _signed(proof.kept),
            _signed(proof.derived),
            proof.proven,
        )
        for proof in fork_proofs(replica.log, group)
    ]


def _signed(branch: Branch) -> SignedCommit:
    row = branch.commit
    return SignedCommit(
        branch.state.id.hex(),
        row.seq,
        row.hlc,
        row.cum,
        row.tip.hex(),
        row.signature.hex(),
        branch.differing.hex(),
        branch.sound,
    )
