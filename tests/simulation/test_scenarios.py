"""Every scenario file, as it is written down. REWRITE=1 writes down what happens now, to be reviewed as a diff."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hcom_replica.testing.scenario import ScenarioError, play

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.scenario"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario_played_prints_what_is_written(path: Path) -> None:
    """S1, S2, S3, S4, S5, S6, S8 are checked after every step, whatever is printed."""
    text = path.read_text()
    played = play(text)
    if os.environ.get("REWRITE"):
        path.write_text(played)
    else:
        assert played == text


def test_scenario_played_twice_is_the_same_run() -> None:
    text = next(path for path in FILES if path.stem == "lossy_link_repeats_and_reorders").read_text()
    assert play(text) == play(text)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("fly A", "no such command"),
        ("expect A holds A:9", "A holds A:0"),
        ("until A holds A:9 within=1s", "not within 1 s"),
        ("wait soon", "not a time"),
        ("expect flying", "no such condition"),
    ],
)
def test_scenario_with_a_line_that_does_not_hold_names_it(line: str, complaint: str) -> None:
    with pytest.raises(ScenarioError, match=f"line 2: {line}\n.*{complaint}"):
        play(f"devices A\n{line}\n")


def test_scenarios_open_with_the_danger_they_are_about() -> None:
    silent = [path.name for path in FILES if not path.read_text().startswith("# The ")]
    assert silent == []
