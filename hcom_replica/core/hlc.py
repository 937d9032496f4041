"""Hybrid logical clocks: 48 bits of milliseconds, 16 bits of counter (protocol-v1 3.2 to 3.5).

After Kulkarni, Demirbas et al., "Logical Physical Clocks" (2014). Unlike there, the counter may carry into the
milliseconds: an hlc is one integer that only grows.
"""

from __future__ import annotations

from typing import Final

from hcom_replica.limits import DRIFT_MS_MAX

COUNTER_BITS: Final = 16
HLC_MAX: Final = (1 << 64) - 1
YEAR_9999_MS: Final = 253_402_300_800_000


def pack(ms: int, counter: int = 0) -> int:
    """Make an hlc from milliseconds since 1970 and a counter from 0 to 65,535."""
    return ms << COUNTER_BITS | counter


def millis(hlc: int) -> int:
    """The milliseconds of an hlc."""
    return hlc >> COUNTER_BITS


def following(high_water: int, now_ms: int) -> int:
    """The hlc of the next event: above everything seen, at or above the wall clock (P3.3)."""
    return max(high_water + 1, pack(now_ms))


def drift_ms(hlc: int, now_ms: int) -> int:
    """How far an hlc is ahead of the wall clock beyond the bound; 0 when it is within it."""
    ahead = millis(hlc) - now_ms
    return ahead if ahead > DRIFT_MS_MAX else 0


def merge(high_water: int, remote: int, now_ms: int) -> int:
    """The high water after an event from elsewhere (P3.4): one that drifts is not merged."""
    return high_water if drift_ms(remote, now_ms) else max(high_water, remote)
