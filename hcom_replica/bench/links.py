"""Links: a gap of a thousand events, a slow line, and what two idle daemons take."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median
from typing import Final

from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.figures import Figure, Target
from hcom_replica.bench.floors import seconds
from hcom_replica.bench.journeys import CountingRoute
from hcom_replica.bench.pair import WAIT_S, Pair, pair
from hcom_replica.bench.parts import Scale, fresh
from hcom_replica.bench.raw_mqtt import raw_mqtt
from hcom_replica.testing.real.waiting import wait_until

_GAP_EVENTS: Final = 1_000
_ROUND_TRIPS: Final = 50
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def reconnect(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """From the order to go online to nothing missing, after a thousand events were written elsewhere."""
    drafts, taken = corpus.take(_GAP_EVENTS), list[float]()
    with pair(fresh(folder, "reconnect")) as both, raw_mqtt(both.broker.address) as raw:
        for _ in range(scale.reconnects):
            both.second.switch(on=False)
            both.first.append(drafts)
            both.first.cli.run("flush", "--timeout", "5")
            begin = time.perf_counter()
            both.second.switch(on=True)
            wait_until(lambda: both.second.held() >= both.first.held(), WAIT_S, "the gap is closed")
            taken.append(time.perf_counter() - begin)
        both.await_equal()
        trip = median(seconds(lambda: raw.one(b"x")) for _ in range(_ROUND_TRIPS))
    return [
        Figure(
            f"gap of {_GAP_EVENTS:,} events closed, from the order to go online",
            median(taken) * 1_000,
            "ms",
            "less",
            floor=trip * 1_000,
            floor_name="bare paho, one message there",
        )
    ]


def slow_line(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """A device joins over 1 Mbit/s: when it shows the first events, and when it has all, beside the line's limit."""
    drafts = corpus.take(scale.events)
    with CountingRoute() as route, pair(fresh(folder, "slow"), second_through=route.to) as both:
        both.second.switch(on=False)
        both.first.append(drafts)
        route.limit(scale.line_bytes_s)
        down, before = route.down_up()[0], both.second.held()
        begin = time.perf_counter()
        both.second.switch(on=True)
        wait_until(lambda: both.second.held() > before, WAIT_S, "the first events are there")
        first_s = time.perf_counter() - begin
        wait_until(lambda: both.second.held() >= both.first.held(), WAIT_S, "all is there")
        all_s, passed = time.perf_counter() - begin, route.down_up()[0] - down
        route.limit(None)
        both.await_equal()
    limit_s = passed / scale.line_bytes_s
    name = f"over {scale.line_bytes_s * 8 / 1e6:g} Mbit/s"
    return [
        Figure(f"first of {len(drafts):,} events shown, {name}", first_s, "s", "less", target=Target(3)),
        Figure(f"all of them there, {name}", all_s, "s", "less", floor=limit_s, floor_name="the line's limit for the "
               "bytes that came", target=Target(1 / 1.2, "ratio")),
    ]  # fmt: skip


def idle(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:  # noqa: ARG001 - all parts take the same
    """Two daemons that have nothing to do: processor time of each, and bytes of one on the wire."""
    with CountingRoute() as route, pair(fresh(folder, "idle"), second_through=route.to) as both:
        time.sleep(scale.idle_s)  # until the heads that repeat what was written last have been said
        cpu, wire, begin = _cpu_s(both), sum(route.down_up()), time.monotonic()
        time.sleep(scale.idle_s)
        span_s = time.monotonic() - begin
        used = [(after - before) / span_s * 100 for before, after in zip(cpu, _cpu_s(both), strict=True)]
        minute_bytes = (sum(route.down_up()) - wire) / span_s * 60
    return [
        Figure("idle daemon, share of a core", max(used), "%", "less", target=Target(0.5)),
        Figure("idle daemon, bytes there and back", minute_bytes, "bytes/min", "less", target=Target(1_024)),
    ]


def _cpu_s(both: Pair) -> list[float]:
    """Processor seconds that each daemon has used."""
    return [
        sum(map(int, Path(f"/proc/{member.pid}/stat").read_text().rpartition(")")[2].split()[11:13])) / _TICKS
        for member in (both.first, both.second)
    ]
