"""What every command is given: where the data folder is, and in which form JSON is wanted."""

from __future__ import annotations

import os
from typing import Annotated, Final

from hcom_replica.cli.options import Opt
from hcom_replica.cli.print import warn
from hcom_replica.errors import UsageError
from hcom_replica.folder.paths import Folder, find_folder

JSON_VERSIONS: Final = (1,)


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

    def warn_modes(self) -> None:
        """Say on stderr which files others may read."""
        for warning in self.folder.warnings():
            warn(warning)


def common(
    dir: Annotated[str | None, Opt("--dir", metavar="PATH", help="data folder")] = None,  # noqa: A002 - its name
    json_version: Annotated[int | None, Opt("--json-version", metavar="N", help="pin the form of JSON")] = None,
) -> int | None:
    """Declare what every command takes."""
