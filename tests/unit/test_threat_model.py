"""The threat model claims nothing that no test shows: whatever it names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "threat-model.md").read_text()


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 30
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path} has no {name}"


def test_every_scenario_that_the_threat_model_names_is_there() -> None:
    lists = re.findall(r"scenarios? ((?:`[a-z_]+`(?:, )?)+)", PAGE)
    named = [name for names in lists for name in re.findall(r"`([a-z_]+)`", names)]
    assert len(named) > 8
    for name in named:
        assert (ROOT / "tests" / "simulation" / "scenarios" / f"{name}.scenario").exists(), name


def test_every_claim_names_what_shows_it() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| claim", "|---"))]
    assert rows
    for row in rows:
        assert "::test_" in row or "scenario" in row, row
