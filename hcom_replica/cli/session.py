"""What every command is given: where the data folder is, and in which form JSON is wanted."""

from __future__ import annotations

import os
from typing import Annotated, Any, Final

from hcom_replica.cli.options import Command, Opt
from hcom_replica.cli.print import warn
from hcom_replica.errors import UsageError
from hcom_replica.folder.access import warnings
from hcom_replica.folder.paths import Folder, find_folder

JSON_VERSIONS: Final = (1,)
_WITHOUT_FOLDER: Final = ("broker", "demo", "simulate")
"""Modules of commands that open no data folder."""


class Session:
    """One run of the command line.

    Args:
        directory: the value of `--dir`, or None.
        json_version: the form of JSON that was asked for, or None for the newest.

    Raises:
        UsageError: there is no such form of JSON.
    """

    def __init__(self, directory: str | None = None, json_version: int | None = None) -> None:
        if json_version is not None and json_version not in JSON_VERSIONS:
            raise UsageError(f"no JSON version {json_version}", hint=f"this program knows {JSON_VERSIONS[-1]}")
        self.place = find_folder(directory, os.environ)
        self.folder = Folder(self.place.path)

        self._warned: set[str] = set()

    def run(self, command: Command, values: dict[str, Any]) -> int:
        """Run a command; one that works on the folder says first, on stderr, which of its files others may use."""
        if command.__module__.rpartition(".")[2] not in _WITHOUT_FOLDER:
            self.warn_access()
        return command(self, **values) or 0

    def warn_access(self) -> None:
        """Say on stderr, each once, which files of the folder others on this machine may use."""
        for warning in warnings(self.folder):
            if warning not in self._warned:
                self._warned.add(warning)
                warn(warning)


def common(
    dir: Annotated[str | None, Opt("--dir", metavar="PATH", help="data folder")] = None,  # noqa: A002 - its name
    json_version: Annotated[int | None, Opt("--json-version", metavar="N", help="pin the form of JSON")] = None,
) -> int | None:
    """Declare what every command takes."""
