"""Which of our devices carries for machines that run only hcom (hcom-bridge-v1 B8.2, B8.3). Pure.

Two that publish for the same devices would make hcom delete histories, so the greater claim counts, wherever it is
seen: in the log, or on the peers' broker in what its owner publishes there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Final

from hcom_replica.bridge.foreigners import Claim
from hcom_replica.bridge.snapshot import Carrier

SILENT_MS: Final = 150_000
"""A carrier of which nothing was heard for so long, three announcements, is gone."""

Rank = tuple[int, str]


class Part(Enum):
    """What a device that has joined is to do."""

    CARRY = "carries"
    STAND_BY = "stands by"
    CLAIM = "claims"


class Duty:
    """Decides.

    Args:
        own: id of this device.
        group: 16 hex digits of our group.
    """

    def __init__(self, own: bytes, group: str) -> None:
        self._own = own
        self._group = group
        self._heard: Rank | None = None
        self._heard_ts_s = 0
        self._heard_ms = 0

    def connected(self, now_ms: int) -> None:
        """The broker is heard from now on."""
        self._heard_ms = now_ms

    def hear(self, said: Carrier, ts_s: int, now_ms: int, *, live: bool) -> None:
        """A device of ours was published.

        Args:
            said: by which claim.
            ts_s: its sender's time, which grows: what is older was recorded by somebody, and shows no life.
            now_ms: monotonic.
            live: it was just published; what is only kept by the broker shows no life.
        """
        rank = (said.term, said.claim)
        if self._heard is not None and rank < self._heard:
            return
        newer = rank != self._heard or ts_s > self._heard_ts_s
        self._heard, self._heard_ts_s = rank, ts_s if newer else self._heard_ts_s
        self._heard_ms = now_ms if live and newer else self._heard_ms

    def is_ours(self, said: Carrier) -> bool:
        """Whether a snapshot is of a device of our own group."""
        return said.group == self._group

    def term(self, claims: Iterable[Claim]) -> int:
        """A term above all that are known."""
        return max([self._heard[0] if self._heard is not None else 0, *(claim.term for claim in claims)]) + 1

    def part(self, standing: Mapping[bytes, Claim], given_up: Callable[[str], bool], now_ms: int) -> Part:
        """What to do now.

        Args:
            standing: the claims that were not taken back, by device.
            given_up: whether a claim, by its event's id, is of a device that took it back or has left: what is still
                heard of such counts no more.
            now_ms: monotonic.
        """
        own = standing.get(self._own)
        ranks = [claim.rank for claim in standing.values()]
        if self._heard is not None and not given_up(self._heard[1]):
            ranks.append(self._heard)
        if not ranks:
            return Part.CLAIM
        if own is not None and own.rank == max(ranks):
            return Part.CARRY
        return Part.CLAIM if now_ms - self._heard_ms > SILENT_MS else Part.STAND_BY
