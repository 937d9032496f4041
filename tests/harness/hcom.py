"""The real hcom for tests: the newest or an older release, and a machine that has it beside a replica."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from hcom_replica.testing.real import hcom
from hcom_replica.testing.real.hcom import RealHcom
from tests.harness.group import Laptop

__all__ = ["OLD", "Machine", "RealHcom", "hcom_path", "until_quiet"]

OLD: Final = "0.7.24"
_ROOT: Final = Path(__file__).resolve().parents[2]


def hcom_path(version: str | None = None) -> str | None:
    """The newest hcom that the tests are made for, or another version; None when it is not installed."""
    if version is None:
        return hcom.hcom_path()
    path = _ROOT / ".venv" / f"hcom-{version}" / "bin" / "hcom"
    return str(path) if path.exists() else None


class Machine(Laptop):
    """A laptop with a replica and an hcom.

    Attributes:
        hcom: its hcom.
    """

    def __init__(
        self, folder: Path, name: str, broker_port: int, program: str, env: dict[str, str] | None = None
    ) -> None:
        home = folder / name.lower()
        self.hcom = RealHcom(home, program, env)
        super().__init__(home, "replica", broker_port, env={**self.hcom.env, "HOME": str(home)})
        self.name = name

    def bridge(self) -> Any:
        """Set the bridge up."""
        done = self.cli.run("bridge", "hcom", "--setup", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def close(self) -> None:
        """End everything of it. Idempotent."""
        super().close()
        self.hcom.stop()

    def trouble(self) -> str:
        """The end of the daemon's log and of hcom's, for a failure."""
        return super().trouble() + "\nhcom:\n" + self.hcom.log()


def until_quiet(read: Callable[[], int], quiet_s: float = 1.0) -> int:
    """Wait until a number does not change for a while; gives it."""
    last, since = read(), time.monotonic()
    while time.monotonic() - since < quiet_s:
        now = read()
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.05)
    return last
