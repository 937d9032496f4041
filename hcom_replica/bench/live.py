"""Live events between two real daemons: from the append on one device until a follower on the other has it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Self

from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.figures import Figure, Target
from hcom_replica.bench.floors import raw_lmdb, seconds
from hcom_replica.bench.pair import WAIT_S, Member, Pair, pair
from hcom_replica.bench.parts import Scale, fresh
from hcom_replica.bench.raw_mqtt import raw_mqtt
from hcom_replica.wire.event import Draft

_GAP_S: Final = (0.02, 0.06)
_SEED: Final = 11
_TRIP: Final = "bare paho, QoS 1 round trip"
_WAY: Final = "commit, bare paho, commit"


class _Turns(NamedTuple):
    """Seconds of each event, and right after it of its floors."""

    ours: list[float]
    trip: list[float]
    way: list[float]


class Quantile(NamedTuple):
    """One of those that are told: its name, its share, and how many times the round trip it may be."""

    name: str
    share: float
    times: float | None


_QUANTILES: Final = (Quantile("p50", 0.5, 2), Quantile("p99", 0.99, 4), Quantile("p99.9", 0.999, None))


def pauses() -> Iterator[float]:
    """Seconds before each event, so that events do not fall in step with anything that repeats; without end."""
    chance = random.Random(_SEED)
    while True:
        yield chance.uniform(*_GAP_S)


def told(count: int) -> list[Quantile]:
    """Those that so many values can tell: at least one of them lies beyond."""
    return [quantile for quantile in _QUANTILES if round(count * (1 - quantile.share), 6) >= 1]


def at_share(values: Sequence[float], share: float) -> float:
    """The least value that so large a share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def live(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """From the append on one device until a follower on the other has the event in its hands, on disk at both.

    Each event is followed by its floors: a message through bare paho, and that between two durable raw commits.
    """
    with pair(fresh(folder, "live")) as both, _bare_way(both, folder) as bare:
        turns = _take_turns(both, corpus.take(scale.live_events), bare)
        both.await_equal()
    return [figure for quantile in told(len(turns.ours)) for figure in _figures(quantile, turns)]


def _figures(quantile: Quantile, turns: _Turns) -> list[Figure]:
    ours, trip, way = (at_share(values, quantile.share) * 1_000 for values in turns)
    name = f"live, append to follow, {quantile.name} of {len(turns.ours):,}"
    targets = (Target(quantile.times, "times"),) if quantile.times else ()
    return [
        Figure(name, ours, "ms", "less", trip, _TRIP, targets, same=f"live {quantile.name}"),
        Figure(name, ours, "ms", "less", way, _WAY),
    ]


def _take_turns(both: Pair, drafts: Sequence[Draft], bare: Callable[[int, bytes], tuple[float, float]]) -> _Turns:
    turns = _Turns([], [], [])
    with Follower(both.second, len(drafts)) as follower:
        for number, (draft, pause_s) in enumerate(zip(drafts, pauses(), strict=False)):
            time.sleep(pause_s)
            begin = time.perf_counter()
            both.first.append([draft])
            seen_at, body = follower.await_event(number)
            assert body == draft.body, "another event arrived"
            turns.ours.append(seen_at - begin)
            trip, way = bare(number, draft.body)
            turns.trip.append(trip)
            turns.way.append(way)
    return turns


class Follower:
    """Follows a device's log in a thread, and notes when it has each event in its hands; a context manager.

    Args:
        member: whose log.
        count: after how many events it ends.
    """

    def __init__(self, member: Member, count: int) -> None:
        self._member = member
        self._count = count
        self._begin = member.held()
        self._seen: list[tuple[float, bytes]] = []
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    def await_event(self, number: int) -> tuple[float, bytes]:
        """Wait for an event, counted from 0; give when it was there, and its body."""
        with self._more:
            assert self._more.wait_for(lambda: len(self._seen) > number, WAIT_S), "a live event was lost"
        return self._seen[number]

    def _follow(self) -> None:
        for event in self._member.replica.follow(after=self._begin, timeout_s=WAIT_S):
            with self._more:
                self._seen.append((time.perf_counter(), event.body))
                self._more.notify()
            if len(self._seen) == self._count:
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(WAIT_S)


@contextmanager
def _bare_way(both: Pair, folder: Path) -> Iterator[Callable[[int, bytes], tuple[float, float]]]:
    """Make the floors of a live event; gives seconds of a message through bare paho, and of it between two commits."""
    with (
        raw_lmdb(fresh(folder, "here")) as here,
        raw_lmdb(fresh(folder, "there")) as there,
        raw_mqtt(both.broker.address) as mqtt,
    ):

        def carry(number: int, body: bytes) -> tuple[float, float]:
            key = number.to_bytes(16, "big")
            first = seconds(partial(here.put, key, body))
            trip = seconds(partial(mqtt.one, body))
            return trip, first + trip + seconds(partial(there.put, key, body))

        yield carry
