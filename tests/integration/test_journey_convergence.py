"""The main job: three devices with real daemons, every pair disconnected at some time, one history in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcom_replica.testing.real.brokers import PrivateBroker
from tests.harness.corpus import ATUIN, AUTOMERGE, COUNTS, write_history
from tests.harness.group import Group, assert_equal_histories

pytestmark = pytest.mark.slow
SLOW_BYTES_S = 150_000


def test_three_devices_after_every_kind_of_disconnect_hold_the_same_bytes(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    """L1"""
    first, second = write_history(tmp_path, ATUIN), write_history(tmp_path, AUTOMERGE)
    with Group(tmp_path, own_broker) as group:
        a, b, c = (group.add(name) for name in ("BOXA", "BOXB", "BOXC"))

        # The link of C is cut in the middle of a transfer: C is away from A and from B.
        c.network.limit(down_bytes_s=SLOW_BYTES_S)
        assert a.write(first) == COUNTS[ATUIN]
        c.wait_for_events(1, more=True)
        c.network.cut()
        assert 0 < c.count() < COUNTS[ATUIN]

        # The daemon of A is stopped, and B writes: A and B are away from each other.
        a.stop()
        assert b.write(second) == COUNTS[AUTOMERGE]
        c.network.heal()
        c.wait_for_events(c.count() + 1, more=True)

        # The daemon of B is killed, and comes back to a broker that was killed, too, and has nothing saved.
        b.kill()
        a.start()
        own_broker.kill()
        own_broker.restart(forget=True)
        b.start()
        c.network.limit()

        total = sum(COUNTS.values())
        for laptop in (a, b, c):
            laptop.wait_for_events(total)
        assert_equal_histories([a, b, c], total)
