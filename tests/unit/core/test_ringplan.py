"""What a mailbox ring is to hold next where branches of an origin are asked for (P8.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from hcom_replica.core.demand import Demand
from hcom_replica.core.ring import Need, RingRun, Step
from hcom_replica.core.ringplan import RingPlan
from hcom_replica.ids import OriginId
from hcom_replica.wire.frame import Kind
from hcom_replica.wire.messages import Ack
from tests.unit.core.builders import Device, Parts, at, forked_short

OWN, ROOT, BRANCH = (OriginId(name) for name in (b"own-----", b"root----", b"branch--"))
SLOTS = 4


@dataclass
class Wanted:
    """A demand of which only these matter."""

    needs: list[Need]
    low: int = 0
    own: Any = field(default_factory=lambda: SimpleNamespace(id=OWN, seq=0))
    others: list[RingRun] = field(default_factory=list)

    def forks_from(self, origin: OriginId) -> OriginId | None:
        return ROOT if origin == BRANCH else None

    def raw_after(self, seq: int) -> int:
        return 0


def plan(needs: list[Need], runs: list[RingRun]) -> Step | None:
    return RingPlan(cast("Demand", Wanted(needs)), SLOTS, {}).next(runs)


BRANCH_RUNS = [RingRun(BRANCH, 6, 50, 1_000, (0,)), RingRun(BRANCH, 51, 100, 1_000, (1,))]
ROOT_NEED, BRANCH_NEED = Need(ROOT, 0, 300, contested=True), Need(BRANCH, 5, 100)


def test_branch_makes_way_for_what_it_forks_from() -> None:
    """P4.6, P8.3: who lacks the one can do nothing with the other"""
    step = plan([ROOT_NEED, BRANCH_NEED], BRANCH_RUNS)
    assert step is not None
    assert (step.origin, step.first) == (ROOT, 1)


def test_branch_stays_where_what_it_forks_from_is_there_or_not_asked_for() -> None:
    assert plan([BRANCH_NEED], BRANCH_RUNS) is None
    there = RingRun(ROOT, 1, 300, 1_000, (2,))
    assert plan([ROOT_NEED, BRANCH_NEED], [*BRANCH_RUNS, there]) is None


def test_what_branches_fork_from_is_needed_first() -> None:
    """P8.3: even if whoever asks for it claims more of it than is held here"""
    boxe, twin = forked_short()
    twin.send_to(boxe)
    parts, nova = Parts(boxe), Device("NOVA")
    nova.append()
    parts.knowledge.reload()
    derived = next(state for state in boxe.log.origins() if state.forks)
    root = next(state for state in boxe.log.origins() if not state.forks and state.generation == 1)
    parts.hear(nova, Kind.HEAD, nova.head())
    parts.hear(nova, Kind.VECTOR, nova.vector(entries={root.id: Ack(root.seq + 99, b"another!")}))
    needs = Demand(parts.knowledge, boxe.own, at(0)).needs
    assert [need.origin for need in needs] == [root.id, derived.id]
