"""The parts of the bench, in their order, and one run of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from hcom_replica.bench import journeys, machine, parts, trickle
from hcom_replica.bench.corpus import Corpus, load
from hcom_replica.bench.figures import Figure
from hcom_replica.bench.parts import FULL, QUICK, Scale
from hcom_replica.errors import UsageError

Part = Callable[[Corpus, Path, Scale], list[Figure]]

PARTS: Final[dict[str, Part]] = {
    "append-many": parts.append_many,
    "append-one": parts.append_one,
    "ingest": parts.ingest,
    "scan": parts.scan,
    "codec": parts.codec,
    "catch-up": journeys.catch_up,
    "live": journeys.live,
    "wire": journeys.wire,
    "trickle": trickle.trickle,
    "talk": trickle.talk,
}


class Run:
    """One run on one folder; see `begin`.

    Attributes:
        facts: of the machine, and what was written.
    """

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self._folder = folder
        self._quick = quick
        self._corpus = load()
        self.facts: dict[str, Any] = {**machine.facts(folder), "corpus": self._corpus.name, "quick": quick}

    def figures(self, names: Sequence[str]) -> Iterator[tuple[str, list[Figure]]]:
        """Measure parts; gives each one's name and figures when it is done. A quick run judges none."""
        scale = QUICK if self._quick else FULL
        for name in names:
            made = PARTS[name](self._corpus, self._folder, scale)
            yield name, [replace(figure, target=None) for figure in made] if self._quick else made


def chosen(names: Sequence[str]) -> list[str]:
    """The parts asked for, none is all of them.

    Raises:
        UsageError: there is no such part.
    """
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise UsageError(f"no such part: {', '.join(unknown)}", hint=f"parts are {', '.join(PARTS)}")
    return list(names or PARTS)


@contextmanager
def begin(parent: Path, *, quick: bool) -> Iterator[Run]:
    """Make a folder on a disk for one run, and remove it afterwards.

    Raises:
        UsageError: `parent` is in memory, and the run is not quick.
    """
    with machine.scratch(parent, memory=quick) as folder:
        yield Run(folder, quick=quick)
