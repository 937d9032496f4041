"""How many questions it takes to find where two histories of one origin part (P4.8, P4.9)."""

from __future__ import annotations

from math import log2

import pytest

from hcom_replica.core.settings import Settings
from hcom_replica.testing.cluster import Cluster
from hcom_replica.wire.event import Draft


def parted(shared: int, apart: int) -> Cluster:
    """A machine that was put back as a whole, and another that has what it wrote before; both wrote as much since.

    Answers are small: what both have beyond where the questions have gone back to does not come with one of them.
    """
    small = Settings(window_bytes_first=32 << 10, window_bytes_min=32 << 10, window_bytes_max=32 << 10)
    group = Cluster(7, ["A", "B"], settings=small)
    write(group, shared)
    assert group.run_until_converged()
    early = group.snapshot("A")
    write(group, apart)
    assert group.run_until_converged()
    group.stop("A", "B")
    group.broker.restart({}, down_ms=0)
    group["A"].use_disk(early.clone())
    write(group, apart)
    group.world.traces.clear()
    return group


def write(group: Cluster, events: int) -> None:
    """A writes so many, a thousand at a time."""
    bodies = [group.scheduler.random.randbytes(100) for _ in range(events)]
    for at in range(0, events, 1_000):
        group.append("A", [Draft("test", "a", None, body) for body in bodies[at : at + 1_000]])


@pytest.mark.parametrize(("shared", "apart"), [(50, 100), (5_000, 4_000), (20_000, 7_000), (500, 12_000)])
def test_first_difference_is_found_in_a_logarithmic_number_of_questions(shared: int, apart: int) -> None:
    """P4.9"""
    group = parted(shared, apart)
    origin = group.own("A").id.hex()
    for name in ("A", "B"):
        group[name].start()
    assert group.run_until_converged()
    for name in ("A", "B"):
        (derived,) = [state for state in group[name].log.origins() if state.forks]
        assert derived.base == shared + 1, "its hello, and what both have"
        asked, traces = 0, [trace for _, device, trace in group.world.traces if device == name]
        for trace in traces:
            if trace.event == "fork":
                break
            asked += trace.event == "ask" and ("origin", origin) in trace.fields
        assert 0 < asked <= log2(apart) + 1
