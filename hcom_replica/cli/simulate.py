"""`simulate`: a group of any size in virtual time, over a simulated broker that loses messages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import escape, facts, json_line, note
from hcom_replica.cli.progress import Progress
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError

if TYPE_CHECKING:
    from hcom_replica.testing.simulation import Report


def simulate(
    session: Session,  # noqa: ARG001 - every command is given one; this one touches no folder
    devices: Annotated[int, Opt("--devices", metavar="N", help="how many devices, 2 to 4000")] = 10,
    events: Annotated[int, Opt("--events", metavar="E", help="how many events all of them write together")] = 1000,
    loss: Annotated[float, Opt("--loss", metavar="P", help="share of the messages to each device that is lost")] = 0.0,
    seed: Annotated[int, Opt("--seed", metavar="S", help="names the run: equal seeds give equal runs")] = 1,
    plot: Annotated[str | None, Opt("--plot", metavar="FILE", help="draw convergence over time, as SVG")] = None,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Simulate a group, and say how long it takes until all devices hold all events, and what that costs."""
    from hcom_replica.testing.plot import convergence_svg
    from hcom_replica.testing.simulation import Plan, check
    from hcom_replica.testing.simulation import simulate as run

    plan = Plan(devices, events, loss, seed)
    check(plan)
    if plot is not None:
        _write(plot, "")  # a long run must not end in a file that cannot be written
    with Progress() as progress:
        report = run(plan, progress)
    if plot is not None:
        title = f"{devices} devices, {events} events, {loss:.0%} loss, seed {seed}"
        _write(plot, convergence_svg(title, report.curve))
    if json:
        json_line(report)
    else:
        _show(report)
        if plot is not None:
            note(f"plot in {escape(plot)}")
    return 0 if report.converged else 1


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="--plot takes a file to be made") from None


def _show(report: Report) -> None:
    facts(
        [
            ("devices", report.devices),
            ("events", report.events),
            ("loss", f"{report.loss:.0%}"),
            ("seed", str(report.seed)),
            ("converged", report.converged),
            ("time after the last write", f"{report.convergence_s:.1f} s (virtual)"),
            ("gossip rounds", report.gossip_rounds),
            ("sent by a device", f"{report.sent_messages:,} messages, {report.sent_bytes:,} bytes"),
            ("received by a device", f"{report.received_messages:,} messages, {report.received_bytes:,} bytes"),
            ("overflowed in the broker", f"{report.dropped_messages:,} messages a device"),
            ("redundancy", report.redundancy),
            ("largest head", f"{report.head_bytes_max} bytes"),
            ("acknowledgements", f"{report.vector_bytes_per_s:,} bytes/s of all devices"),
        ]
    )
