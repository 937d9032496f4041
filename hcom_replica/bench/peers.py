"""What else a user could take, on the same journey in the same run: NATS JetStream, and Redis Streams with a copier.

The journey is that of `catch-up`: one side writes durably while the other is away; then the other is put back, and the
clock runs until it holds the last event on its own disk. What arrived is compared before a speed is told. What each of
them does not do is in bench/README.md. A peer that is not installed is left out, by name.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any, Final, NamedTuple

from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.figures import Figure
from hcom_replica.bench.parts import Scale, fresh
from hcom_replica.testing.real.brokers import HOST, free_port
from hcom_replica.testing.real.waiting import wait_until

_BATCH: Final = 1_000
_WAIT_S: Final = 60.0
_STOP_S: Final = 10.0
_PATH: Final = "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin"
_STREAM: Final = "EVENTS"


def _found(program: str) -> str | None:
    return which(program) or which(program, path=_PATH)


@contextmanager
def _server(command: Sequence[str], folder: Path) -> Iterator[None]:
    """Run a server, ended by its pid."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _figures(peer: str, count: int, write_s: float, caught_up_s: float) -> list[Figure]:
    return [
        Figure(f"{peer}: durable writes", count / write_s, "events/s"),
        Figure(f"{peer}: catch-up of {count:,} events", count / caught_up_s, "events/s"),
    ]


# --- Redis Streams ---------------------------------------------------------------------------------------------


def redis_streams(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """Two servers that sync each write to disk, and a Python program that copies what the other lacks."""
    bodies = [draft.body for draft in corpus.take(scale.peer_events)]
    there, here = fresh(folder, "redis"), fresh(folder, "redis")
    with _redis(there) as source, _redis(here) as copy:
        begin = time.perf_counter()
        for at in range(0, len(bodies), _BATCH):
            pipe = source.pipeline(transaction=False)
            for body in bodies[at : at + _BATCH]:
                pipe.xadd(_STREAM, {"e": body})
            pipe.execute()
        written = time.perf_counter()
        _copy(source, copy)
        caught_up_s = time.perf_counter() - written
        assert [fields[b"e"] for _, fields in copy.xrange(_STREAM)] == bodies, "the copy differs"
    return _figures("Redis Streams and a copier", len(bodies), written - begin, caught_up_s)


def _copy(source: Any, copy: Any) -> None:
    """Copy as such programs do: read a thousand, write them, go on behind the last."""
    last = b"0"
    while found := source.xread({_STREAM: last}, count=_BATCH):
        pipe = copy.pipeline(transaction=False)
        for number, fields in found[0][1]:
            pipe.xadd(_STREAM, fields, id=number)
            last = number
        pipe.execute()


@contextmanager
def _redis(folder: Path) -> Iterator[Any]:
    import redis  # noqa: PLC0415 - an extra

    port = free_port()
    options = ["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--bind", HOST]
    command = [_found("redis-server") or "", "--port", str(port), "--dir", str(folder), *options]
    with _server(command, folder):
        client = redis.Redis(HOST, port)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

        wait_until(answers, _WAIT_S, "redis-server answers")
        yield client
        client.close()


# --- NATS JetStream --------------------------------------------------------------------------------------------


def jetstream(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """A hub, a leaf node with a mirror of the hub's stream in a file, and a consumer that pulls from the mirror."""
    bodies = [draft.body for draft in corpus.take(scale.peer_events)]
    return asyncio.run(_jetstream(bodies, fresh(folder, "nats")))


async def _jetstream(bodies: Sequence[bytes], folder: Path) -> list[Figure]:
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
            held = await _pull(copy.jetstream(domain="leaf"), len(bodies))
            caught_up_s = time.perf_counter() - written
            assert held == list(bodies), "the mirror differs"
            await copy.close()
        await source.close()
    return _figures("NATS JetStream, mirror and consumer", len(bodies), written - begin, caught_up_s)


def _nats_settings(folder: Path, hub: int, inner: int, leaf: int) -> dict[str, str]:
    def text(name: str, port: int, leafnodes: str) -> str:
        return (
            f'server_name: {name}\nhost: {HOST}\nport: {port}\njetstream {{ store_dir: "{folder / name / "data"}", '
            f"domain: {name} }}\nleafnodes {{ {leafnodes} }}\n"
        )

    remote = f'remotes [ {{ url: "nats://{HOST}:{inner}" }} ]'
    return {"hub": text("hub", hub, f"host: {HOST}, port: {inner}"), "leaf": text("leaf", leaf, remote)}


def _nats(folder: Path) -> Any:
    return _server([_found("nats-server") or "", "--config", str(folder / "settings")], folder)


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


async def _pull(stream: Any, count: int) -> list[bytes]:
    """Take all from the mirror with a durable consumer, each acknowledged."""
    consumer = await stream.pull_subscribe("", durable="reader", stream="COPY")
    held: list[bytes] = []
    while len(held) < count:
        for message in await consumer.fetch(min(_BATCH, count - len(held)), timeout=_WAIT_S):
            held.append(message.data)
            await message.ack()
    return held


class Peer(NamedTuple):
    """One of them, and what it takes."""

    program: str
    package: str
    measure: Callable[[Corpus, Path, Scale], list[Figure]]

    def missing(self) -> str:
        """What has to be installed first; empty when it is all there."""
        lacking = [f"the program {self.program}"] if _found(self.program) is None else []
        lacking += [f"the package {self.package}"] if find_spec(self.package) is None else []
        return " and ".join(lacking)


PEERS: Final = {
    "redis": Peer("redis-server", "redis", redis_streams),
    "nats": Peer("nats-server", "nats", jetstream),
}
"""By the name of the part."""
