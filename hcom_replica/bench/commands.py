"""Whole commands, as agents' hooks run them many times a minute, and what a large log costs them.

Each command is a process of its own, in turns with one that only imports what it cannot do without.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from hcom_replica.api.appending import append_drafts
from hcom_replica.api.replica import Replica
from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.figures import Figure, Target
from hcom_replica.bench.floors import BATCH_EVENTS, seconds
from hcom_replica.bench.pair import pair
from hcom_replica.bench.parts import Scale, fresh
from hcom_replica.testing.real.processes import Cli, clean_environment

_FLOOR: Final = "python -c 'import lmdb, msgspec'"
_BARE: Final = (sys.executable, "-c", "import lmdb, msgspec")
_DATA_FILE: Final = "log/data.mdb"
_HOT: Final[dict[str, tuple[str, ...]]] = {
    "emit": ("emit", "status", "--agent", "luna", "--data", '{"status":"active","context":"tool:Edit"}'),
    "send": ("send", "@nova", "--from", "luna", "--", "have a look"),
    "status --json": ("status", "--json"),
}


def commands(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:  # noqa: ARG001 - all parts take the same
    """The commands that hooks call, beside a daemon that syncs."""
    with pair(fresh(folder, "commands")) as both:
        return [_command(name, both.first.cli, words, scale.commands) for name, words in _HOT.items()]


def _command(name: str, cli: Cli, words: Sequence[str], runs: int) -> Figure:
    ours, floor, environment = list[float](), list[float](), clean_environment(cli.folder)
    cli.ok(*words)
    for _ in range(runs):
        ours.append(seconds(partial(cli.ok, *words)))
        floor.append(seconds(partial(subprocess.run, _BARE, check=True, env=environment)))
    return Figure(
        f"`{name}` as a whole command, median",
        median(ours) * 1_000,
        "ms",
        "less",
        floor=median(floor) * 1_000,
        floor_name=_FLOOR,
        target=Target(0.4, "ratio"),
    )


def large(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """A log of a million events: its size, and what opening and reading all of it take."""
    with _filled(corpus, fresh(folder, "large"), scale.large_events) as (cli, replica):
        count = replica.log.event_count()
        encoded = sum(len(event.record) for event in replica.log.events())
        size = (cli.folder / _DATA_FILE).stat().st_blocks * 512
        opened = median(seconds(partial(cli.ok, "status", "--json")) for _ in range(scale.commands))
        lines = cli.folder.parent / "replayed.jsonl"
        begin = time.perf_counter()
        cli.ok("replay", "--format", "jsonl", "-o", str(lines), timeout_s=600)
        took_s = time.perf_counter() - begin
        with lines.open("rb") as file:
            assert sum(1 for line in file if json.loads(line)["id"]) == count, "replay left something out"
    return [
        Figure("size on disk for each byte of encoded events", size / encoded, "bytes", "less", target=Target(1.7)),
        Figure(f"`status --json` of {count:,} events, median", opened * 1_000, "ms", "less", target=Target(150)),
        Figure(
            f"`replay --format jsonl` of {count:,} events", count / took_s, "events/s", "more", target=Target(300_000)
        ),
    ]


@contextmanager
def _filled(corpus: Corpus, folder: Path, events: int) -> Iterator[tuple[Cli, Replica]]:
    """A folder without a daemon that has so many events."""
    with Cli(folder / "replica") as cli, Replica.open(cli.folder) as replica:
        drafts = corpus.take(min(events, 100 * BATCH_EVENTS))
        for at in range(0, events, BATCH_EVENTS):
            first = at % len(drafts)
            append_drafts(replica.parts, drafts[first : first + BATCH_EVENTS])
        yield cli, replica
