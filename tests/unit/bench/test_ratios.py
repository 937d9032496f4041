"""What pytest-benchmark measured, as ratios: one that fell in every run is told, and is the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.ratios import main


def run(folder: Path, name: str, ours_s: float, raw_s: float | None) -> str:
    """A file as pytest-benchmark writes it."""
    path = folder / name
    times = {"test_one": ours_s, **({} if raw_s is None else {"test_one_raw": raw_s})}
    told = [{"group": "appends", "name": test, "stats": {"median": taken}} for test, taken in times.items()]
    path.write_text(json.dumps({"benchmarks": told}))
    return str(path)


@pytest.mark.parametrize(
    ("ours_s", "raw_s", "code"),
    [(0.2, 0.1, 0), (0.28, 0.1, 0), (0.3, 0.1, 1), (0.3, 0.15, 0), (0.1, None, 0)],
)
def test_ratio_that_fell_is_told_and_is_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ours_s: float, raw_s: float | None, code: int
) -> None:
    before = run(tmp_path, "before", 0.2, 0.1)
    assert main([run(tmp_path, "now", ours_s, raw_s), "--before", before]) == code
    said = capsys.readouterr()
    assert ("fallen: test_one: appends" in said.err) is bool(code)
    assert ("test_one_raw" in said.out) is (raw_s is not None)


def test_best_run_now_is_held_to_the_worst_before(tmp_path: Path) -> None:
    slow, fast = run(tmp_path, "slow", 0.3, 0.1), run(tmp_path, "fast", 0.1, 0.1)
    assert main([slow, "--before", fast]) == 1
    assert main([slow, fast, "--before", fast]) == 0
    assert main([slow, "--before", fast, slow]) == 0
    assert main([slow, "--before", slow, fast]) == 0
