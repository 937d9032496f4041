"""Real processes: the command line on a data folder of its own, run, watched, frozen and killed.

No variable of hcom or of this program leaks from the environment of whoever runs the tests. Processes are ended by
their pid only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hcom_replica.testing.real.waiting import wait_until

_RUN_S = 60.0
_STOP_S = 15.0
_ROOT = Path(__file__).resolve().parents[3]  # above the package: children run this very copy of it


def clean_environment(folder: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment that leads to `folder` and to no other replica, hcom or home of the user's."""
    # XDG_STATE_HOME: markers go to the HOME given here; the last: an installed program has its bytecode, too
    dropped = ("HCOM_", "XDG_STATE_HOME", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    paths = [str(_ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    own = {"HCOM_REPLICA_DIR": str(folder), "HOME": str(folder.parent), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), **own, **(extra or {})}


class Running:
    """A process started by `Cli.spawn`, with its output in a file.

    Attributes:
        log_path: standard output and error, together.
    """

    def __init__(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self._process = process
        self.log_path = log_path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def output(self) -> str:
        """All that it has written so far."""
        return self.log_path.read_text(errors="replace")

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative is the signal that ended it."""
        return self._process.poll()

    def wait(self, timeout_s: float = _RUN_S) -> int:
        """Wait for its end and give the exit code."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"still running after {timeout_s:g} s; its output:\n{self.output}") from error

    def wait_for_output(self, text: str, timeout_s: float = _RUN_S) -> None:
        """Wait until `text` has been written."""
        wait_until(lambda: text in self.output, timeout_s, lambda: f"{text!r} in the output:\n{self.output}")

    def interrupt(self) -> None:
        """Send SIGINT, as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def pause(self) -> None:
        """Freeze it."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it with SIGKILL and wait."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it in order, with SIGTERM; with SIGKILL if it does not heed. Idempotent."""
        if self._process.poll() is not None:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()


class Cli:
    """The command line on one data folder: `python -m hcom_replica ...`.

    Used as a context manager it ends what it spawned, and the folder's daemon.

    Args:
        folder: the data folder; need not exist.
        env: further variables.
    """

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._environment = clean_environment(folder, env)
        self._spawned: list[Running] = []

    def run(
        self, *arguments: str, stdin: str | bytes | None = None, timeout_s: float = _RUN_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever its exit code."""
        text = stdin.decode() if isinstance(stdin, bytes) else stdin
        command = self._command(arguments)
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
        return subprocess.run(
            command,
            env=self._environment,
            cwd=self.folder.parent,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            **given,
        )

    def ok(self, *arguments: str, stdin: str | bytes | None = None, timeout_s: float = _RUN_S) -> str:
        """Run a command that must succeed; gives its standard output."""
        done = self.run(*arguments, stdin=stdin, timeout_s=timeout_s)
        assert done.returncode == 0, f"{' '.join(arguments)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str, stdin: str | bytes | None = None, timeout_s: float = _RUN_S) -> Any:
        """Run a command that must succeed with `--json` added; gives the one value that it prints."""
        return json.loads(self.ok(*arguments, "--json", stdin=stdin, timeout_s=timeout_s))

    def json_lines(self, *arguments: str, timeout_s: float = _RUN_S) -> list[Any]:
        """Run a command that must succeed with `--json` added; gives one value a line."""
        lines = self.ok(*arguments, "--json", timeout_s=timeout_s).split("\n")  # splitlines ends lines at U+2028, too
        return [json.loads(line) for line in lines if line]

    def spawn(self, *arguments: str) -> Running:
        """Start a command and leave it running."""
        log_path = self.folder.parent / f"{self.folder.name}.spawned-{len(self._spawned)}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                self._command(arguments),
                env=self._environment,
                cwd=self.folder.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        running = Running(process, log_path)
        self._spawned.append(running)
        return running

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "hcom_replica", *arguments]

    def daemon_pid(self) -> int | None:
        """The folder's daemon, as `status` tells it; None when none runs."""
        daemon = self.json("status")["daemon"]
        return int(daemon["pid"]) if daemon["running"] else None

    def kill_daemon(self) -> int:
        """End the folder's daemon with SIGKILL and wait until it is gone; gives the pid that it had."""
        pid = self.daemon_pid()
        assert pid is not None, "no daemon runs"
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), _STOP_S, f"process {pid} is gone")
        return pid

    def close(self) -> None:
        """End what was spawned, then the daemon if one runs. Idempotent."""
        for running in self._spawned:
            running.stop()
        if self.folder.exists():
            self.run("relay", "daemon", "stop", timeout_s=_RUN_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_alive(pid: int) -> bool:
    """Whether a process of this id exists and is not only waiting to be collected by its parent."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not Path("/proc").is_dir()
