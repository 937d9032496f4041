"""The import rules in pyproject.toml are tried: each refuses the import that it is there to refuse."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hcom_replica

ROOT = Path(__file__).parents[2]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the package with its rules, to break."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "hcom_replica", tmp_path / "hcom_replica", ignore=ignore)
    return tmp_path


def lint(house: Path, contract: str) -> subprocess.CompletedProcess[str]:
    """Check one import contract in the copy."""
    code = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    command = [sys.executable, "-c", code, "--no-cache", "--no-logo", "--contract", contract]
    return subprocess.run(command, cwd=house, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("contract", ["floors", "pure", "lmdb-edge", "mqtt-edge", "hcom-edge", "fake-world"])
def test_import_rules_with_the_package_as_it_is_hold(house: Path, contract: str) -> None:
    result = lint(house, contract)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("contract", "package", "line"),
    [
        ("pure", "core", "import time"),
        ("pure", "core", "from datetime import UTC"),
        ("pure", "wire", "import os.path"),
        ("pure", "wire", "import random"),
        ("floors", "core", "import hcom_replica.store"),
        ("floors", "wire", "import hcom_replica.core"),
        ("floors", "store", "import hcom_replica.transport"),
        ("floors", "daemon", "import hcom_replica.cli"),
        ("lmdb-edge", "daemon", "import lmdb"),
        ("mqtt-edge", "store", "import paho.mqtt.client"),
        ("mqtt-edge", "cli", "import amqtt.broker"),
        ("hcom-edge", "daemon", "import sqlite3"),
        ("hcom-edge", "api", "from sqlite3 import connect"),
        ("floors", "store", "import hcom_replica.bridge"),
        ("floors", "bridge", "import hcom_replica.store"),
        ("fake-world", "cli", "import hcom_replica.testing"),
    ],
)
def test_import_rule_with_an_offending_line_refuses_it(house: Path, contract: str, package: str, line: str) -> None:
    (house / "hcom_replica" / package / "offender.py").write_text(line + "\n", encoding="utf-8")
    result = lint(house, contract)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"hcom_replica.{package}.offender" in result.stdout


def test_floors_with_a_module_on_no_floor_refuse_it(house: Path) -> None:
    (house / "hcom_replica" / "attic.py").write_text("", encoding="utf-8")
    result = lint(house, "floors")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "attic" in result.stdout


def test_package_with_an_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Replicant'"):
        _ = hcom_replica.Replicant
