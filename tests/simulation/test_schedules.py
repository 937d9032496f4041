"""Random schedules: anything may happen to a group, then it is healed, and must come to rest with all that exists.

SCHEDULES=2000 runs more full ones, SHORT_SCHEDULES=100 fewer short ones. SEED=42 runs one, SEED=short:42 a short one,
SEED=redact:42 one with redactions, SEED=epoch:42 one with changes of the key, SEED=forge:42 one with a member who lies,
and prints what happened. Seeds that failed once are in seeds.txt. `search.py` looks for more.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hcom_replica.testing.checkers import Violation
from hcom_replica.testing.disk import RealDisks
from hcom_replica.testing.epochschedule import EpochSchedule
from hcom_replica.testing.faults import Kind
from hcom_replica.testing.forgingschedule import ForgingSchedule
from hcom_replica.testing.schedule import REDACTING, Schedule
from hcom_replica.testing.stage import Stage
from tests.simulation.mutants_log import commit_signature_not_checked, redaction_signature_not_checked
from tests.simulation.mutants_talk import Mutant, lag_without_heads, sender_signature_not_checked
from tests.simulation.search import search

SHORT = "short:"
REDACT = "redact:"
EPOCH = "epoch:"
FORGE = "forge:"
CHUNK = 25
KEPT = [line.split()[0] for line in (Path(__file__).parent / "seeds.txt").read_text().splitlines() if line[:1] != "#"]
FIRST = range(int(os.environ.get("SCHEDULES", "40")))
REDACTIONS = [f"{REDACT}{seed}" for seed in FIRST]
NAMES = [os.environ["SEED"]] if "SEED" in os.environ else list(dict.fromkeys([*KEPT, *map(str, FIRST), *REDACTIONS]))

SHORT_COUNT = int(os.environ.get("SHORT_SCHEDULES", "2000"))
SHORT_CHUNK = 100

BUSY = 6
"""Among so many busy schedules there is one for every act and every fault."""


@pytest.mark.parametrize("name", NAMES)
def test_schedule_healed_comes_to_rest_with_all_that_exists(name: str) -> None:
    """S9, P3.10: no body of what a device has the word for, and in the end the same bytes everywhere."""
    schedule = schedule_of(name)
    try:
        outcome = schedule.run()
    except Violation as violation:
        pytest.fail(f"seed {name}: {violation}\n" + told(schedule.stage, last=200))
    if "SEED" in os.environ:
        print(told(schedule.stage, last=10_000), outcome, sep="\n")  # noqa: T201 - it was asked for


def schedule_of(name: str) -> Schedule:
    """The schedule that a seed's name stands for."""
    seed = int(name.rpartition(":")[2])
    if name.startswith(SHORT):
        return Schedule.short(seed)
    if name.startswith(EPOCH):
        return EpochSchedule.brief(seed)
    if name.startswith(FORGE):
        return ForgingSchedule.brief(seed)
    return Schedule.redacting(seed) if name.startswith(REDACT) else Schedule(seed)


@pytest.mark.slow
@pytest.mark.skipif("SEED" in os.environ, reason="one schedule was asked for")
@pytest.mark.parametrize("first", range(0, SHORT_COUNT, SHORT_CHUNK))
def test_short_schedules_come_to_rest_too(first: int) -> None:
    found = search(range(first, first + SHORT_CHUNK))
    assert found.failed == {}
    assert found.counted > 0.9 * SHORT_CHUNK, "most are long enough, and bad enough"


@pytest.mark.slow
@pytest.mark.skipif("SEED" in os.environ, reason="one schedule was asked for")
@pytest.mark.parametrize("first", range(0, 4 * CHUNK, CHUNK))
def test_groups_that_revoke_devices_and_change_their_key_come_to_rest_too(first: int) -> None:
    """P12.7, P12.8, P12.10, P12.11, P12.15"""
    found = search(range(first, first + CHUNK), kind="epoch")
    assert found.failed == {}
    assert found.happened["revoke"]
    assert found.happened["rotate"]


@pytest.mark.slow
@pytest.mark.skipif("SEED" in os.environ, reason="one schedule was asked for")
@pytest.mark.parametrize("first", range(0, 4 * CHUNK, CHUNK))
def test_groups_with_a_member_who_lies_come_to_rest_too(first: int) -> None:
    """P5.4, P6.1, P6.4, P7.3: whatever it says, and whatever an outsider writes to the topics"""
    found = search(range(first, first + CHUNK), kind="forge")
    assert found.failed == {}
    assert found.happened["lie"]
    assert found.happened["plant"]


def test_schedule_run_twice_is_the_same_run() -> None:
    runs = [Schedule(3), Schedule(3)]
    assert runs[0].run() == runs[1].run()
    assert told(runs[0].stage, last=10_000) == told(runs[1].stage, last=10_000)


@pytest.mark.parametrize("seed", range(6))
def test_schedule_on_real_disks_is_the_same_run(seed: int, tmp_path: Path) -> None:
    """The store in memory stands for LMDB: what devices do does not depend on which of them they have."""
    with RealDisks(tmp_path) as disks:
        runs = [Schedule.short(seed), Schedule.short(seed, disks)]
        assert runs[0].run() == runs[1].run()
        assert told(runs[0].stage, last=10_000) == told(runs[1].stage, last=10_000)


def test_schedule_of_devices_that_hide_their_lag_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """S7: the checker can fail"""
    lag_without_heads(monkeypatch)
    assert any(why.startswith("S7") for why in search(range(5)).failed.values())


@pytest.mark.parametrize(
    "defence", [sender_signature_not_checked, commit_signature_not_checked, redaction_signature_not_checked]
)
def test_schedules_of_devices_that_believe_a_liar_are_violations(
    defence: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    defence(monkeypatch)
    assert any(search([seed], kind="forge").failed for seed in range(CHUNK))


def test_schedules_do_and_suffer_everything_there_is() -> None:
    unseen = {*REDACTING, *(kind.value for kind in Kind), "full", "before-commit", "after-commit"}
    for seed in range(BUSY):
        outcome = Schedule(seed, steps=100, faults=300, table=REDACTING).run()
        unseen -= {*outcome.acts, *outcome.faults}
        if not unseen:
            return
    assert unseen == set()


def told(stage: Stage, *, last: int) -> str:
    """The newest lines of what happened."""
    return "\n".join(
        f"{ms / 1000:9.3f} {name} {trace.event} {dict(trace.fields)}" for ms, name, trace in stage.world.traces[-last:]
    )
