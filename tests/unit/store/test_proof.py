"""The proof of a fork is held by every device that holds both branches (protocol-v1 P4.2, P4.6)."""

from __future__ import annotations

from typing import cast

import msgspec
import pytest

from hcom_replica.core.origin import OriginState
from hcom_replica.core.proof import ForkProof, fork_proofs
from hcom_replica.core.reader import LogReader, StoredRun
from hcom_replica.errors import StoreCorrupt
from hcom_replica.ids import OriginId
from hcom_replica.store.log import Log
from hcom_replica.wire.signing import COMMIT, commit_digest, verify
from tests.unit.store.devices import GROUP, Device, converge, send


def clones(*bodies: str, count: int = 2) -> list[Device]:
    """A device cloned when it held "a"; each clone has written on, a different number of commits."""
    device = Device("BOXE")
    device.emit("a")
    twins = [device.clone(draw=10 + number) for number in range(len(bodies))]
    for number, (twin, body) in enumerate(zip(twins, bodies, strict=True)):
        for event in range(count + number):
            twin.emit(f"{body}{event}")
    return twins


def summary(proof: ForkProof) -> tuple[object, ...]:
    """All of a proof that must not differ between devices."""
    branches = [(one.state.id, one.differing, one.commit.seq, one.commit.tip) for one in (proof.kept, proof.derived)]
    return (proof.base, proof.shared, branches, proof.proven)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_fork_is_proven_by_two_signatures_over_different_histories(order: tuple[int, int]) -> None:
    """P4.2, P4.6"""
    twins, witness = clones("x", "y"), Device("NOVA")
    for place in order:
        send(twins[place], witness)
    (proof,) = fork_proofs(witness.log, GROUP)
    assert proof.proven
    assert proof.base == 2
    assert proof.kept.differing < proof.derived.differing
    for branch in (proof.kept, proof.derived):
        row, state = branch.commit, branch.state
        assert row.seq > proof.base
        digest = commit_digest(state.root(GROUP), row.seq, row.hlc, row.cum, row.tip)
        verify(twins[0].writer.device.public, COMMIT, digest, row.signature)
    assert proof.derived.differing == proof.derived.state.forks[0].link


def test_proofs_are_there_on_all_devices() -> None:
    devices = [*clones("x", "y", "z"), Device("NOVA"), Device("CALM")]
    converge(devices)
    found = [[summary(proof) for proof in fork_proofs(device.log, GROUP)] for device in devices]
    assert len(found[0]) == 2
    assert all(one[-1] for entry in found for one in entry)
    names = [[(one[0], one[1], [branch[:2] for branch in one[2]]) for one in entry] for entry in found]  # type: ignore[attr-defined]
    assert all(one == names[0] for one in names)


def test_fork_of_a_fork_is_proven_against_the_branch_that_it_leaves() -> None:
    one, two = clones("x", "y")
    for device in (one, two):
        device.emit("behind all forks")
    deep = [two.clone(draw=30), two.clone(draw=31), one.clone(draw=32), one]
    for number, device in enumerate(deep):
        device.emit(f"deep{number}")
    witness = Device("NOVA")
    for device in deep:
        send(device, witness)
    converge([witness, *deep])
    proofs = fork_proofs(witness.log, GROUP)
    assert len(proofs) == 3
    assert all(proof.proven for proof in proofs)
    assert len({proof.base for proof in proofs}) >= 2
    for proof in proofs:
        assert witness.log.tip_at(proof.kept.state.id, proof.base) == proof.shared


def test_no_fork_has_no_proof() -> None:
    device = Device("BOXE")
    device.emit("a")
    assert fork_proofs(device.log, GROUP) == []


class Cut:
    """A log that lacks something, as no log does that keeps its promises."""

    def __init__(self, log: Log, *, kept: bool) -> None:
        self._log = log
        self._kept = kept

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    def origins(self) -> list[OriginState]:
        return [state for state in self._log.origins() if self._kept or state.forks]

    def read_run(self, origin: OriginId, first: int, raw_bytes_max: int) -> StoredRun | None:
        return None if self._kept else self._log.read_run(origin, first, raw_bytes_max)


def test_branch_without_the_one_that_it_leaves_has_no_proof() -> None:
    witness = Device("NOVA")
    for twin in clones("x", "y"):
        send(twin, witness)
    assert fork_proofs(cast("LogReader", Cut(witness.log, kept=False)), GROUP) == []
    with pytest.raises(StoreCorrupt, match="holds nothing behind 2"):
        fork_proofs(cast("LogReader", Cut(witness.log, kept=True)), GROUP)


class Tampered:
    """A log, one of whose branches was changed on disk."""

    def __init__(self, log: Log, origin: OriginId, *, signature: bool) -> None:
        self._log = log
        self._origin = origin
        self._signature = signature

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    def read_run(self, origin: OriginId, first: int, raw_bytes_max: int) -> StoredRun | None:
        run = self._log.read_run(origin, first, raw_bytes_max)
        if run is None or origin != self._origin:
            return run
        if self._signature:
            forged = run.commits[0]._replace(signature=bytes(64))
            return msgspec.structs.replace(run, commits=[forged, *run.commits[1:]])
        return msgspec.structs.replace(run, records=[run.records[0][:-1] + b"!", *run.records[1:]])


@pytest.mark.parametrize("signature", [True, False])
def test_branch_that_was_changed_proves_nothing(*, signature: bool) -> None:
    twins, witness = clones("x", "y"), Device("NOVA")
    for twin in twins:
        send(twin, witness)
    (proof,) = fork_proofs(witness.log, GROUP)
    changed = cast("LogReader", Tampered(witness.log, proof.derived.state.id, signature=signature))
    found = fork_proofs(changed, GROUP)
    assert all(not one.proven for one in found)
