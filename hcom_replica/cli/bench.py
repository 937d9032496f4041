"""`bench`: throughput, catch-up, latency and bytes, each beside its floor of the same run."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated, Any, Final

from hcom_replica.cli.options import Arg, Opt
from hcom_replica.cli.print import facts, flush, json_line, line, note
from hcom_replica.cli.session import Session

_MAY_FALL: Final = 0.3


def bench(
    session: Session,  # noqa: ARG001 - every command is given one; this one has folders of its own
    names: Annotated[list[str], Arg("[PART]...", help="what to measure; all when none is named")] = (),  # type: ignore[assignment]
    quick: Annotated[bool, Opt("--quick", help="tiny amounts, nothing judged: does it work?")] = False,
    peers: Annotated[
        bool, Opt("--peers", help="beside what else could be taken: Redis Streams, NATS JetStream")
    ] = False,
    disk: Annotated[str | None, Opt("--disk", metavar="PATH", help="a folder on the disk to measure on")] = None,
    baseline: Annotated[
        str | None,
        Opt("--baseline", metavar="FILE", help="output of --json: exit 1 when a ratio fell by 30 %"),
    ] = None,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Measure this machine's throughput, catch-up, latency and bytes, beside what is possible on it."""
    from hcom_replica.bench.figures import fallen, table
    from hcom_replica.bench.run import begin, chosen

    parts, left_out = chosen(names, peers=peers)
    earlier, begun = _earlier(baseline), time.monotonic()
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
    worse = fallen(figures, earlier, _MAY_FALL) if earlier is not None else []
    for one in worse:
        note(f"fallen: {one}")
    return 1 if worse or (missed and earlier is None) else 0


def _earlier(path: str | None) -> list[dict[str, Any]] | None:
    """The figures of an earlier run; None when none is named.

    Raises:
        UsageError: the file is not what --json prints.
    """
    import json

    from hcom_replica.errors import UsageError

    if path is None:
        return None
    try:
        figures: list[dict[str, Any]] = json.loads(Path(path).read_bytes())["figures"]
        if all({"name", "floor_name", "ratio"} <= row.keys() for row in figures):
            return figures
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise UsageError(f"{path} is not a run of the bench", hint="hcom-replica bench --json > FILE")
