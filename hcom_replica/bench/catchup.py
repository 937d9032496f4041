"""Catching up: what one of two real daemons missed while it was off the network, and what that takes.

Owns when the clock starts and stops. What arrived is proven equal before a speed is told.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import zstandard

from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.device import device
from hcom_replica.bench.figures import Figure, Target
from hcom_replica.bench.floors import BATCH_EVENTS
from hcom_replica.bench.pair import WAIT_S, MemoryWatch, Pair, Span, pair
from hcom_replica.bench.parts import ROUNDS, Scale, fresh
from hcom_replica.bench.raw_mqtt import raw_mqtt
from hcom_replica.bench.route import CountingRoute
from hcom_replica.testing.real.waiting import wait_until
from hcom_replica.wire.event import Draft

_FLOOR: Final = "bare paho, same messages"
_MEMORY_MIB: Final = 120
_FLAT_MIB: Final = 8
_SPEED: Final = 150_000


def catch_up(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """One device writes while the other is off the network; then the other is put back.

    The clock runs from the order to go online until the last event is on the disk of the device that was away:
    connecting, subscribing and asking are in it.
    """
    return [figure for count in scale.catch_ups for figure in _catch_up(corpus.take(count), folder)]


def _catch_up(drafts: Sequence[Draft], folder: Path) -> list[Figure]:
    with pair(fresh(folder, "catch-up")) as both:
        with MemoryWatch(both.first.pid, both.second.pid) as watch:
            write_alone(both, drafts)
            begin = time.perf_counter()
            caught_up(both)
            end = time.perf_counter()
            both.await_equal()
        floor = _bare_seconds(both, folder, drafts)
    name, span = f"catch-up of {len(drafts):,} events", Span(begin, end)
    speed = Figure(
        f"{name}, end to end",
        len(drafts) / (end - begin),
        "events/s",
        floor=len(drafts) / floor,
        floor_name=_FLOOR,
        targets=(Target(_SPEED),),
        same="catch-up",
    )
    whose = ("device that writes", "device that catches up")
    pids = (both.first.pid, both.second.pid)
    return [
        speed,
        *(_memory(f"{name}, memory of the {who}", watch, pid, span) for who, pid in zip(whose, pids, strict=True)),
        *(_growth(f"{name}, the {who} grew late", watch, pid, span) for who, pid in zip(whose, pids, strict=True)),
    ]


def _memory(name: str, watch: MemoryWatch, pid: int, span: Span) -> Figure:
    curve = watch.curve(pid, span)
    return Figure(f"{name} at most", watch.most_mib(pid), "MiB", "less", targets=(Target(_MEMORY_MIB),), curve=curve)


def _growth(name: str, watch: MemoryWatch, pid: int, span: Span) -> Figure:
    grown = late_growth([mib for _, mib in watch.curve(pid, span)])
    return Figure(name, grown, "MiB more", "less", targets=(Target(_FLAT_MIB),))


def late_growth(values: Sequence[float]) -> float:
    """The most in the last quarter over the most in the first half: nothing when how long it takes is no matter."""
    half, late = values[: max(1, len(values) // 2)], values[-max(1, len(values) // 4) :]
    return max(max(late) - max(half), 0.0)


def write_alone(both: Pair, drafts: Sequence[Draft]) -> None:
    """Let the first write while the second is off the network, and wait until its mailbox is written."""
    both.second.switch(on=False)
    write(both, drafts)
    both.first.cli.run("flush", "--timeout", "3")  # not safe when its mailbox has no room for all of it


def write(both: Pair, drafts: Sequence[Draft]) -> None:
    """Let the first write, in durable batches."""
    for at in range(0, len(drafts), BATCH_EVENTS):
        both.first.append(drafts[at : at + BATCH_EVENTS])


def caught_up(both: Pair) -> None:
    """Put the second back on the network, and wait until it holds as much as the first."""
    both.second.switch(on=True)
    await_all(both)


def await_all(both: Pair) -> None:
    """Wait until the second holds as much as the first."""
    wait_until(lambda: both.second.held() >= both.first.held(), WAIT_S, "the second device has caught up")


def _bare_seconds(both: Pair, folder: Path, drafts: Sequence[Draft]) -> float:
    """Seconds that bare paho takes to carry the same log in the same messages through the same broker."""
    with device(fresh(folder, "floor"), "BENC") as source, raw_mqtt(both.broker.address) as raw:
        source.append(drafts, BATCH_EVENTS)
        messages = source.messages()
        return min(raw.carry(messages) for _ in range(ROUNDS))


def burst(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """One device writes all at once while the other is online, until the other holds all of it."""
    drafts = corpus.take(scale.events)
    with pair(fresh(folder, "burst")) as both:
        begin = time.perf_counter()
        write(both, drafts)
        await_all(both)
        taken = time.perf_counter() - begin
        both.await_equal()
        floor = _bare_seconds(both, folder, drafts)
    name = f"burst of {len(drafts):,} events, until the other holds all"
    return [Figure(name, len(drafts) / taken, "events/s", floor=len(drafts) / floor, floor_name=_FLOOR, same="burst")]


def wire(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """Bytes that reach a device while it catches up with the whole corpus, beside its JSON and beside bare zstd."""
    count = min(len(corpus.drafts), scale.events)
    drafts, lines = corpus.take(count), corpus.take_lines(count)
    json_bytes = sum(map(len, lines))
    with CountingRoute() as route, pair(fresh(folder, "wire"), second_through=route.to) as both:
        write_alone(both, drafts)
        down, up = route.down_up()
        caught_up(both)
        both.await_equal()
        down, up = route.down_up()[0] - down, route.down_up()[1] - up
    squeezed = len(zstandard.ZstdCompressor(level=3).compress(b"".join(lines)))
    return [
        Figure("catch-up, received for each byte of JSON", down / json_bytes, "bytes", "less",
               floor=squeezed / json_bytes, floor_name="zstd of all the JSON at once", targets=(Target(0.15),)),
        Figure("catch-up, received an event", down / count, "bytes", "less", same="bytes received an event"),
        Figure("catch-up, sent by who catches up", up, "bytes", "less"),
    ]  # fmt: skip
