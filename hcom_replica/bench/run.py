"""The parts of the bench, in their order, and one run of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from hcom_replica.bench import catchup, commands, large, links, live, machine, parts, trickle
from hcom_replica.bench.corpus import Corpus, load
from hcom_replica.bench.figures import Figure
from hcom_replica.bench.gate import Fallen, best, fallen
from hcom_replica.bench.parts import FULL, QUICK, Scale
from hcom_replica.bench.peers import PEERS
from hcom_replica.errors import UsageError

_AGAIN: Final = 2
"""How often a part is measured again of which a ratio fell: other programs disturb one measurement, seldom three."""

Part = Callable[[Corpus, Path, Scale], list[Figure]]

PARTS: Final[dict[str, Part]] = {
    "append-many": parts.append_many,
    "append-one": parts.append_one,
    "ingest": parts.ingest,
    "scan": parts.scan,
    "codec": parts.codec,
    "catch-up": catchup.catch_up,
    "burst": catchup.burst,
    "live": live.live,
    "wire": catchup.wire,
    "reconnect": links.reconnect,
    "slow-line": links.slow_line,
    "commands": commands.commands,
    "large": large.large,
    "interleaved": large.interleaved,
    "idle": links.idle,
    "trickle": trickle.trickle,
    "talk": trickle.talk,
    "isolated": trickle.isolated,
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
            measure = PARTS[name] if name in PARTS else PEERS[name].measure
            made = measure(self._corpus, self._folder, scale)
            yield name, [self._shown(name, figure) for figure in made]

    def held_to(
        self, figures: Sequence[Figure], earlier: Sequence[Mapping[str, Any]]
    ) -> tuple[list[Figure], list[Fallen]]:
        """Compare ratios with those of an earlier run; a part of which one fell is measured again before it counts.

        Returns:
            The figures, of each the best, and those whose ratio fell each time.
        """
        kept = list(figures)
        for _ in range(_AGAIN):
            parts = dict.fromkeys(one.part for one in fallen(kept, earlier))
            for _, made in self.figures(list(parts)):
                kept = best(kept, made)
        return kept, fallen(kept, earlier)

    def _shown(self, part: str, figure: Figure) -> Figure:
        return replace(figure, part=part, targets=() if self._quick else figure.targets)


def chosen(names: Sequence[str], *, peers: bool) -> tuple[list[str], dict[str, str]]:
    """Which parts to run.

    Args:
        names: those asked for; none is all of them.
        peers: with what else a user could take.

    Returns:
        The names, and of the peers that cannot be run what has to be installed for them.

    Raises:
        UsageError: there is no such part.
    """
    unknown = [name for name in names if name not in PARTS and name not in PEERS]
    if unknown:
        raise UsageError(f"no such part: {', '.join(unknown)}", hint=f"parts are {', '.join([*PARTS, *PEERS])}")
    wanted = list(dict.fromkeys([*(names or PARTS), *(PEERS if peers else ())]))
    missing = {name: PEERS[name].missing() for name in wanted if name in PEERS}
    return [name for name in wanted if not missing.get(name)], {name: what for name, what in missing.items() if what}


@contextmanager
def begin(parent: Path, *, quick: bool) -> Iterator[Run]:
    """Make a folder on a disk for one run, and remove it afterwards.

    Raises:
        UsageError: `parent` is in memory, and the run is not quick.
    """
    with machine.scratch(parent, memory=quick) as folder:
        yield Run(folder, quick=quick)
