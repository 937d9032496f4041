"""Whole commands, as agents' hooks run them many times a minute.

Each command is a process of its own, in turns with one that only imports what it cannot do without.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.figures import Figure, Target
from hcom_replica.bench.floors import Clock, seconds
from hcom_replica.bench.pair import pair
from hcom_replica.bench.parts import Scale, fresh
from hcom_replica.testing.real.processes import Cli, clean_environment

BARE_NAME: Final = "python -c 'import lmdb, msgspec'"
_BARE: Final = (sys.executable, "-c", "import lmdb, msgspec")
_HOT: Final[dict[str, tuple[str, ...]]] = {
    "emit": ("emit", "status", "--agent", "luna", "--data", '{"status":"active","context":"tool:Edit"}'),
    "send": ("send", "@nova", "--from", "luna", "--", "have a look"),
    "status --json": ("status", "--json"),
}


def commands(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:  # noqa: ARG001 - all parts take the same
    """The commands that hooks call, beside a daemon that syncs."""
    with pair(fresh(folder, "commands")) as both:
        before = both.first.replica.log.event_count()
        figures = [_command(name, both.first.cli, words, scale) for name, words in _HOT.items()]
        written = 2 * (scale.commands + 1)  # by emit and by send, each once before the clock
        assert both.first.replica.log.event_count() == before + written, "a command wrote nothing"
        both.await_equal()
    return figures


def _command(name: str, cli: Cli, words: Sequence[str], scale: Scale) -> Figure:
    ours, floor = list[float](), list[float]()
    cli.ok(*words)
    for _ in range(scale.commands):
        ours.append(seconds(partial(cli.ok, *words), scale.clock))
        floor.append(bare_s(cli, scale.clock))
    return Figure(
        f"`{name}` as a whole command, median",
        median(ours) * 1_000,
        "ms",
        "less",
        floor=median(floor) * 1_000,
        floor_name=BARE_NAME,
        targets=(Target(2.5, "times"),),
        same=name,
    )


def bare_s(cli: Cli, clock: Clock) -> float:
    """Seconds that a process takes which only imports what no command can do without."""
    return seconds(partial(subprocess.run, _BARE, check=True, env=clean_environment(cli.folder)), clock)
