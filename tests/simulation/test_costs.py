"""What it costs, in virtual time: bytes received for bytes needed, and what a group that does nothing sends."""

from __future__ import annotations

import pytest

from hcom_replica.testing.cluster import MINUTE_MS, Cluster
from hcom_replica.testing.pipe import Profile
from hcom_replica.testing.simulation import Plan, simulate
from hcom_replica.wire.event import Draft

SLOW = Profile(down_bytes_per_s=250_000, up_bytes_per_s=250_000)
HOLDERS = ("A", "B", "C", "D", "E")


class CatchUp:
    """Devices that went away one after the other, while events went on being written, and come back together.

    Args:
        holders: devices that stay; the first writes.
        askers: name -> its network.
        events: written after each departure, of half a kilobyte that no compression makes small.
        seed: names the run.
    """

    def __init__(self, holders: tuple[str, ...], askers: dict[str, Profile], events: int, seed: int = 7) -> None:
        self.cluster = cluster = Cluster(seed, holders)
        for name, profile in askers.items():
            cluster.join(name, profile=profile).start()
        for name in cluster.devices:
            cluster.append(name)
        assert cluster.run_until_quiet()
        for name in askers:
            cluster.offline(name)
            noise = cluster.scheduler.random
            cluster.append(holders[0], [Draft("test", None, None, noise.randbytes(512)) for _ in range(events)])
            cluster.run(20_000)
        assert cluster.run_until_converged(names=holders)
        self._before = {name: self._received(name) for name in askers}
        self._needed = sum(cluster.own(holders[0]).cum - self._held(name, holders[0]) for name in askers)
        cluster.online(*askers)
        assert cluster.run_until_converged()

    def redundancy(self) -> float:
        """Bytes of events that the askers received, by the bytes that they lacked."""
        return sum(self._received(name) - before for name, before in self._before.items()) / self._needed

    def _received(self, name: str) -> int:
        return self.cluster[name].machine.live_info().counters.get("event bytes", 0)

    def _held(self, name: str, writer: str) -> int:
        states = {state.id: state for state in self.cluster[name].log.origins()}
        return states[self.cluster.own(writer).id].cum


def test_catch_up_of_one_device_brings_hardly_anything_twice() -> None:
    assert 1.0 <= CatchUp(HOLDERS, {"Q1": Profile()}, 20_000).redundancy() <= 1.05


@pytest.mark.slow
def test_catch_up_of_five_devices_at_different_places_one_of_them_slow_brings_little_twice() -> None:
    """P6.6, P7.7: each hears the answers to what it lacks."""
    askers = {f"Q{number}": Profile() for number in range(4)} | {"SLOW": SLOW}
    for seed in (7, 8, 9, 11):
        assert 1.0 <= CatchUp(HOLDERS, askers, 4_000, seed).redundancy() <= 1.2, f"seed {seed}"


@pytest.mark.slow
def test_group_that_starts_empty_on_links_that_lose_brings_little_twice() -> None:
    """P7.7, P7.8: what is lost is asked for again; what the others have got meanwhile they are not to get again."""
    for seed in (1, 2):
        report = simulate(Plan(devices=30, events=1_000, loss=0.2, seed=seed))
        assert report.converged
        assert report.redundancy is not None
        assert report.redundancy <= 1.25, f"seed {seed}"
        assert report.convergence_s < 15, f"seed {seed}"


def test_group_of_ten_that_does_nothing_costs_each_device_a_kibibyte_a_minute_at_most() -> None:
    """P7.4, P7.5"""
    cluster = Cluster(3, 10)
    for name in cluster.devices:
        cluster.append(name)
    assert cluster.run_until_quiet()
    cluster.run(10 * MINUTE_MS)
    tallies = [cluster.broker.traffic.owner(name) for name in cluster.devices]
    before = [tally.bytes_in + tally.bytes_out for tally in tallies]
    cluster.run(60 * MINUTE_MS)
    spent = [tally.bytes_in + tally.bytes_out - was for tally, was in zip(tallies, before, strict=True)]
    assert 0 < max(spent) / 60 <= 1024
