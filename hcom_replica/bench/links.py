"""Links: a gap of a thousand events, a slow line, and what two idle daemons take."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from hcom_replica.bench.catchup import await_all, caught_up
from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.device import device
from hcom_replica.bench.figures import Figure, Target
from hcom_replica.bench.floors import BATCH_EVENTS, seconds
from hcom_replica.bench.pair import WAIT_S, Pair, pair
from hcom_replica.bench.parts import Scale, fresh
from hcom_replica.bench.raw_mqtt import raw_mqtt
from hcom_replica.bench.route import CountingRoute
from hcom_replica.testing.real.waiting import wait_until
from hcom_replica.transport.url import BrokerAddress
from hcom_replica.wire.event import Draft

_GAP_EVENTS: Final = 1_000
_TRIPS: Final = 9
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_IDLE_CLIENT: Final = """
import sys
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
client = Client(CallbackAPIVersion.VERSION2)
client.connect(sys.argv[1], int(sys.argv[2]))
client.loop_forever()
"""


# --- a gap -----------------------------------------------------------------------------------------------------


def reconnect(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """From the order to go online to nothing missing, after a thousand events were written elsewhere.

    Once on loopback, where it is the work that takes time, and once over a long line, where it is the round trips: the
    time, without what bare paho takes for the same bytes beyond a round trip, divided by a round trip of bare paho over
    the same line. That a TCP connection is made takes no time on this line.
    """
    drafts = corpus.take(_GAP_EVENTS)
    with CountingRoute() as route, pair(fresh(folder, "reconnect"), second_through=route.to) as both:
        near = _closed_s(both, drafts, scale.reconnects)
        near_trip, near_carry = _bare(route.address, drafts, folder)
        route.delay(scale.line_s)
        far = _closed_s(both, drafts, scale.reconnects)
        trip, carry = _bare(route.address, drafts, folder)
        route.delay(0)
        both.await_equal()
    name = f"gap of {_GAP_EVENTS:,} events closed, from the order to go online"
    return [
        Figure(
            f"{name}, on loopback",
            near * 1_000,
            "ms",
            "less",
            floor=max(near_carry, near_trip) * 1_000,
            floor_name="bare paho, the same bytes there",
        ),
        Figure(
            f"{name}, over a line of {2_000 * scale.line_s:g} ms",
            (far - max(carry - trip, 0)) / trip,
            "round trips",
            "less",
            floor=1,
            floor_name="bare paho, one message there",
            targets=(Target(4),),
        ),
    ]


def _closed_s(both: Pair, drafts: Sequence[Draft], times: int) -> float:
    """Seconds that closing a gap takes, the median."""
    taken = []
    for _ in range(times):
        both.second.switch(on=False)
        both.first.append(drafts)
        both.first.cli.run("flush", "--timeout", "5")
        taken.append(seconds(lambda: caught_up(both)))
    return median(taken)


def _bare(broker: BrokerAddress, drafts: Sequence[Draft], folder: Path) -> tuple[float, float]:
    """Seconds of one message through bare paho, and of the messages that carry these events; the best of some."""
    with device(fresh(folder, "floor"), "BENC") as source, raw_mqtt(broker) as raw:
        source.append(drafts, BATCH_EVENTS)
        messages = source.messages()
        trip = min(seconds(lambda: raw.one(b"x")) for _ in range(_TRIPS))
        return trip, min(raw.carry(messages) for _ in range(_TRIPS))


# --- a slow line -----------------------------------------------------------------------------------------------


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
        await_all(both)
        all_s, passed = time.perf_counter() - begin, route.down_up()[0] - down
        route.limit(None)
        both.await_equal()
    limit_s = passed / scale.line_bytes_s
    name = f"over {scale.line_bytes_s * 8 / 1e6:g} Mbit/s"
    return [
        Figure(f"first of {len(drafts):,} events shown, {name}", first_s, "s", "less", targets=(Target(3),)),
        Figure(f"all of {len(drafts):,} events there, {name}", all_s, "s", "less", floor=limit_s,
               floor_name="the line's limit for the bytes that came", targets=(Target(1.2, "times"),)),
    ]  # fmt: skip


# --- nothing to do ---------------------------------------------------------------------------------------------


def idle(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:  # noqa: ARG001 - all parts take the same
    """Two daemons that have nothing to do, and a bare client that has none: processor time, and bytes on the wire."""
    with (
        CountingRoute() as route,
        CountingRoute() as bare_route,
        pair(fresh(folder, "idle"), second_through=route.to) as both,
    ):
        bare_route.to(both.broker)
        with _bare_client(bare_route.address) as bare:
            time.sleep(scale.idle_s)  # until the heads that repeat what was written last have been said
            pids, begin = (both.first.pid, both.second.pid, bare), time.monotonic()
            cpu, wire = [_cpu_s(pid) for pid in pids], _bytes(route, bare_route)
            time.sleep(scale.idle_s)
            span_s = time.monotonic() - begin
            used = [(_cpu_s(pid) - before) / span_s * 100 for pid, before in zip(pids, cpu, strict=True)]
            minute = [(now - before) / span_s * 60 for now, before in zip(_bytes(route, bare_route), wire, strict=True)]
        both.await_equal()
    return [
        Figure("idle daemon, share of a core", max(used[:2]), "%", "less", used[2], _BARE, (Target(0.5),)),
        Figure("idle daemon, bytes there and back", minute[0], "bytes/min", "less", minute[1], _BARE, (Target(1_024),)),
    ]


_BARE: Final = "a bare paho client, connected"


@contextmanager
def _bare_client(broker: BrokerAddress) -> Iterator[int]:
    """A bare client in a process of its own; gives its pid."""
    process = subprocess.Popen([sys.executable, "-c", _IDLE_CLIENT, broker.host, str(broker.port)])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _bytes(*routes: CountingRoute) -> list[int]:
    return [sum(route.down_up()) for route in routes]


def _cpu_s(pid: int) -> float:
    """Processor seconds that a process has used."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])) / _TICKS
