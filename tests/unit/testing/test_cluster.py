"""The simulated cluster: what its methods do to devices, and that a seed names a run."""

from __future__ import annotations

import pytest

from hcom_replica.errors import StoreFull, UsageError
from hcom_replica.store.memory_kv import Moment
from hcom_replica.testing.cluster import Cluster, device_names


def quiet(cluster: Cluster) -> Cluster:
    assert cluster.run_until_quiet(), f"seed {cluster.scheduler.seed}: lags {cluster.lags()}, mail {cluster.mail()}"
    assert len({cluster.digest(name) for name in cluster.devices}) == 1
    return cluster


def test_devices_that_are_online_converge() -> None:
    cluster = Cluster(1, 3)
    cluster.append("A", 10)
    cluster.append("B", 20)
    assert len(quiet(cluster).held("C")) == 30


def test_seed_names_a_run() -> None:
    def run() -> tuple[list[object], str]:
        cluster = Cluster(7, 3)
        cluster.append("A", 10)
        cluster["B"].crash_before_effect(5)
        cluster.run(5_000)
        cluster["B"].start()
        quiet(cluster)
        return [*cluster.world.traces], cluster.digest("A")

    assert run() == run()


def test_append_without_a_wake_is_noticed() -> None:
    cluster = quiet(Cluster(2, 2))
    cluster.append("A", poke=False)
    assert len(quiet(cluster).held("B")) == 1


def test_offline_device_works_on_and_catches_up() -> None:
    cluster = quiet(Cluster(3, 2))
    cluster.offline("B")
    cluster.append("A", 5)
    cluster.append("B", 5)
    cluster.run(60_000)
    assert not cluster.converged()
    cluster.online("B")
    assert len(quiet(cluster).held("A")) == 10


def test_stopped_device_appends_and_sends_when_started() -> None:
    cluster = quiet(Cluster(4, 2))
    cluster.stop("A")
    assert not cluster["A"].running
    assert len(cluster.append("A", 3)) == 3
    cluster["A"].start()
    assert len(quiet(cluster).held("B")) == 3


def test_crash_before_each_effect_is_recovered_from() -> None:
    for count in range(1, 15):
        cluster = Cluster(count, 2)
        cluster["A"].crash_before_effect(count)
        ids = cluster.append("A", 3)
        cluster.run(2_000)
        cluster["A"].start()
        assert {event.seq for event in ids} <= {event.seq for event in quiet(cluster)["B"].log.events()}


@pytest.mark.parametrize(("moment", "kept"), [(Moment.BEFORE_COMMIT, 0), (Moment.AFTER_COMMIT, 1)])
def test_appender_that_dies_at_its_commit_has_acknowledged_nothing(moment: Moment, kept: int) -> None:
    cluster = Cluster(5, ["A"])
    cluster.run(100)
    cluster["A"].crash()
    cluster["A"].disk.crash(moment)
    assert cluster.append("A") == []
    assert len(cluster.held("A")) == kept
    assert cluster["A"].disk.hits[moment.value] == 1


def test_full_disk_refuses_appends_and_heals_when_there_is_room() -> None:
    cluster = quiet(Cluster(6, 2))
    cluster["B"].disk.full = True
    with pytest.raises(StoreFull):
        cluster.append("B")
    cluster.append("A", 5)
    cluster.run(30_000)
    assert not cluster.held("B")
    cluster["B"].disk.full = False
    assert len(quiet(cluster).held("B")) == 5


def test_restored_disk_gets_its_lost_events_back() -> None:
    cluster = Cluster(8, 2)
    cluster.append("A", 5)
    snapshot = quiet(cluster).snapshot("A")
    cluster.append("A", 5)
    quiet(cluster).restore("A", snapshot)
    cluster.append("A", 1)
    assert len(quiet(cluster).held("A")) == 11


def test_clone_has_the_same_key_and_log_and_another_name_in_the_world() -> None:
    cluster = Cluster(9, 2)
    cluster.append("A", 5)
    twin = quiet(cluster).clone("A", "TWIN")
    assert twin.key is cluster["A"].key
    assert not twin.running
    assert cluster.digest("TWIN") == cluster.digest("A")


def test_skewed_clock_is_what_the_device_sees() -> None:
    cluster = Cluster(10, 2, skew_ms={"B": 3_600_000})
    assert cluster["B"].now.wall_ms - cluster["A"].now.wall_ms == 3_600_000


def test_device_that_does_not_run_has_no_machine() -> None:
    cluster = Cluster(11, 1)
    cluster["A"].crash()
    with pytest.raises(UsageError):
        _ = cluster["A"].machine


def test_names_of_many_devices_differ() -> None:
    assert device_names(28)[24:] == ["Y", "Z", "D26", "D27"]
    assert len(set(device_names(100))) == 100
