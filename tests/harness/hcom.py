"""The real hcom, in a folder of its own: run, looked into, filled; and a machine that has it beside a replica.

Whatever it starts is ended by its own commands. Rows are written into its database only to stand for what thousands of
`hcom send` would have written.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from hcom_replica.testing.real.processes import is_alive
from hcom_replica.testing.real.waiting import wait_until
from tests.harness.group import WAIT_S, Laptop

OLD: Final = "0.7.24"
_RUN_S: Final = 60.0
_ROOT: Final = Path(__file__).resolve().parents[2]


def hcom_path(version: str | None = None) -> str | None:
    """The newest hcom that the tests are made for, or another version; None when it is not installed."""
    if version is not None:
        path = _ROOT / ".venv" / f"hcom-{version}" / "bin" / "hcom"
        return str(path) if path.exists() else None
    beside = Path(sys.executable).parent / "hcom"
    return str(beside) if beside.exists() else shutil.which("hcom")


class RealHcom:
    """One HCOM_DIR.

    Args:
        home: HOME of its processes; its folder is `.hcom` there.
        program: path.
        env: further variables.
    """

    def __init__(self, home: Path, program: str, env: dict[str, str] | None = None) -> None:
        self.home = home
        self.folder = home / ".hcom"
        self.program = program
        self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HCOM", "CLAUDE", "XDG_"))}
        path = os.pathsep.join([str(Path(program).parent), kept.get("PATH", "")])
        self.env = {**kept, "HOME": str(home), "HCOM_DIR": str(self.folder), "PATH": path, **(env or {})}

    # --- its commands --------------------------------------------------------------------------------------

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command, whatever its exit code."""
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        return subprocess.run(
            [self.program, *arguments],
            env=self.env,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=_RUN_S,
            check=False,
            **given,
        )

    def ok(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command that must succeed; gives its output."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"hcom {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, agent: str) -> None:
        """An agent begins, and acts once, so that hcom does not take it for dead."""
        self.ok("start", "--as", agent)
        self.listen(agent)

    def listen(self, agent: str) -> list[str]:
        """Texts of an agent's new mail."""
        said = self.ok("listen", "1", "--name", agent, "--json")
        return [json.loads(line)["text"] for line in said.splitlines() if line.startswith("{")]

    def send(self, sender: str, text: str, *targets: str, more: tuple[str, ...] = ()) -> int:
        """An agent sends a message; gives the id of its row."""
        self.ok("send", *(f"@{one}" for one in targets), *more, "--name", sender, "--quiet", "--", text)
        ((row,),) = self.query("SELECT max(id) FROM events WHERE type = 'message' AND instance = ?", sender)
        return int(row)

    # --- its database --------------------------------------------------------------------------------------

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """Its database, open."""
        db = sqlite3.connect(self.folder / "hcom.db", timeout=30, isolation_level=None)
        try:
            yield db
        finally:
            db.close()

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask its database."""
        with self.database() as db:
            return db.execute(sql, values).fetchall()

    def imported(self, short: str | None = None) -> list[str]:
        """Texts of the messages imported from a device, or from all, in the order of their rows."""
        rows = self.query("SELECT data FROM events WHERE type = 'message' AND data LIKE '%_relay%' ORDER BY id")
        found = [json.loads(data) for (data,) in rows]
        return [data["text"] for data in found if short in (None, data["_relay"]["short"])]

    def count_imported(self) -> int:
        """How many messages were imported."""
        return int(self.query("SELECT count(*) FROM events WHERE type = 'message' AND data LIKE '%_relay%'")[0][0])

    def agents(self) -> dict[str, tuple[str, str]]:
        """Agents, those of other devices too: name to status and detail."""
        rows = self.query("SELECT name, status, status_detail FROM instances")
        return {name: (status, detail or "") for name, status, detail in rows}

    def knows(self, agent: str) -> bool:
        """Whether an agent of another device can be written to: hcom has taken all of that device's snapshot."""
        short = agent.partition(":")[2]
        synced = "SELECT 1 FROM kv JOIN kv AS uuid ON uuid.key = ? WHERE kv.key = 'relay_sync_time_' || uuid.value"
        return agent in self.agents() and bool(self.query(synced, f"relay_short_{short}"))

    @property
    def short(self) -> str:
        """How it shows this device."""
        device = (self.folder / ".tmp" / "device_id").read_text().strip()
        return str(self.query("SELECT value FROM kv WHERE key = ?", f"relay_uuid_short_{device}")[0][0])

    def fill(self, agent: str, texts: list[str], clock_off: timedelta = timedelta()) -> None:
        """Write messages of an agent, as that many `hcom send` would."""
        at = datetime.now(UTC) + clock_off
        rows = [
            (
                (at + timedelta(microseconds=number)).isoformat(timespec="microseconds"),
                agent,
                json.dumps(
                    {"from": agent, "sender_kind": "instance", "scope": "broadcast", "text": text, "delivered_to": []},
                    separators=(",", ":"),
                ),
            )
            for number, text in enumerate(texts)
        ]
        with self.database() as db:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO events (timestamp, type, instance, data) VALUES (?, 'message', ?, ?)", rows)
            db.execute("COMMIT")

    def wait_for_imported(self, count: int, timeout_s: float = WAIT_S) -> None:
        """Wait until so many messages were imported."""
        self.wait(
            lambda: self.count_imported() >= count, lambda: f"{count} messages; {self.count_imported()}", timeout_s
        )

    def wait(self, condition: Callable[[], bool], what: str | Callable[[], str], timeout_s: float = WAIT_S) -> None:
        """Wait for something of it."""
        wait_until(condition, timeout_s, lambda: f"{what() if callable(what) else what}\n{self.log()}")

    def log(self) -> str:
        """The end of its log."""
        path = self.folder / ".tmp" / "logs" / "hcom.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-12:]) if path.exists() else ""

    def stop(self) -> None:
        """End its relay worker, also one that a command has only just started. Idempotent."""
        self.run("relay", "daemon", "stop")
        if self.has_worker():
            self.run("relay", "daemon", "stop")

    def has_worker(self) -> bool:
        """Whether its relay worker runs."""
        path = self.folder / ".tmp" / "relay.pid"
        return path.exists() and is_alive(int(path.read_text() or 0))


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
