"""The models at their small sizes, and the mutants that are quick to catch: what `make model QUICK=1` runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

MODELS = Path(__file__).parents[2] / "specs" / "model"
TABLE = tomllib.loads((MODELS / "cases.toml").read_text())
QUICK = [case["name"] for case in TABLE["check"] if case.get("quick")]
QUICK += [f"{case['model']} {case['switch']}" for case in TABLE["mutant"] if case.get("quick")]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # a search is bound by the processor, and the machine may be busy
    pytest.mark.skipif(None in (shutil.which("spin"), shutil.which("cc")), reason="needs spin and a C compiler"),
]


@pytest.mark.parametrize("name", QUICK)
def test_model_quick_case_is_judged_as_expected(name: str) -> None:
    command = [sys.executable, str(MODELS / "check.py"), "--quick", "--only", name]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 failed" in result.stdout
