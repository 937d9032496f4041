"""Numbers of the replica machine that a person may change, and those that only tests change. Units are last."""

from __future__ import annotations

import msgspec

from hcom_replica.limits import MAILBOX_SLOTS, MESSAGE_BYTES_MAX


class Settings(msgspec.Struct, frozen=True):
    """Settings of one device. The defaults are those of protocol-v1 sections 7 and 8."""

    mailbox_slots: int = MAILBOX_SLOTS
    message_bytes_max: int = MESSAGE_BYTES_MAX
    durable: bool = True
    """False when the store does not sync: our vector then acknowledges nothing."""

    fence_grace_ms: int = 500
    fence_timeout_ms: int = 15_000
    fence_again_ms: int = 2_000
    head_first_ms: int = 250
    head_busy_ms_max: int = 5_000
    head_repeats_ms: tuple[int, ...] = (5_000, 30_000, 120_000)
    head_idle_ms: int = 300_000
    vector_budget_bytes_s: int = 1_000
    vector_burst_bytes: int = 60_000
    """What all devices together may say at once, when all have changed."""

    vector_ms_min: int = 500
    live_window_bytes: int = MESSAGE_BYTES_MAX
    live_window_ms: int = 1_000
    ask_ms_min: int = 200
    ask_ms_max: int = 1_000
    window_bytes_first: int = 256 << 10
    window_bytes_min: int = 64 << 10
    window_bytes_max: int = 2 << 20
    pulls_max: int = 4
    pull_ms_min: int = 3_000
    pull_ms_quick: int = 1_000
    """The least that a source is given where answers come quickly; `pull_ms_min` is what it is given at first."""

    pull_ms_max: int = 30_000
    fills_in_flight: int = 8
    slot_read_ms: int = 3_000
    source_retry_ms: int = 30_000
    online_ms: int = 90_000
    standing_after_ms: int = 2_000
    lease_ms: int = 7 * 24 * 3_600_000
    frontier_lease_ms: int = 30 * 24 * 3_600_000
    """A device not heard from for so long is retired, so that the stable order waits for it no more."""

    due_ms: int = 2_000
    ring_ms: int = 30_000
    ring_idle_ms: int = 10_000
    ring_small_bytes: int = 4 << 10
    clear_after_connect_ms: int = 30_000
    slot_guard_ms: int = 10_000
    nudge_ms: int = 60_000
    reread_ms: int = 2_000
    """Between two readings of all heads, when some were lost."""

    flush_ring_after_ms: int = 1_000
    tell_ms: int = 60_000
    """How long those are told of a new epoch who have no part in it."""

    leave_quiet_ms: int = 40_000
    """How long a device that leaves a broker waits there for something missing while none of it comes: longer than
    `source_retry_ms`, so that what failed once is tried again."""

    leave_ms_max: int = 600_000

    seniority_ms: int = 2_000
    """How long each device leaves what any may do to those that are senior to it."""
