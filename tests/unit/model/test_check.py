from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "specs" / "model"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("model_check", MODELS / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = load()

HOLDS = """
State-vector 80 byte, depth reached 788, errors: 0
  9073383 states, stored (2.63711e+07 visited)
"""


def switches_in_models() -> set[str]:
    """Model and switch of every mutant that a model can be built with."""
    found = set()
    for path in MODELS.glob("*.pml"):
        named = re.findall(r"#\s*ifn?def (M_\w+)|defined\((M_\w+)\)", path.read_text())
        found |= {f"{path.stem} {first or second}" for first, second in named}
    return found


def test_judge_search_without_errors_holds() -> None:
    assert check.judge(HOLDS, seconds=3.5) == ("", 9_073_383, 788, 3.5, "")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("pan:1: assertion violated (a>b) (at depth 31)", "assertion"),
        ("pan:1: acceptance cycle (at depth 83)", "cycle"),
        ("pan: out of memory\nWarning: Search not completed", "unfinished"),
        ("error: max search depth too small", "unfinished"),
    ],
)
def test_judge_search_that_found_or_left_something_does_not_hold(line: str, found: str) -> None:
    assert check.judge(line + HOLDS).found == found


def test_judge_something_else_than_a_report_raises() -> None:
    with pytest.raises(check.Failure):
        check.judge("Segmentation fault")


def test_mutants_every_switch_of_a_model_is_run_once() -> None:
    run = [case.name for case in check.cases() if case.mutant]
    assert sorted(run) == sorted(switches_in_models())


def test_mutants_every_one_is_explained() -> None:
    text = (ROOT / "docs" / "explanation" / "model.md").read_text()
    assert [c.name for c in check.cases() if c.mutant and f"`{c.defines[-1]}`" not in text] == []


def test_clauses_named_by_models_exist() -> None:
    protocol = set(re.findall(r"\*\*(P\d+\.\d+)\*\*", (ROOT / "specs" / "protocol-v1.md").read_text()))
    named = {c for path in MODELS.glob("*.pml") for c in re.findall(r"\bP\d+\.\d+\b", path.read_text())}
    assert named
    assert named <= protocol
