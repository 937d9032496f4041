"""The stable order in virtual time: who is let in, who is waited for, and that what was read stays (section 13)."""

from __future__ import annotations

import pytest

from hcom_replica.core import frontier as frontier_module
from hcom_replica.core.frontier import Frontier
from hcom_replica.core.hello import RETIRE, Retire, system_draft
from hcom_replica.core.settings import Settings
from hcom_replica.ids import order_key
from hcom_replica.store.stable import stable_events
from hcom_replica.testing import stablewatch
from hcom_replica.testing.cluster import MINUTE_MS, Cluster
from hcom_replica.testing.device import Device
from hcom_replica.testing.stablewatch import judged
from hcom_replica.wire.event import is_system
from hcom_replica.wire.signing import device_id
from tests.simulation.search import search

FAILED_ONCE = (3, 6, 12, 40, 44, 1108, 2060)
DAY_MS = 24 * 3_600_000


def founded(devices: int = 3, settings: Settings | None = None) -> Cluster:
    """A group whose devices have all written and been let in."""
    cluster = Cluster(11, devices, founded=True, settings=settings)
    for name in cluster.devices:
        cluster.append(name)
    assert cluster.run_until(lambda: all(reached(cluster[name]) for name in cluster.devices), MINUTE_MS)
    assert cluster.run_until_quiet()
    return cluster


def reached(device: Device) -> int:
    """Virtual ms up to which a device's stream is final; 0 while it has none."""
    _, key = judged(device)
    return 0 if key is None else int.from_bytes(key[:8], "big") >> 16


def stream(device: Device) -> list[tuple[str, int, bool]]:
    """(origin, seq, late) of what is stable on a device, system events left out."""
    roster, key = judged(device)
    found = stable_events(device.log, roster, key or b"")
    system = {(origin, seq) for origin, seq, event in device.log.system_events() if is_system(event.kind)}
    return [
        (one.event.origin.hex(), one.event.seq, one.late)
        for one in found
        if (one.event.origin, one.event.seq) not in system
    ]


def retire(cluster: Cluster, by: str, gone: str) -> None:
    key = cluster[gone].key.public
    last = {state.id.hex(): state.seq for state in cluster[by].log.origins() if state.key == key}
    cluster.append(by, [system_draft(RETIRE, Retire(device_id(key).hex(), last))])


def test_device_that_is_away_holds_the_frontier_until_it_is_retired() -> None:
    """P13.4, P13.6, P13.7: what it wrote meanwhile stands where it is let in anew, on all devices alike"""
    cluster = founded()
    cluster["C"].crash()
    (unsent,) = cluster.append("C")
    cluster.run(10 * MINUTE_MS)
    held = reached(cluster["A"])
    cluster.append("A", 3)
    cluster.run(10 * MINUTE_MS)
    assert reached(cluster["A"]) == held, "C may have written anything since"
    retire(cluster, "B", "C")
    cluster.run(10 * MINUTE_MS)
    before = stream(cluster["A"])
    assert reached(cluster["A"]) > held + 15 * MINUTE_MS
    cluster["C"].start()
    assert cluster.run_until(lambda: (unsent.origin.hex(), unsent.seq, True) in stream(cluster["C"]), 10 * MINUTE_MS)
    assert cluster.run_until_quiet()
    cluster.run(10 * MINUTE_MS)
    assert cluster.own("C").generation == 2
    after = [stream(cluster[name]) for name in "ABC"]
    assert after[0] == after[1] == after[2]
    assert after[0][: len(before)] == before
    assert len(after[0]) == 7


def test_device_not_heard_of_for_the_lease_is_retired() -> None:
    """P13.8"""
    cluster = founded(settings=Settings(frontier_lease_ms=DAY_MS))
    cluster["C"].crash()
    cluster.run(DAY_MS - 30 * MINUTE_MS)
    held = reached(cluster["A"])
    cluster.run(60 * MINUTE_MS)
    assert reached(cluster["B"]) > held + DAY_MS // 2
    retirements = [event for _, _, event in cluster["A"].log.system_events() if event.kind == RETIRE]
    assert len(retirements) == 1, "by the most senior device alone"


def test_seeds_that_failed_once_pass() -> None:
    """S10, P13.3, P13.4"""
    assert search(FAILED_ONCE, kind="stable").failed == {}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 160, 20))
def test_streams_that_devices_read_while_all_goes_wrong_agree(first: int) -> None:
    """S10, P13.3, P13.9"""
    found = search(range(first, first + 20), kind="stable")
    assert found.failed == {}
    assert found.happened["retire"]


def test_devices_that_believe_a_promise_too_much_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """S10: the checker can fail"""
    honest = frontier_module.find_frontier

    def rash(*given: object) -> Frontier:
        found = honest(*given)  # type: ignore[arg-type]
        return (
            found
            if found.key is None or found.hlc is None
            else found._replace(
                key=order_key(found.hlc + (5_000 << 16), found.held_by or b"")  # type: ignore[arg-type]
            )
        )

    monkeypatch.setattr(stablewatch, "find_frontier", rash)
    assert any(why.startswith("S10") for why in search(range(8), kind="stable").failed.values())
