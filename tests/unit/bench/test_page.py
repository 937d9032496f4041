"""The page of measured figures says what the saved run says, and nothing else."""

from __future__ import annotations

import json
from typing import Any

from bench.page import MEASURED, PAGE, PICTURES, page
from hcom_replica.bench.figures import Figure, Target
from hcom_replica.bench.plot import drawn

OURS = Figure("catch-up of 10", 300, "events/s", "more", 600, "bare", (Target(400),), "catch-up", same="catch-up")
THEIRS = Figure("theirs", 100, "events/s", part="hcom", same="catch-up", who="hcom relay")


def run(*figures: Figure, left_out: dict[str, str] | None = None) -> dict[str, Any]:
    rows = [figure.as_json() for figure in figures]
    return {"machine": {"cores": 2, "quick": False}, "figures": rows, "left_out": left_out or {}}


def test_page_is_what_the_saved_run_says() -> None:
    told = json.loads(MEASURED.read_bytes())
    assert PAGE.read_text() == page(told), "run `python -m bench.page`"
    assert {path.name: path.read_text() for path in PICTURES.glob("*.svg")} == drawn(told["figures"])


def test_saved_run_is_a_whole_one_with_every_target() -> None:
    told = json.loads(MEASURED.read_bytes())
    assert told["machine"]["quick"] is False
    assert {row["who"] for row in told["figures"]} >= {"hcom relay", "NATS JetStream", "Redis Streams"}


def test_target_is_shown_with_its_figure_its_verdict_and_what_repeats_it() -> None:
    text = page(run(OURS))
    assert "Targets: 0 of 1 met" in text
    assert (
        "| catch-up of 10 | 300 events/s | 600: bare | 0.50 | >= 400 | **no** | `hcom-replica bench catch-up` |" in text
    )


def test_peer_stands_beside_ours_with_how_many_times_better_ours_is() -> None:
    assert "| catch-up | 300 events/s | 100 events/s (3) |" in page(run(OURS, THEIRS))


def test_peer_that_was_not_measured_is_named() -> None:
    assert "Not measured: nats, for lack of the program nats-server." in page(
        run(OURS, left_out={"nats": "the program nats-server"})
    )


def test_each_part_is_said_and_drawn_once() -> None:
    text = page(run(OURS, Figure("more of it", 1, "MiB", part="catch-up"), THEIRS))
    assert text.count("### ") == 1
    assert "(../images/bench/catch-up.svg)" in text
    assert "One device writes while the other is off the network" in text
