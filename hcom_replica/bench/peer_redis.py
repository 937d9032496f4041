"""Redis Streams: two servers that sync each write to disk, and a Python program that copies what the other lacks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hcom_replica.bench.compare import REDIS, latencies, speed
from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.figures import Figure
from hcom_replica.bench.live import pauses
from hcom_replica.bench.parts import Scale, fresh
from hcom_replica.bench.servers import found, server
from hcom_replica.testing.real.brokers import HOST, free_port
from hcom_replica.testing.real.waiting import wait_until

_BATCH: Final = 1_000
_WAIT_S: Final = 60.0
_BLOCK_MS: Final = 200
_STREAM: Final = "EVENTS"


def redis_streams(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """Durable writes, what the other lacks of them, and one event after the other."""
    bodies = [draft.body for draft in corpus.take(scale.peer_events)]
    with _redis(fresh(folder, "redis")) as source, _redis(fresh(folder, "redis")) as copy:
        begin = time.perf_counter()
        _write(source, bodies)
        written = time.perf_counter()
        last = _copy(source, copy, b"0")
        caught_up = time.perf_counter()
        assert [fields[b"e"] for _, fields in copy.xrange(_STREAM)] == bodies, "the copy differs"
        taken = _live(source, copy, last, bodies[: scale.live_events])
    count = len(bodies)
    return [
        speed(REDIS, "durable writes", "durable writes", count, written - begin),
        speed(REDIS, "catch-up", f"catch-up of {count:,} events by a copier", count, caught_up - written),
        *latencies(REDIS, "live, written to read from the copy", taken),
    ]


def _write(source: Any, bodies: Sequence[bytes]) -> None:
    for at in range(0, len(bodies), _BATCH):
        pipe = source.pipeline(transaction=False)
        for body in bodies[at : at + _BATCH]:
            pipe.xadd(_STREAM, {"e": body})
        pipe.execute()


def _copy(source: Any, copy: Any, last: bytes, block_ms: int | None = None) -> bytes:
    """Copy as such programs do: read a thousand, write them, go on behind the last; gives the last."""
    while found := source.xread({_STREAM: last}, count=_BATCH, block=block_ms):
        pipe = copy.pipeline(transaction=False)
        for number, fields in found[0][1]:
            pipe.xadd(_STREAM, fields, id=number)
            last = number
        pipe.execute()
    return last


def _live(source: Any, copy: Any, last: bytes, bodies: Sequence[bytes]) -> list[float]:
    """Seconds from the write of each event until it was read from the copy."""
    ended, taken, seen = threading.Event(), list[float](), last

    def copier() -> None:
        at = last
        while not ended.is_set():
            at = _copy(source, copy, at, _BLOCK_MS)

    thread = threading.Thread(target=copier, name="copier", daemon=True)
    thread.start()
    for body, pause_s in zip(bodies, pauses(), strict=False):
        time.sleep(pause_s)
        begin = time.perf_counter()
        source.xadd(_STREAM, {"e": body})
        ((_, ((seen, fields),)),) = copy.xread({_STREAM: seen}, block=int(_WAIT_S * 1_000))
        taken.append(time.perf_counter() - begin)
        assert fields[b"e"] == body, "another event arrived"
    ended.set()
    thread.join(_WAIT_S)
    return taken


@contextmanager
def _redis(folder: Path) -> Iterator[Any]:
    import redis  # noqa: PLC0415 - an extra

    port = free_port()
    options = ["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--bind", HOST]
    command = [found("redis-server") or "", "--port", str(port), "--dir", str(folder), *options]
    with server(command, folder):
        client = redis.Redis(HOST, port)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

        wait_until(answers, _WAIT_S, "redis-server answers")
        yield client
        client.close()
