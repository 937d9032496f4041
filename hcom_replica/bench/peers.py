"""What else a user could take, on the same journeys in the same run: hcom's own relay, NATS JetStream, Redis Streams.

Each writes durably on one side while the other is away; then the other is put back, and the clock runs until it holds
the last event on its own disk. Then single events go from one to the other. What arrived is compared before a speed is
told. What each of them does not do is in bench/README.md. A peer that is not installed is left out, by name.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.figures import Figure
from hcom_replica.bench.parts import Scale
from hcom_replica.bench.peer_hcom import hcom_relay
from hcom_replica.bench.peer_nats import jetstream
from hcom_replica.bench.peer_redis import redis_streams
from hcom_replica.bench.servers import found


class Peer(NamedTuple):
    """One of them, and what it takes."""

    programs: tuple[str, ...]
    packages: tuple[str, ...]
    measure: Callable[[Corpus, Path, Scale], list[Figure]]

    def missing(self) -> str:
        """What has to be installed first; empty when it is all there."""
        lacking = [f"the program {program}" for program in self.programs if found(program) is None]
        lacking += [f"the package {package}" for package in self.packages if find_spec(package) is None]
        return " and ".join(lacking)


PEERS: Final = {
    "hcom": Peer(("hcom", "mosquitto"), (), hcom_relay),
    "redis": Peer(("redis-server",), ("redis",), redis_streams),
    "nats": Peer(("nats-server",), ("nats",), jetstream),
}
"""By the name of the part."""
