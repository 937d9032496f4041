"""Figures of peers, and how ours stand beside them in the same run.

A figure of ours and one of a peer's are compared when both say that they measured the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hcom_replica.bench.figures import Figure, Target
from hcom_replica.bench.live import at_share, told

HCOM: Final = "hcom relay"
NATS: Final = "NATS JetStream"
REDIS: Final = "Redis Streams"
_AHEAD: Final = {("catch-up", HCOM): 1_000.0, ("catch-up", NATS): 1.0}


def speed(peer: str, same: str, what: str, count: int, seconds: float) -> Figure:
    """How fast a peer is at what we call `same`; `what` says what it does."""
    return Figure(f"{peer}: {what}", count / seconds, "events/s", same=same, who=peer)


def latencies(peer: str, what: str, seconds: Sequence[float]) -> list[Figure]:
    """How long live events take with a peer."""
    return [
        Figure(
            f"{peer}: {what}, {quantile.name} of {len(seconds):,}",
            at_share(seconds, quantile.share) * 1_000,
            "ms",
            "less",
            same=f"live {quantile.name}",
            who=peer,
        )
        for quantile in told(len(seconds))
    ]


def beside(figures: Sequence[Figure]) -> list[Figure]:
    """How many times better ours are than those of peers, where both were measured; of two of ours the first counts."""
    ours: dict[str, Figure] = {}
    for figure in figures:
        if figure.same and not figure.who:
            ours.setdefault(figure.same, figure)
    return [_beside(ours[figure.same], figure) for figure in figures if figure.who and figure.same in ours]


def _beside(ours: Figure, theirs: Figure) -> Figure:
    times = ours.value / theirs.value if ours.sense == "more" else theirs.value / ours.value
    target = _AHEAD.get((ours.same, theirs.who))
    name = f"{ours.same}: ours beside {theirs.who}, how many times better"
    return Figure(name, times, "times", targets=(Target(target),) if target else (), part=ours.part)
