"""The benchmarks run, and what they carry arrives. No speed is judged here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from hcom_replica.bench.peers import PEERS
from hcom_replica.testing.real.processes import Cli

RUN_S = 280.0
"""For a run that takes half a minute on an idle machine."""


def bench(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command on the generated corpus."""
    with Cli(tmp_path / "unused", {"HCOM_REPLICA_CORPUS": str(tmp_path)}) as cli:
        return cli.run("bench", "--disk", str(tmp_path), *arguments, timeout_s=RUN_S)


@pytest.mark.slow
@pytest.mark.timeout(RUN_S + 20)
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
        "burst",
        "live",
        "gap of 1,000",
        "Mbit/s",
        "`emit`",
        "cold",
        "`replay",
        "`audit`",
        "interleaved",
        "idle",
        "one event a second",
        "ten a second",
        "one event alone",
    ):
        assert part in names


@pytest.mark.slow
@pytest.mark.timeout(RUN_S + 20)
def test_bench_beside_peers_measures_those_that_are_installed_and_names_the_others(tmp_path: Path) -> None:
    done = bench(tmp_path, "--quick", "--json", *PEERS)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["left_out"].keys() == {name for name, peer in PEERS.items() if peer.missing()}
    catch_ups = [figure for figure in told["figures"] if figure["same"] == "catch-up"]
    assert len(catch_ups) == len(PEERS) - len(told["left_out"])
    assert all(figure["value"] > 0 and figure["who"] for figure in catch_ups)


def test_bench_compares_its_ratios_with_those_of_an_earlier_run(tmp_path: Path) -> None:
    earlier = tmp_path / "before.json"
    first = bench(tmp_path, "--quick", "--json", "append-many")
    told = json.loads(first.stdout)
    for figure in told["figures"]:
        figure["ratio"] /= 100
    earlier.write_text(json.dumps(told))
    assert bench(tmp_path, "--quick", "append-many", "--baseline", str(earlier)).returncode == 0
    for figure in told["figures"]:
        figure["ratio"] *= 10_000
    earlier.write_text(json.dumps(told))
    done = bench(tmp_path, "--quick", "append-many", "--baseline", str(earlier))
    assert done.returncode == 1
    assert "fallen: append_many" in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        '{"figures": [1]}',
        '{"figures": [{"name": "x"}]}',
        '{"figures": [], "machine": {"quick": false}}',
    ],
)
def test_bench_beside_a_file_that_is_no_run_is_a_usage_error(tmp_path: Path, text: str | None) -> None:
    earlier = tmp_path / "before.json"
    if text is not None:
        earlier.write_text(text)
    done = bench(tmp_path, "--quick", "append-many", "--baseline", str(earlier))
    assert done.returncode == 2
    assert "before.json" in done.stderr


def test_bench_draws_what_it_measured(tmp_path: Path) -> None:
    done = bench(tmp_path, "--quick", "append-many", "isolated", "--plot", str(tmp_path / "plots"))
    assert done.returncode == 0, done.stderr
    drawn = {path.name: path.read_text() for path in (tmp_path / "plots").iterdir()}
    assert drawn.keys() == {"append-many.svg", "isolated.svg"}
    assert all(text.startswith("<svg ") for text in drawn.values())


def test_bench_that_cannot_draw_says_so_before_it_measures(tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("a file")
    done = bench(tmp_path, "--quick", "append-many", "--plot", str(tmp_path / "plots"))
    assert done.returncode == 2
    assert "plots" in done.stderr
    assert "append_many" not in done.stdout


def test_bench_of_an_unknown_part_is_a_usage_error(tmp_path: Path) -> None:
    done = bench(tmp_path, "no-such-part")
    assert done.returncode == 2
    assert "no-such-part" in done.stderr
