"""What events cost on the wire: one a second for an hour with a peer away, ten a second, and one alone; virtual time.

Owns the count of what a device publishes, topics and packet headers included. The world is the simulated one: the
daemon's own engine, machine and log, on a simulated broker; an hour takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.figures import Figure, Target
from hcom_replica.bench.parts import Scale
from hcom_replica.testing.cluster import Cluster
from hcom_replica.wire.event import Draft

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
        targets=(Target(4, "ratio"),),
    )
    return [total, *_shares(spent)]


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
            targets=(Target(120),),
        )
    ]


def isolated(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:  # noqa: ARG001 - all parts take the same
    """Bytes that one event causes while both devices are online and have nothing else to say.

    Two groups of one seed live the same minutes; in one of them the event is written. What is published in one and not
    in the other is what the event has caused: the live message, heads that repeat it, acknowledgements.
    """
    draft = next(draft for draft in corpus.drafts if draft.kind == "status")
    without = _quiet_minutes([])
    caused = {name: size - without.get(name, 0) for name, size in _quiet_minutes([draft]).items()}
    alone, body = "one event alone, both online", len(draft.body)
    return [
        Figure(f"{alone}: the live message, beyond its body", caused["live"] - body, "bytes", "less", body, "its body",
               (Target(260),)),
        Figure(f"{alone}: all that it causes", sum(caused.values()), "bytes", "less", body, "its body",
               (Target(1_200),)),
        *_shares(caused),
    ]  # fmt: skip


def _shares(spent: dict[str, int]) -> list[Figure]:
    """What the bytes went for, the most first."""
    parts = sorted(((size, name) for name, size in spent.items() if size), reverse=True)
    return [Figure(f"  of these, {name}", size, "bytes", "less") for size, name in parts]


def _quiet_minutes(drafts: Sequence[Draft]) -> dict[str, int]:
    """Bytes that a group of two publishes in some minutes in which this is written, by what for."""
    cluster = Cluster(_SEED, ["A", "B"])
    assert cluster.run_until_converged()
    cluster.run(_SETTLE_MS)
    before = _by_class(cluster)
    if drafts:
        cluster.append("A", drafts)
    cluster.run(_SETTLE_MS)
    assert cluster.digest("A") == cluster.digest("B"), "the event did not arrive"
    return {name: size - before.get(name, 0) for name, size in _by_class(cluster).items()}


def _all(cluster: Cluster) -> int:
    return sum(tally.bytes_in for tally in cluster.broker.traffic.by_owner.values())


def _published(cluster: Cluster) -> int:
    return cluster.broker.traffic.owner("A").bytes_in


def _by_class(cluster: Cluster) -> dict[str, int]:
    """Bytes published by all devices, by what for."""
    spent: dict[str, int] = {}
    for topic, tally in cluster.broker.traffic.by_class.items():
        name = _CLASSES.get(topic.rsplit("/", 1)[-1], "other")
        spent[name] = spent.get(name, 0) + tally.bytes_in
    return spent
