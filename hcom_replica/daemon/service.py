"""The daemon as a service of the user's session: a systemd user unit on Linux, a launchd agent on macOS.

Owns the unit's text and its name, one for each data folder. Installed again it is written anew; nothing else of the
service manager is touched. What runs is `hcom-replica run` of the interpreter that installed it.
"""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from hcom_replica.errors import DaemonError
from hcom_replica.folder.paths import Folder

_TIMEOUT_S: Final = 30.0
_UNIT: Final = """\
[Unit]
Description=hcom-replica on {folder}
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={command}
Restart=on-failure
RestartSec=5
UMask=0077

[Install]
WantedBy=default.target
"""


class Service(NamedTuple):
    """A service, whether it stands ready or not.

    Attributes:
        name: as the service manager knows it.
        file: its definition.
    """

    name: str
    file: Path


def define(folder: Folder) -> Service:
    """Write the definition of a folder's service.

    Raises:
        DaemonError: neither systemd nor launchd is known here, or the file cannot be written; nothing was changed.
    """
    service = _service(folder)
    if sys.platform == "darwin":
        _write(service.file, plistlib.dumps(_agent(service.name, folder)))
        return service
    if shutil.which("systemctl") is None:
        raise DaemonError(
            "there is no systemd on this machine", hint="let your service manager run: hcom-replica run --dir PATH"
        )
    text = _UNIT.format(folder=_quoted(os.fspath(folder.root)), command=" ".join(map(_quoted, _command(folder))))
    _write(service.file, text.encode())
    return service


def begin(service: Service) -> bool:
    """Have a service started, now and at every login.

    Returns:
        False where the service manager does not answer, as in a container: the definition waits for one that does.

    Raises:
        DaemonError: the service manager refuses; the definition stays.
    """
    if sys.platform == "darwin":
        _run("launchctl", "unload", os.fspath(service.file), check=False)
        return _run("launchctl", "load", "-w", os.fspath(service.file))
    if not _run("systemctl", "--user", "daemon-reload", check=False):
        return False
    return _run("systemctl", "--user", "enable", "--now", service.file.name)


def uninstall(folder: Folder) -> Path | None:
    """Stop the service of a folder and take its definition away; return the file, None when there was none."""
    file = _service(folder).file
    darwin = sys.platform == "darwin"
    if not file.exists():
        return None
    if darwin:
        _run("launchctl", "unload", "-w", os.fspath(file), check=False)
    else:
        _run("systemctl", "--user", "disable", "--now", file.name, check=False)
    file.unlink()
    if not darwin:
        _run("systemctl", "--user", "daemon-reload", check=False)
    return file


def _service(folder: Folder) -> Service:
    """One name for each folder: its path, digested."""
    name = f"hcom-replica-{blake2b(os.fspath(folder.root.resolve()).encode(), digest_size=4).hexdigest()}"
    if sys.platform == "darwin":
        return Service(name, Path.home() / "Library" / "LaunchAgents" / f"{name}.plist")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Service(name, config / "systemd" / "user" / f"{name}.service")


def _command(folder: Folder) -> list[str]:
    return [sys.executable, "-m", "hcom_replica", "run", "--dir", os.fspath(folder.root.resolve())]


def _agent(name: str, folder: Folder) -> dict[str, object]:
    return {
        "Label": name,
        "ProgramArguments": _command(folder),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "Umask": 0o077,
    }


def _quoted(text: str) -> str:
    """A word of a unit file (systemd.service(5), "Command lines"): percent signs and dollars stand for themselves."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(char in escaped for char in " \t'\"\\;") else escaped


def _write(file: Path, data: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    except OSError as error:
        raise DaemonError(f"cannot write {file}: {error.strerror}") from None


def _run(*command: str, check: bool = True) -> bool:
    """Run the service manager's tool; whether it succeeded.

    Raises:
        DaemonError: it did not, and `check` is set.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        if check:
            raise DaemonError(f"{command[0]} does not answer: {error}") from None
        return False
    if done.returncode and check:
        said = done.stderr.strip().splitlines()
        raise DaemonError(
            f"{' '.join(command[:3])} failed: {said[-1] if said else done.returncode}",
            hint="hcom-replica relay daemon logs",
        )
    return done.returncode == 0
