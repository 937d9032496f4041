"""Whole journeys between two real daemons: catching up, live events, and what goes over the wire.

Owns what each journey is and when its clock starts and stops. What arrived is proven equal before a speed is told.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Final, Self

import zstandard

from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.device import device
from hcom_replica.bench.figures import Figure, Target
from hcom_replica.bench.floors import BATCH_EVENTS, raw_lmdb, seconds
from hcom_replica.bench.pair import WAIT_S, Member, MemoryWatch, Pair, pair
from hcom_replica.bench.parts import Scale, fresh
from hcom_replica.bench.raw_mqtt import raw_mqtt
from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.proxy import ChaosProxy
from hcom_replica.testing.real.waiting import wait_until
from hcom_replica.wire.event import Draft

_MEMORY_MIB: Final = 120
_GAP_S: Final = (0.02, 0.06)
_SEED: Final = 11


def catch_up(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """One device writes while the other is off the network; then the other is put back.

    The clock runs from the order to go online until the last event is on the disk of the device that was away:
    connecting, subscribing and asking are in it.
    """
    drafts = corpus.take(scale.events)
    with pair(fresh(folder, "catch-up")) as both:
        watch = MemoryWatch(both.first.pid, both.second.pid)
        with watch:
            _write_alone(both, drafts)
            begin = time.perf_counter()
            both.second.switch(on=True)
            wait_until(lambda: both.second.held() >= both.first.held(), WAIT_S, "the second device has caught up")
            taken = time.perf_counter() - begin
            both.await_equal()
        floor = _bare_seconds(both, folder, drafts)
    return [
        Figure(
            f"catch-up of {len(drafts):,} events, end to end",
            len(drafts) / taken,
            "events/s",
            floor=len(drafts) / floor,
            floor_name="bare paho, same messages",
            target=Target(150_000),
        ),
        *(
            Figure(f"memory of the {name} at most", most, "MiB", "less", target=Target(_MEMORY_MIB))
            for name, most in zip(
                ("device that writes", "device that catches up"), watch.most_mib.values(), strict=True
            )
        ),
    ]


def _write_alone(both: Pair, drafts: Sequence[Draft]) -> None:
    """Let the first write while the second is off the network, and wait until its mailbox is written."""
    both.second.switch(on=False)
    for at in range(0, len(drafts), BATCH_EVENTS):
        both.first.append(drafts[at : at + BATCH_EVENTS])
    both.first.cli.run("flush", "--timeout", "3")  # not safe when its mailbox has no room for all of it


def _bare_seconds(both: Pair, folder: Path, drafts: Sequence[Draft]) -> float:
    """Seconds that bare paho takes to carry the same log in the same messages through the same broker."""
    with device(fresh(folder, "floor"), "BENC") as source, raw_mqtt(both.broker.address) as raw:
        source.append(drafts, BATCH_EVENTS)
        return raw.carry(source.messages())


def live(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """From the append on one device until a follower on the other has the event in its hands, on disk at both.

    Each event is followed by its floor: a durable raw commit, a message through bare paho, a durable raw commit.
    """
    drafts = corpus.take(scale.live_events)
    with pair(fresh(folder, "live")) as both, bare_way(both, folder) as bare:
        taken, floor = _live_seconds(both, drafts, bare)
        both.await_equal()
    return [
        Figure(
            f"live, append to follow, {name}",
            of(taken) * 1_000,
            "ms",
            "less",
            floor=of(floor) * 1_000,
            floor_name="commit, bare paho, commit",
            target=target,
        )
        for name, of, target in (("median", median, Target(10)), ("p99", _p99, None))
    ]


def _live_seconds(
    both: Pair, drafts: Sequence[Draft], bare: Callable[[int, bytes], None]
) -> tuple[list[float], list[float]]:
    """Seconds of each event, and of the bare way right after it."""
    taken, floor, pause = list[float](), list[float](), random.Random(_SEED)
    with Follower(both.second, len(drafts)) as follower:
        for number, draft in enumerate(drafts):
            time.sleep(pause.uniform(*_GAP_S))  # so that events do not fall in step with anything that repeats
            begin = time.perf_counter()
            both.first.append([draft])
            seen_at, body = follower.await_event(number)
            assert body == draft.body, "another event arrived"
            taken.append(seen_at - begin)
            floor.append(seconds(partial(bare, number, draft.body)))
    return taken, floor


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
def bare_way(both: Pair, folder: Path) -> Iterator[Callable[[int, bytes], None]]:
    """Make the floor of a live event: a durable raw commit, a message through bare paho, a durable raw commit."""
    with (
        raw_lmdb(fresh(folder, "here")) as here,
        raw_lmdb(fresh(folder, "there")) as there,
        raw_mqtt(both.broker.address) as mqtt,
    ):

        def carry(number: int, body: bytes) -> None:
            key = number.to_bytes(16, "big")
            here.put(key, body)
            mqtt.one(body)
            there.put(key, body)

        yield carry


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


def wire(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """Bytes that reach a device while it catches up with the whole corpus, beside its JSON and beside bare zstd."""
    count = min(len(corpus.drafts), scale.events)
    drafts, lines = corpus.take(count), corpus.take_lines(count)
    json_bytes = sum(map(len, lines))
    with CountingRoute() as route, pair(fresh(folder, "wire"), second_through=route.to) as both:
        _write_alone(both, drafts)
        down, up = route.down_up()
        both.second.switch(on=True)
        wait_until(lambda: both.second.held() >= both.first.held(), WAIT_S, "the second device has caught up")
        both.await_equal()
        down, up = route.down_up()[0] - down, route.down_up()[1] - up
    squeezed = len(zstandard.ZstdCompressor(level=3).compress(b"".join(lines)))
    return [
        Figure("catch-up, received for each byte of JSON", down / json_bytes, "bytes", "less",
               floor=squeezed / json_bytes, floor_name="zstd of all the JSON at once", target=Target(0.18)),
        Figure("catch-up, received an event", down / count, "bytes", "less"),
        Figure("catch-up, sent by who catches up", up, "bytes", "less"),
    ]  # fmt: skip


class CountingRoute:
    """A way to a broker that counts the bytes; made before the broker's port is known. A context manager."""

    def __init__(self) -> None:
        self._proxy: ChaosProxy | None = None

    def to(self, broker: PrivateBroker) -> str:
        """Open the way; give the URL at which clients connect."""
        self._proxy = ChaosProxy(broker.port).start()
        return self._proxy.url

    def limit(self, bytes_s: int | None) -> None:
        """Carry no more than so many bytes a second each way; None is no limit."""
        assert self._proxy is not None
        self._proxy.limit(up_bytes_s=bytes_s, down_bytes_s=bytes_s)

    def down_up(self) -> tuple[int, int]:
        """Bytes passed so far to the client and from it."""
        assert self._proxy is not None
        return self._proxy.bytes_down, self._proxy.bytes_up

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._proxy is not None:
            self._proxy.stop()
