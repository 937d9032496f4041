"""The defences matter: each mutant takes one away from the core, and a scenario must notice.

A mutant that lives would mean that a rule is written down, and carried out, and that nobody would see it go.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hcom_replica.testing.scenario import play
from tests.simulation import mutants_log, mutants_talk
from tests.simulation.mutants_log import Mutant

SCENARIOS = Path(__file__).parent / "scenarios"
CAUGHT_BY: dict[Mutant, str] = {**mutants_log.CAUGHT_BY, **mutants_talk.CAUGHT_BY}


@pytest.mark.parametrize("mutant", CAUGHT_BY, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught_by_its_scenario(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (SCENARIOS / f"{CAUGHT_BY[mutant]}.scenario").read_text()
    mutant(monkeypatch)
    try:
        played = play(text)
    except AssertionError:
        return
    assert played != text


def test_mutants_are_thirty_at_least() -> None:
    assert len(CAUGHT_BY) >= 30
