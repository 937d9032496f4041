"""`bench`: throughput, catch-up, latency and bytes, each beside its floor of the same run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Annotated, Any

from hcom_replica.cli.options import Arg, Opt
from hcom_replica.cli.print import facts, flush, json_line, line, note
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError

if TYPE_CHECKING:
    from hcom_replica.bench.figures import Figure
    from hcom_replica.bench.run import Run


def bench(
    session: Session,  # noqa: ARG001 - every command is given one; this one has folders of its own
    names: Annotated[list[str], Arg("[PART]...", help="what to measure; all when none is named")] = (),  # type: ignore[assignment]
    quick: Annotated[bool, Opt("--quick", help="tiny amounts, nothing judged: does it work?")] = False,
    peers: Annotated[
        bool, Opt("--peers", help="beside what else could be taken: hcom's own relay, Redis Streams, NATS JetStream")
    ] = False,
    disk: Annotated[str | None, Opt("--disk", metavar="PATH", help="a folder on the disk to measure on")] = None,
    baseline: Annotated[
        list[str],
        Opt("--baseline", metavar="FILE", help="output of --json: exit 1 when a ratio fell by 30 %; may be repeated"),
    ] = (),  # type: ignore[assignment]
    plot: Annotated[str | None, Opt("--plot", metavar="DIR", help="draw each part as SVG, into a folder")] = None,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Measure this machine's throughput, catch-up, latency and bytes, beside what is possible on it."""
    from hcom_replica.bench.run import begin, chosen

    parts, left_out = chosen(names, peers=peers)
    begun = time.monotonic()
    earlier = [row for path in baseline for row in _earlier(path, quick=quick)]
    if plot is not None:
        _write(plot, {})  # a long run must not end in a folder that cannot be made
    with begin(Path(disk or gettempdir()), quick=quick) as run:
        figures, worse = _measured(run, parts, earlier, json=json)
    rows = [figure.as_json() for figure in figures]
    if plot is not None:
        _write(plot, _drawn(rows))
    if json:
        json_line({"machine": run.facts, "figures": rows, "left_out": left_out})
    else:
        line(f"\n{_told(figures, quick=quick)}; {time.monotonic() - begun:.0f} s")
    for said in [*(f"left out: {name}, for lack of {what}" for name, what in left_out.items()), *worse]:
        note(said)
    missed = not baseline and any(figure.passed is False for figure in figures)
    return 1 if worse or missed else 0


def _measured(
    run: Run, parts: Sequence[str], earlier: list[dict[str, Any]], *, json: bool
) -> tuple[list[Figure], list[str]]:
    """Measure and show parts; gives the figures, and what fell since an earlier run."""
    from hcom_replica.bench.compare import beside

    figures: list[Figure] = []
    if not json:
        facts(run.facts.items())
    for _, made in run.figures(parts):
        figures += made
        _show(made, json=json)
    figures, worse = run.held_to(figures, earlier)
    compared = beside(figures)
    _show(compared, json=json)
    return [*figures, *compared], [f"fallen: {one}" for one in worse]


def _told(figures: Sequence[Figure], *, quick: bool) -> str:
    judged = [figure.passed for figure in figures if figure.passed is not None]
    return "quick: nothing is judged" if quick else f"{sum(judged)} of {len(judged)} targets met"


def _show(figures: Sequence[Figure], *, json: bool) -> None:
    from hcom_replica.bench.figures import table

    if figures and not json:
        line(f"\n{table(figures)}")
        flush()


def _drawn(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    from hcom_replica.bench.plot import drawn

    return drawn(rows)


def _write(folder: str, files: dict[str, str]) -> None:
    """Write files into a folder, which is made.

    Raises:
        UsageError: it cannot be written to.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}", hint="--plot takes a folder to be made") from None


def _earlier(path: str, *, quick: bool) -> list[dict[str, Any]]:
    """The figures of an earlier run.

    Raises:
        UsageError: the file is not what --json prints, or of a run of another size.
    """
    import json

    try:
        told = json.loads(Path(path).read_bytes())
        figures: list[dict[str, Any]] = told["figures"]
        if all({"name", "floor_name", "ratio"} <= row.keys() for row in figures):
            return _of_one_size(path, figures, quick == told["machine"]["quick"])
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise UsageError(f"{path} is not a run of the bench", hint="hcom-replica bench --json > FILE")


def _of_one_size(path: str, figures: list[dict[str, Any]], same: bool) -> list[dict[str, Any]]:
    if not same:
        raise UsageError(f"{path} is of a run of another size", hint="compare two quick runs, or two whole ones")
    return figures
