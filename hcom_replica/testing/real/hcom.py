"""The real hcom program, in a folder of its own: run, looked into, filled, and connected to a broker by its own relay.

Whatever it starts is ended by its own commands. Rows are written into its database only to stand for what thousands of
`hcom send` would have written.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

from hcom_replica.testing.real.processes import is_alive
from hcom_replica.testing.real.waiting import wait_until

_RUN_S: Final = 60.0
_WAIT_S: Final = 40.0
_LOOK_S: Final = 0.001


def hcom_path() -> str | None:
    """The hcom beside this Python, else on PATH; None when it is not installed."""
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

    # --- its relay -----------------------------------------------------------------------------------------

    def relay_new(self, url: str) -> str:
        """Make a group on a broker; gives its token."""
        return str(re.findall(r"relay connect (\S+)", self.ok("relay", "new", "--broker", url))[0])

    def relay_connect(self, token: str, url: str | None = None) -> None:
        """Join a group; with `url` by a network of its own to the group's broker."""
        self.ok("relay", "connect", token)
        if url is not None:
            path = self.folder / "config.toml"
            path.write_text(re.sub(r'(?m)^url = ".*"$', f'url = "{url}"', path.read_text()))
            self.run("relay", "daemon", "restart")

    def relay_worker(self, *, on: bool) -> None:
        """Start its relay worker, or end it in order."""
        self.ok("relay", "daemon", "start" if on else "stop")

    def relay_push(self) -> None:
        """Tell its relay worker that there is something new, as every `hcom send` does."""
        self.run("relay", "push")

    def wait_for_push(self) -> None:
        """Tell its relay worker that there is something new, and wait until the broker has all of it."""
        self.relay_push()
        self.wait(lambda: "up to date" in self.ok("relay", "status"), "all is published")

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

    def wait_for_imported(self, count: int, timeout_s: float = _WAIT_S) -> None:
        """Wait until so many messages were imported."""
        self.wait(
            lambda: self.count_imported() >= count, lambda: f"{count} messages; {self.count_imported()}", timeout_s
        )

    def wait(self, condition: Callable[[], bool], what: str | Callable[[], str], timeout_s: float = _WAIT_S) -> None:
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


class ImportWatch:
    """Notes when each imported message is first seen in an hcom's database, from a thread; a context manager.

    Args:
        hcom: whose database.

    Attributes:
        seen: text to wall clock, in seconds.
    """

    def __init__(self, hcom: RealHcom) -> None:
        self._hcom = hcom
        self.seen: dict[str, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="import-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        with self._hcom.database() as db:
            after = 0
            while not self._ended.wait(_LOOK_S):
                for number, data in db.execute("SELECT id, data FROM events WHERE id > ? ORDER BY id", (after,)):
                    after = number
                    said = json.loads(data)
                    if "_relay" in said and "text" in said:
                        self.seen.setdefault(said["text"], time.time())


def send_and_see(sender: RealHcom, agent: str, receiver: RealHcom, count: int) -> list[float]:
    """Send messages, one after the other, each by an `hcom send`.

    Returns:
        Seconds from the row in the sender's database to the row in the receiver's, of each.
    """
    written: dict[str, float] = {}
    with ImportWatch(receiver) as watch:
        for number in range(count):
            text = f"send {number}"
            row = sender.send(agent, text)
            ((stamp,),) = sender.query("SELECT timestamp FROM events WHERE id = ?", row)
            written[text] = datetime.fromisoformat(stamp).timestamp()
        receiver.wait(lambda: written.keys() <= watch.seen.keys(), "all messages have come")
    return [watch.seen[text] - at for text, at in written.items()]
