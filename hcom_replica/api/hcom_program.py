"""The hcom of this user: its program, its folder, its settings; found, asked and restarted.

Owns every call of the program. What it prints is for people and is never relied on, but for its version.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hcom_replica.bridge.database import HcomDatabase
from hcom_replica.bridge.relay_config import read_relay, with_relay
from hcom_replica.bridge.shortid import short_id
from hcom_replica.daemon.bridging import DATABASE, DEVICE_ID
from hcom_replica.errors import BridgeError
from hcom_replica.folder.files import read_text, replace

OLDEST: Final = (0, 7, 24)
NEWEST: Final = (0, 7, 31)
_CALL_S: Final = 30.0
_INSTALL: Final = "install it: pip install hcom"


class HcomProgram:
    """One hcom.

    Args:
        folder: the value of `--hcom-dir`; None is $HCOM_DIR, else ~/.hcom.
        environ: of this process.

    Attributes:
        folder: hcom's.
        path: of the program; None when it is not on the path.
    """

    def __init__(self, folder: str | None, environ: Mapping[str, str]) -> None:
        given = folder or environ.get("HCOM_DIR") or "~/.hcom"
        self.folder = Path(os.path.abspath(os.path.expanduser(given)))  # noqa: PTH100, PTH111 - links stay as given
        self.path = shutil.which("hcom", path=environ.get("PATH"))
        self._environ = {**environ, "HCOM_DIR": str(self.folder)}

    @property
    def config(self) -> Path:
        """Its config.toml."""
        return self.folder / "config.toml"

    def need(self) -> str:
        """The path of the program.

        Raises:
            BridgeError: it is not there.
        """
        if self.path is None:
            raise BridgeError("hcom was not found on the path", hint=_INSTALL)
        return self.path

    def version(self) -> tuple[int, ...]:
        """Its version.

        Raises:
            BridgeError: it does not run, says none, or is too old.
        """
        said = self.call("--version")
        found = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
        if found is None:
            raise BridgeError(f"{self.path} does not say its version", hint=_INSTALL)
        version = tuple(map(int, found.groups()))
        if version < OLDEST:
            shown = ".".join(map(str, version))
            raise BridgeError(f"hcom {shown} is too old for the bridge", hint="update it: pip install -U hcom")
        return version

    def call(self, *arguments: str) -> str:
        """Run it; give what it printed.

        Raises:
            BridgeError: it does not run, fails or does not end.
        """
        try:
            done = subprocess.run(
                [self.need(), *arguments],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_CALL_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BridgeError(f"hcom {arguments[0]} does not work: {error}", hint=_INSTALL) from None
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()).partition("\n")[0]
            raise BridgeError(f"hcom {' '.join(arguments)} failed: {said}", hint="hcom status says what is wrong")
        return done.stdout

    def relay(self) -> dict[str, Any]:
        """Its relay's settings.

        Raises:
            BridgeError: its config.toml is not TOML.
            ConfigError: it cannot be read.
        """
        return read_relay(read_text(self.config) or "", str(self.config))

    def set_relay(self, relay: Mapping[str, Any]) -> None:
        """Write its relay's settings; all others stay.

        Raises:
            ConfigError: the file cannot be written; nothing was changed.
        """
        replace(self.config, with_relay(read_text(self.config) or "", relay).encode())

    def database_version(self) -> int:
        """Version of its database.

        Raises:
            BridgeError: it cannot be read, or is none that is known.
        """
        database = HcomDatabase(self.folder / DATABASE)
        version = database.version
        database.close()
        return version

    def letters(self) -> str | None:
        """How hcom shows this device; None when it has never been in a group."""
        device = (read_text(self.folder / DEVICE_ID) or "").strip()
        if not device:
            return None
        database = HcomDatabase(self.folder / DATABASE)
        try:
            return database.kv(f"relay_uuid_short_{device}") or short_id(device)
        finally:
            database.close()
