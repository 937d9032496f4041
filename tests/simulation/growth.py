"""How time and bytes grow with the group: `python -m tests.simulation.growth 2:20 10:20 30:10 100:3 1000:1`.

Each argument is devices:seeds. Every device writes one event, and a fifth of all messages is lost, as with
`hcom-replica simulate --devices N --events N --loss 0.2 --seed S`. Prints the averages as the rows of the table in
docs/explanation/how-this-is-tested.md, as sizes are done, and then the curve of the times.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from hcom_replica.testing.simulation import Plan, Report, simulate

LOSS: Final = 0.2
_WIDTH: Final = 60


class Row(NamedTuple):
    """Averages of some seeds.

    Attributes:
        devices: how many.
        seconds: virtual, from the last event until every device holds every event.
        sent_messages, sent_bytes: of a device.
        redundancy: bytes of events received / lacking.
        vector_bytes_per_s: acknowledgements of the whole group.
        head_bytes_max: the largest head.
    """

    devices: int
    seconds: float
    sent_messages: int
    sent_bytes: int
    redundancy: float
    vector_bytes_per_s: int
    head_bytes_max: int

    def as_markdown(self) -> str:
        """A row of the table."""
        cells = (
            f"{self.devices:,}",
            f"{self.seconds:.1f}",
            f"{self.sent_messages:,}",
            f"{self.sent_bytes:,}",
            f"{self.redundancy:.2f}",
            f"{self.vector_bytes_per_s:,}",
            f"{self.head_bytes_max}",
        )
        return "| " + " | ".join(cells) + " |"


def measure(devices: int, seeds: Iterable[int]) -> Row:
    """Run a size with some seeds.

    Raises:
        AssertionError: a run did not converge.
    """
    reports = [simulate(Plan(devices, devices, LOSS, seed)) for seed in seeds]
    assert all(report.converged for report in reports)
    return Row(
        devices,
        _mean(reports, "convergence_s"),
        round(_mean(reports, "sent_messages")),
        round(_mean(reports, "sent_bytes")),
        _mean(reports, "redundancy"),
        round(_mean(reports, "vector_bytes_per_s")),
        max(report.head_bytes_max for report in reports),
    )


def drawn(rows: Sequence[Row]) -> str:
    """Seconds over devices; the devices on a logarithmic scale, where a logarithm is a straight line."""
    most = max(row.seconds for row in rows)
    lines = []
    for before, row in zip([rows[0], *rows], rows, strict=False):
        gap = round(4 * math.log10(row.devices / before.devices)) - 1
        lines += [f"{'':>6} |"] * max(gap, 0)
        lines.append(f"{row.devices:>6,} |{'':{round(_WIDTH * row.seconds / most)}}* {row.seconds:.1f} s")
    return "\n".join(lines)


def _mean(reports: Sequence[Report], name: str) -> float:
    return sum(getattr(report, name) or 0.0 for report in reports) / len(reports)


def main(sizes: Sequence[str]) -> None:
    """Measure each size, and print."""
    rows = []
    for size in sizes:
        devices, _, seeds = size.partition(":")
        rows.append(measure(int(devices), range(1, 1 + int(seeds or 1))))
        print(rows[-1].as_markdown(), flush=True)  # noqa: T201 - it was asked for
    print(drawn(rows))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
