"""hcom's own relay: two HCOM_DIRs, each with its worker, over one private Mosquitto.

The events' bodies are the texts of messages. They are written into the writing hcom's database in one transaction, as
so many `hcom send` would, and its worker is told. hcom shows what came in another order than it was written, so what
is compared is which texts there are and how often.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from hcom_replica.bench.compare import HCOM, latencies, speed
from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.figures import Figure
from hcom_replica.bench.floors import seconds
from hcom_replica.bench.parts import Scale, fresh
from hcom_replica.bench.route import CountingRoute
from hcom_replica.bench.servers import found
from hcom_replica.testing.real.brokers import MosquittoBroker
from hcom_replica.testing.real.hcom import RealHcom, send_and_see

_AGENTS: Final = ("luna", "nova")
_WAIT_S: Final = 300.0


class _Both(NamedTuple):
    """Two hcoms whose relays know each other; the second's way to the broker is counted."""

    first: RealHcom
    second: RealHcom
    route: CountingRoute


def hcom_relay(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """Writing while the other is online, writing while it is away, and one message after the other."""
    texts = [draft.body.decode() for draft in corpus.take(scale.relay_events)]
    many = [draft.body.decode() for draft in corpus.take(scale.relay_burst)]
    place = fresh(folder, "hcom")
    program = found("hcom") or ""
    first, second = (RealHcom(place / name, program) for name in ("first", "second"))
    with MosquittoBroker(place / "broker") as broker, CountingRoute() as route:
        both = _Both(first, second, route)
        try:
            _acquaint(both, broker)
            return [*_burst(both, many), *_catch_up(both, texts), *_live(both, scale.sends)]
        finally:
            for one in (first, second):
                one.stop()


def _acquaint(both: _Both, broker: MosquittoBroker) -> None:
    for one, agent in zip(both[:2], _AGENTS, strict=True):
        one.start(agent)
    both.second.relay_connect(both.first.relay_new(broker.url), both.route.to(broker))
    for one, other, agent in ((both.first, both.second, _AGENTS[1]), (both.second, both.first, _AGENTS[0])):
        one.wait(partial(_knows, one, other, agent), "they know each other")


def _knows(one: RealHcom, other: RealHcom, agent: str) -> bool:
    return one.knows(f"{agent}:{other.short}")


def _burst(both: _Both, texts: list[str]) -> list[Figure]:
    begin = time.perf_counter()
    both.first.fill(_AGENTS[0], texts)
    both.first.relay_push()
    both.second.wait_for_imported(len(texts), _WAIT_S)
    taken = time.perf_counter() - begin
    assert sorted(both.second.imported()) == sorted(texts), "something else arrived"
    return [speed(HCOM, "burst", f"burst of {len(texts):,} events, until the other holds all", len(texts), taken)]


def _catch_up(both: _Both, texts: list[str]) -> list[Figure]:
    before = both.second.count_imported()
    both.second.relay_worker(on=False)
    both.first.fill(_AGENTS[0], texts)
    both.first.wait_for_push()
    down, begin = both.route.down_up()[0], time.perf_counter()
    both.second.relay_worker(on=True)
    both.second.wait_for_imported(before + len(texts), _WAIT_S)
    taken = time.perf_counter() - begin
    assert sorted(both.second.imported()[before:]) == sorted(texts), "something else arrived"
    received = (both.route.down_up()[0] - down) / len(texts)
    return [
        speed(HCOM, "catch-up", f"catch-up of {len(texts):,} events", len(texts), taken),
        Figure(f"{HCOM}: received an event", received, "bytes", "less", same="bytes received an event", who=HCOM),
    ]


def _live(both: _Both, count: int) -> list[Figure]:
    taken = send_and_see(both.first, _AGENTS[0], both.second, count)
    command = median(seconds(partial(both.first.send, _AGENTS[0], "have a look")) for _ in range(count))
    return [
        *latencies(HCOM, "live, row to row", taken),
        Figure(f"{HCOM}: `hcom send` as a whole command, median", command * 1_000, "ms", "less", same="send", who=HCOM),
    ]
