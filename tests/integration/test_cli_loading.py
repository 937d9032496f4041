"""What the commands that agents' hooks run many times a minute must not load: each of these takes milliseconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_SLOW = (
    "typer",
    "rich",
    "paho",
    "asyncio",
    "hashlib",
    "tempfile",
    "shutil",
    "random",
    "sqlite3",
    "ssl",
    "zstandard",
    "dataclasses",
)
_RUN = (
    "import sys; from hcom_replica.cli.main import main; code = main(sys.argv[1:]); "
    f"print(code, *(name for name in {_SLOW} if name in sys.modules), file=sys.stderr)"
)


@pytest.mark.parametrize(
    "words",
    [
        ("emit", "status", "--agent", "luna", "--data", "{}"),
        ("send", "@nova", "--from", "luna", "--", "hi"),
        ("status", "--json"),
    ],
)
def test_command_of_hooks_loads_nothing_slow(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RUN, "--dir", str(tmp_path / "r"), *words], capture_output=True, text=True, check=True
    )
    assert done.stderr.split() == ["0"]
