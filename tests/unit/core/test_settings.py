"""The defaults are the numbers that the protocol states."""

from __future__ import annotations

from hcom_replica.core.settings import Settings
from hcom_replica.limits import MESSAGE_BYTES_MAX

USUAL = Settings()


def test_times_of_heads_and_vectors_are_those_of_the_protocol() -> None:
    """P7.4, P7.5"""
    assert (USUAL.head_first_ms, USUAL.head_busy_ms_max, USUAL.head_idle_ms) == (250, 5_000, 300_000)
    assert USUAL.head_repeats_ms == (5_000, 30_000, 120_000)
    assert USUAL.vector_budget_bytes_s == 1_000


def test_times_of_asking_are_those_of_the_protocol() -> None:
    """P7.1, P7.3, P7.7, P7.8, P7.9"""
    assert (USUAL.fence_grace_ms, USUAL.slot_guard_ms) == (500, 10_000)
    assert (USUAL.ask_ms_min, USUAL.ask_ms_max) == (200, 1_000)
    assert (USUAL.pull_ms_min, USUAL.pull_ms_quick) == (3_000, 1_000)
    assert USUAL.lease_ms == 7 * 24 * 3_600_000


def test_numbers_of_live_and_mailbox_are_those_of_the_protocol() -> None:
    """P7.6, P8.1, P8.2, P8.5, P8.10"""
    assert (USUAL.live_window_bytes, USUAL.live_window_ms, MESSAGE_BYTES_MAX) == (60 << 10, 1_000, 60 << 10)
    assert (USUAL.mailbox_slots, USUAL.due_ms, USUAL.ring_ms) == (32, 2_000, 30_000)
    assert (USUAL.clear_after_connect_ms, USUAL.nudge_ms) == (30_000, 60_000)


def test_ranges_are_not_turned_round() -> None:
    assert USUAL.ask_ms_min < USUAL.ask_ms_max
    assert USUAL.pull_ms_quick < USUAL.pull_ms_min < USUAL.pull_ms_max
    assert USUAL.window_bytes_min <= USUAL.window_bytes_first <= USUAL.window_bytes_max
    assert USUAL.message_bytes_max <= USUAL.window_bytes_min, "a window has room for a whole message"
