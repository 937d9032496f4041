"""What a quiet hour costs: one event a second, while another device is away, in virtual time.

Owns the count of what a device publishes, topics and packet headers included. The world is the simulated one: the
daemon's own engine, machine and log, on a simulated broker; an hour takes seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.figures import Figure, Target
from hcom_replica.bench.parts import Scale
from hcom_replica.testing.cluster import Cluster
from hcom_replica.testing.traffic import Tally

_SEED: Final = 7
_SETTLE_MS: Final = 300_000
_MS: Final = 1_000
_CLASSES: Final = {
    "h": "heads", "v": "vectors", "i": "indexes", "m": "segments", "s": "standing", "p": "presence", "l": "live",
}  # fmt: skip


def trickle(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:  # noqa: ARG001 - all parts take the same
    """Bytes published by a device that writes while its only peer is away, beside the events' own bytes."""
    cluster = Cluster(_SEED, ["A", "B"])
    assert cluster.run_until_converged()
    cluster.run(_SETTLE_MS)
    cluster.stop("B")
    cluster.run(_SETTLE_MS)
    before, bytes_before, cum = _by_class(cluster), _published(cluster), cluster.own("A").cum
    for draft in corpus.take(scale.trickle_s):
        cluster.append("A", [draft])
        cluster.run(_MS)
    published, written = _published(cluster) - bytes_before, cluster.own("A").cum - cum
    spent = {name: size - before.get(name, 0) for name, size in _by_class(cluster).items()}
    cluster["B"].start()
    assert cluster.run_until_quiet(), "the device that was away did not get everything"
    assert cluster.digest("A") == cluster.digest("B")
    total = Figure(
        f"published in {scale.trickle_s} s of one event a second, a peer away",
        published,
        "bytes",
        "less",
        floor=written,
        floor_name="encoded events",
        target=Target(4, "ratio"),
    )
    parts = sorted(((size, name) for name, size in spent.items() if size), reverse=True)
    return [total, *(Figure(f"  of these, {name}", size, "bytes", "less") for size, name in parts)]


def talk(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:  # noqa: ARG001 - all parts take the same
    """Bytes published by everybody for ten events a second that one device writes while the other is online."""
    cluster = Cluster(_SEED, ["A", "B"])
    assert cluster.run_until_converged()
    cluster.run(_SETTLE_MS)
    before, cum = _all(cluster), cluster.own("A").cum
    drafts = corpus.take(scale.trickle_s)
    for draft in drafts:
        cluster.append("A", [draft])
        cluster.run(_MS // 10)
    published, written = _all(cluster) - before, cluster.own("A").cum - cum
    assert cluster.run_until_converged()
    assert cluster.digest("A") == cluster.digest("B")
    return [
        Figure(
            "published by both for an event, ten a second, both online",
            published / len(drafts),
            "bytes",
            "less",
            floor=written / len(drafts),
            floor_name="encoded events",
        )
    ]


def _all(cluster: Cluster) -> int:
    return sum(tally.bytes_in for tally in cluster.broker.traffic.by_owner.values())


def _published(cluster: Cluster) -> int:
    return cluster.broker.traffic.owner("A").bytes_in


def _by_class(cluster: Cluster) -> dict[str, int]:
    """Bytes published by all devices, by what for."""
    tallies: dict[str, Tally] = cluster.broker.traffic.by_class
    return {_CLASSES.get(name.rsplit("/", 1)[-1], "other"): tally.bytes_in for name, tally in tallies.items()}
