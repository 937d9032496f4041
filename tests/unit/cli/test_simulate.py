"""`simulate`: its JSON, its plot, and what a bad value gets."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hcom_replica.cli import main
from hcom_replica.testing.simulation import Report

SMALL = ["simulate", "--devices", "2", "--events", "5", "--seed", "4"]


def test_simulate_as_json_prints_all_keys_and_the_same_bytes_again(capfd: pytest.CaptureFixture[str]) -> None:
    assert main.main([*SMALL, "--json"]) == 0
    first = capfd.readouterr().out
    report = msgspec.json.decode(first, type=Report)
    assert (report.devices, report.events, report.seed, report.converged) == (2, 5, 4, True)
    assert main.main([*SMALL, "--json"]) == 0
    assert capfd.readouterr().out == first


def test_simulate_for_people_prints_facts_and_writes_the_plot(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "curve.svg"
    assert main.main([*SMALL, "--plot", str(path)]) == 0
    said = capfd.readouterr()
    assert "gossip rounds" in said.out
    assert str(path) in said.err
    assert path.read_text().startswith("<svg ")


@pytest.mark.parametrize(
    "line",
    [
        ["--devices", "1"],
        ["--devices", "many"],
        ["--events", "0"],
        ["--loss", "2"],
        ["--loss", "nan"],
        ["--seed", "x"],
        ["--plot", "/nowhere/at/all.svg"],
    ],
)
def test_simulate_with_a_bad_value_is_a_usage_error(line: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main.main(["simulate", *line]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("error[usage]: ")
    assert "\nhint: " in said.err
