"""Console blocks of the documentation, run as a reader would type them.

A block is fenced as `console`; a line `name$ command` or `$ command` is typed, the lines below it are what it prints.
What differs from run to run (times, ids, pids, checksums) may differ; the rest must be there, line by line, in order.
Reading is repeated until it shows what is written, as a reader looks again; all else runs once. A broker stays to the
end; what follows events gets its Ctrl-C when it has printed something.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from hcom_replica.testing.real.processes import clean_environment
from hcom_replica.testing.real.waiting import wait_until

_RUN_S: Final = 60.0
_BLOCK: Final = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROMPT: Final = re.compile(r"(\w*)\$ (.+)")
_VARYING: Final = (
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z",  # a time
    r"pid \d+",
    r"\b[0-9a-f]{8,32}\b",  # an id, or a checksum
    r"mqtts?://[\w.:-]+",
    r"[\d,]+ bytes",
)
_READING: Final = re.compile(r"\b(events|status)\b")
_SERVING: Final = re.compile(r"\bbroker --port\b")
_FOLLOWING: Final = re.compile(r"\bevents .*--follow\b")
_INTERRUPTED: Final = 130
_BASH: Final = "set -o pipefail; shopt -s expand_aliases"


class Command(NamedTuple):
    """What is typed, at whose prompt, and the lines shown below it."""

    prompt: str
    text: str
    shown: tuple[str, ...]


def commands_of(markdown: str) -> list[Command]:
    """The commands of all console blocks, in their order; lines above the first prompt of a block are none."""
    found: list[Command] = []
    for block in _BLOCK.findall(markdown):
        begun = len(found)
        for line in block.splitlines():
            match = _PROMPT.fullmatch(line)
            if match:
                found.append(Command(match[1], match[2], ()))
            elif len(found) > begun:
                found[-1] = found[-1]._replace(shown=(*found[-1].shown, line))
    return found


def shows(output: str, shown: tuple[str, ...]) -> bool:
    """Whether the lines shown stand in an output, in their order, but for what varies and the width of columns."""
    lines = iter(output.splitlines())
    patterns = [_pattern(line) for line in shown if line.strip()]
    return all(any(re.fullmatch(pattern, line.rstrip()) for line in lines) for pattern in patterns)


def _pattern(line: str) -> str:
    varying = re.compile("|".join(_VARYING))
    ends = [0, *(match.end() for match in varying.finditer(line))]
    starts = [*(match.start() for match in varying.finditer(line)), len(line.rstrip())]
    fixed = [re.sub(r"(\\ )+", r"\\s+", re.escape(line[end:start])) for end, start in zip(ends, starts, strict=True)]
    return f"(?:{'|'.join(_VARYING)})".join(fixed)


class Console:
    """A terminal of its own: a folder to work in, `hcom-replica` on the path.

    A context manager: at its end all that was started is ended.

    Attributes:
        outputs: command, as it is written -> what each run of it printed on standard output.

    Args:
        folder: to work in; data folders are in it, too.
        replaced: texts of the documentation -> what stands for them here, such as the broker's URL.
    """

    def __init__(self, folder: Path, replaced: Mapping[str, str]) -> None:
        self.folder = folder
        self.outputs: dict[str, list[str]] = {}
        self._replaced = dict(replaced)
        self._aliases: list[str] = []
        self._staying: list[subprocess.Popen[bytes]] = []
        self._started = 0
        program = folder / "bin" / "hcom-replica"
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m hcom_replica "$@"\n')
        program.chmod(0o755)

    def enter(self, command: Command) -> None:
        """Run a command; check its exit code, and what it prints.

        Raises:
            AssertionError: it fails, or does not print what is shown.
        """
        text = command.text
        for written, here in self._replaced.items():
            text = text.replace(written, here)
        if text.startswith("alias "):
            self._aliases.append(text)
        elif _SERVING.search(text):
            self._staying.append(self._start(command, text))
        elif _FOLLOWING.search(text):
            assert _end(self._start(command, text)) in (0, _INTERRUPTED)
        else:
            self._run(command, text)

    def _run(self, command: Command, text: str) -> None:
        last = ""

        def done() -> bool:
            nonlocal last
            ran = subprocess.run(
                self._bash(text),
                cwd=self.folder,
                env=self._environment(command.prompt),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_RUN_S,
                check=False,
            )
            last = ran.stdout + ran.stderr
            assert ran.returncode == 0, f"{command.text}: exit {ran.returncode}\n{last}"
            self.outputs.setdefault(command.text, []).append(ran.stdout)
            return shows(last, command.shown)

        if _READING.search(text):
            wait_until(done, _RUN_S, lambda: f"{command.text} shows {list(command.shown)}; it shows\n{last}")
        else:
            assert done(), f"{command.text} shows {list(command.shown)}; it shows\n{last}"

    def _start(self, command: Command, text: str) -> subprocess.Popen[bytes]:
        self._started += 1
        log = self.folder / f"started-{self._started}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                self._bash(text),
                cwd=self.folder,
                env=self._environment(command.prompt),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        try:
            wait_until(lambda: log.stat().st_size or process.poll() is not None, _RUN_S, f"{command.text} prints")
            assert process.poll() is None, f"{command.text} has ended\n{log.read_text()}"
        except BaseException:
            _end(process)
            raise
        return process

    def _bash(self, text: str) -> list[str]:
        return ["bash", "-c", "\n".join([_BASH, *self._aliases, text])]

    def _environment(self, prompt: str) -> dict[str, str]:
        environment = clean_environment(self.folder / (prompt or "own"))
        return {**environment, "PATH": f"{self.folder / 'bin'}{os.pathsep}{environment['PATH']}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for key in self.folder.glob("*/group.key"):
            text = f"hcom-replica --dir {shlex.quote(str(key.parent))} relay daemon stop"
            subprocess.run(self._bash(text), env=self._environment(""), capture_output=True, check=False)
        for process in reversed(self._staying):
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> int:
    """Interrupt a process and all that it started, as Ctrl-C does; kill it if it does not heed. Gives its exit code."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        return process.wait(_RUN_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()
