"""Backups of a device: its data folder and its state folder, copied, and put back as tools or machines do."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.harness.group import Laptop


class Backup:
    """A copy of a device's data folder, and of its state folder."""

    def __init__(self, laptop: Laptop, folder: Path) -> None:
        self._laptop = laptop
        self._data = folder / "data"
        self._state = folder / "state"
        shutil.copytree(laptop.folder, self._data, ignore=lambda _folder, names: {n for n in names if "sock" in n})
        shutil.copytree(state_of(laptop.folder), self._state)

    def restore(self, *, state: bool, in_place: bool) -> None:
        """Put the data folder back, nothing of it running.

        Args:
            state: also the state folder.
            in_place: write into the files that are there, as `cp` does; else delete them first, as most tools do.
        """
        folder = self._laptop.folder
        if in_place:
            data = Path("log", "data.mdb")
            (folder / data).write_bytes((self._data / data).read_bytes())
        else:
            shutil.rmtree(folder)
            shutil.copytree(self._data, folder)
        if state:
            shutil.copytree(self._state, state_of(folder), dirs_exist_ok=True)


def state_of(folder: Path) -> Path:
    """The state folder of a device's processes."""
    return folder.parent / ".local" / "state" / "hcom-replica"
