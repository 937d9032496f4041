"""`bench`: throughput, catch-up, latency and bytes, each beside its floor of the same run."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated

from hcom_replica.cli.options import Arg, Opt
from hcom_replica.cli.print import facts, flush, json_line, line, note
from hcom_replica.cli.session import Session


def bench(
    session: Session,  # noqa: ARG001 - every command is given one; this one has folders of its own
    names: Annotated[list[str], Arg("[PART]...", help="what to measure; all when none is named")] = (),  # type: ignore[assignment]
    quick: Annotated[bool, Opt("--quick", help="tiny amounts, nothing judged: does it work?")] = False,
    peers: Annotated[
        bool, Opt("--peers", help="beside what else could be taken: Redis Streams, NATS JetStream")
    ] = False,
    disk: Annotated[str | None, Opt("--disk", metavar="PATH", help="a folder on the disk to measure on")] = None,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Measure this machine's throughput, catch-up, latency and bytes, beside what is possible on it."""
    from hcom_replica.bench.figures import table
    from hcom_replica.bench.run import begin, chosen

    parts, left_out = chosen(names, peers=peers)
    begun = time.monotonic()
    figures = []
    with begin(Path(disk or gettempdir()), quick=quick) as run:
        if not json:
            facts(run.facts.items())
        for _, made in run.figures(parts):
            figures += made
            if not json:
                line(f"\n{table(made)}")
                flush()
    for name, what in left_out.items():
        note(f"left out: {name}, for lack of {what}")
    missed = sum(figure.passed is False for figure in figures)
    if json:
        json_line({"machine": run.facts, "figures": [figure.as_json() for figure in figures], "left_out": left_out})
    else:
        judged = sum(figure.passed is not None for figure in figures)
        told = "quick: nothing is judged" if quick else f"{judged - missed} of {judged} targets met"
        line(f"\n{told}; {time.monotonic() - begun:.0f} s")
    return 1 if missed else 0
