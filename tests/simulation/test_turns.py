"""Devices that take turns and never meet again: each visit brings them on, forks and restored disks or not."""

from __future__ import annotations

import pytest

from hcom_replica.testing.shared import shared_checks
from hcom_replica.testing.turns import Turns

COUNT = 60
CHUNK = 10


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, COUNT, CHUNK))
def test_devices_never_online_together_come_to_hold_the_same(first: int) -> None:
    """L2"""
    with shared_checks():
        for seed in range(first, first + CHUNK):
            Turns(seed).run()


def test_branch_that_parts_where_another_does_takes_nobodys_place() -> None:
    """S1, P4.6: the seed that showed rows of a log written over"""
    Turns(97).run()


def test_ring_that_holds_what_is_held_says_nothing_of_where_another_history_begins() -> None:
    """P4.9, L2: the seed in which a standing want began behind that, and the ring that answered was full"""
    Turns(297).run()
