"""The experiment behind `simulate`: what it reports, that a plan gives one report, and what it refuses."""

from __future__ import annotations

import pytest

from hcom_replica.errors import UsageError
from hcom_replica.testing.simulation import DEVICES_MAX, EVENTS_MAX, Plan, Simulation, simulate

SMALL = Plan(devices=4, events=40, loss=0.2, seed=3)


def test_simulate_of_a_small_group_converges_and_counts() -> None:
    report = simulate(SMALL)
    assert report.converged
    assert report.curve[-1][1] == 1.0
    assert [share for _, share in report.curve] == sorted(share for _, share in report.curve)
    assert report.redundancy is not None
    assert report.redundancy >= 1
    assert 0 < report.head_bytes_max < 400
    assert report.sent_bytes > report.sent_messages > 0
    assert report.gossip_rounds >= report.convergence_s


def test_simulate_with_the_same_plan_gives_the_same_report() -> None:
    assert simulate(SMALL) == simulate(SMALL)


def test_simulate_with_another_seed_gives_another_report() -> None:
    assert simulate(SMALL).curve != simulate(Plan(devices=4, events=40, loss=0.2, seed=4)).curve


def test_simulate_without_loss_receives_each_event_once() -> None:
    report = simulate(Plan(devices=2, events=10, loss=0.0, seed=1))
    assert report.converged
    assert report.redundancy == pytest.approx(1.0, abs=0.5)


def test_simulation_ends_with_equal_logs() -> None:
    simulation = Simulation(SMALL)
    simulation.run()
    assert len({simulation.cluster.digest(name) for name in simulation.cluster.devices}) == 1


def test_simulate_tells_its_progress() -> None:
    told: list[tuple[str, int, int]] = []
    simulate(SMALL, lambda *now: told.append(now))
    assert told
    assert told[-1][1] == told[-1][2]


@pytest.mark.parametrize(
    "plan",
    [
        Plan(1, 10, 0.0, 1),
        Plan(DEVICES_MAX + 1, 10, 0.0, 1),
        Plan(2, 0, 0.0, 1),
        Plan(2, EVENTS_MAX + 1, 0.0, 1),
        Plan(2, 10, -0.1, 1),
        Plan(2, 10, 0.95, 1),
        Plan(2, 10, float("nan"), 1),
    ],
)
def test_simulate_with_a_value_out_of_range_is_a_usage_error(plan: Plan) -> None:
    with pytest.raises(UsageError, match="cannot be simulated") as caught:
        simulate(plan)
    assert caught.value.hint.startswith("--")
