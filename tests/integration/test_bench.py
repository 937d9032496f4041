"""The benchmarks run, and what they carry arrives. No speed is judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.processes import clean_environment

ROOT = Path(__file__).resolve().parents[2]


def bench(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the runner on the generated corpus."""
    environment = clean_environment(tmp_path / "unused", {"HCOM_REPLICA_CORPUS": str(tmp_path)})
    command = [sys.executable, "-m", "bench", "--dir", str(tmp_path), *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.slow
def test_quick_bench_runs_every_part_and_judges_none(tmp_path: Path) -> None:
    done = bench(tmp_path, "--quick", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["machine"]["corpus"].startswith("generated")
    assert all(figure["value"] >= 0 and figure["passed"] is None for figure in told["figures"])
    names = " ".join(figure["name"] for figure in told["figures"])
    for part in (
        "append_many",
        "one durable append",
        "ingest",
        "scan",
        "seal",
        "catch-up",
        "live",
        "one event a second",
    ):
        assert part in names


def test_bench_of_an_unknown_part_is_a_usage_error(tmp_path: Path) -> None:
    done = bench(tmp_path, "no-such-part")
    assert done.returncode == 2
    assert "no-such-part" in done.stderr
