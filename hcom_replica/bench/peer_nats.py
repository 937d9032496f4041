"""NATS JetStream: a hub, a leaf node with a mirror of its stream in a file, and a consumer that pulls from that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from hcom_replica.bench.compare import NATS, latencies, speed
from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.figures import Figure
from hcom_replica.bench.live import pauses
from hcom_replica.bench.parts import Scale, fresh
from hcom_replica.bench.servers import found, server
from hcom_replica.testing.real.brokers import HOST, free_port

_BATCH: Final = 1_000
_WAIT_S: Final = 60.0
_STREAM: Final = "EVENTS"


def jetstream(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """Acknowledged publishes, what the leaf lacks of them, and one event after the other."""
    bodies = [draft.body for draft in corpus.take(scale.peer_events)]
    return asyncio.run(_jetstream(bodies, scale.live_events, fresh(folder, "nats")))


async def _jetstream(bodies: Sequence[bytes], live_events: int, folder: Path) -> list[Figure]:
    ports = hub, inner, leaf = free_port(), free_port(), free_port()
    assert len(set(ports)) == len(ports)
    for name, text in _nats_settings(folder, hub, inner, leaf).items():
        (folder / name).mkdir(parents=True)
        (folder / name / "settings").write_text(text)
    with _nats(folder / "hub"):
        source = await _connected(hub)
        await source.jetstream().add_stream(name=_STREAM, subjects=["events"])
        begin = time.perf_counter()
        await _publish(source.jetstream(), bodies)
        written = time.perf_counter()
        with _nats(folder / "leaf"):
            copy = await _connected(leaf)
            await _mirror(copy.jetstream(domain="leaf"))
            consumer = await copy.jetstream(domain="leaf").pull_subscribe("", durable="reader", stream="COPY")
            held = await _pull(consumer, len(bodies))
            caught_up = time.perf_counter()
            assert held == list(bodies), "the mirror differs"
            taken = await _live(source.jetstream(), consumer, bodies[:live_events])
            await copy.close()
        await source.close()
    count = len(bodies)
    return [
        speed(NATS, "durable writes", "acknowledged writes", count, written - begin),
        speed(NATS, "catch-up", f"catch-up of {count:,} events, mirror and consumer", count, caught_up - written),
        *latencies(NATS, "live, published to pulled from the mirror", taken),
    ]


def _nats_settings(folder: Path, hub: int, inner: int, leaf: int) -> dict[str, str]:
    def text(name: str, port: int, leafnodes: str) -> str:
        return (
            f'server_name: {name}\nhost: {HOST}\nport: {port}\njetstream {{ store_dir: "{folder / name / "data"}", '
            f"domain: {name} }}\nleafnodes {{ {leafnodes} }}\n"
        )

    remote = f'remotes [ {{ url: "nats://{HOST}:{inner}" }} ]'
    return {"hub": text("hub", hub, f"host: {HOST}, port: {inner}"), "leaf": text("leaf", leaf, remote)}


def _nats(folder: Path) -> AbstractContextManager[None]:
    return server([found("nats-server") or "", "--config", str(folder / "settings")], folder)


async def _connected(port: int) -> Any:
    import nats  # noqa: PLC0415 - an extra

    async def quiet(_: Exception) -> None: ...

    return await nats.connect(
        f"nats://{HOST}:{port}", max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=quiet
    )


async def _publish(stream: Any, bodies: Sequence[bytes]) -> None:
    """Publish, a thousand at a time, each acknowledged by the server."""
    for at in range(0, len(bodies), _BATCH):
        await asyncio.gather(*(stream.publish("events", body, timeout=_WAIT_S) for body in bodies[at : at + _BATCH]))


async def _mirror(stream: Any) -> None:
    from nats.js.api import ExternalStream, StreamConfig, StreamSource  # noqa: PLC0415 - an extra

    source = StreamSource(name=_STREAM, external=ExternalStream(api="$JS.hub.API"))
    await stream.add_stream(StreamConfig(name="COPY", mirror=source))


async def _pull(consumer: Any, count: int) -> list[bytes]:
    """Take all from the mirror with a durable consumer, each acknowledged."""
    held: list[bytes] = []
    while len(held) < count:
        for message in await consumer.fetch(min(_BATCH, count - len(held)), timeout=_WAIT_S):
            held.append(message.data)
            await message.ack()
    return held


async def _live(stream: Any, consumer: Any, bodies: Sequence[bytes]) -> list[float]:
    """Seconds from the publish of each event until the consumer, which waits for it, has it."""
    taken = []
    for body, pause_s in zip(bodies, pauses(), strict=False):
        awaited = asyncio.ensure_future(consumer.fetch(1, timeout=_WAIT_S))
        await asyncio.sleep(pause_s)
        begin = time.perf_counter()
        await stream.publish("events", body, timeout=_WAIT_S)
        (message,) = await awaited
        taken.append(time.perf_counter() - begin)
        assert message.data == body, "another event arrived"
        await message.ack()
    return taken
