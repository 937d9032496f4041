"""Wrong wall clocks for real processes: they can be set while the processes run, and monotonic time is left alone.

Python runs a `sitecustomize` that it finds on its path before anything else; the one written here puts `time.time` and
`time.time_ns` off by what a file says. The library libfaketime would do the same for every program, but makes Python's
`time.sleep` fail where it leaves monotonic time alone, and with it a corrected clock would stop all timers.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from hcom_replica.testing.real.processes import clean_environment

_SITE: Final = """
import time
from pathlib import Path

_offset, _time_ns = Path({path!r}), time.time_ns


def time_ns():
    return _time_ns() + int(_offset.read_text()) * 10**9


time.time_ns = time_ns
time.time = lambda: time_ns() / 1e9
"""


class WrongClock:
    """A wall clock that is off, for all Python processes that get `environment`.

    Args:
        folder: for what it is made of; must not exist.
        off_s: seconds that it is ahead; negative is behind.
    """

    def __init__(self, folder: Path, off_s: int) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        (folder / "sitecustomize.py").write_text(_SITE.format(path=str(folder / "offset")))
        self.set(off_s)

    def set(self, off_s: int) -> None:
        """Put it so many seconds ahead."""
        fresh = self._folder / "offset.new"
        fresh.write_text(str(off_s))
        fresh.replace(self._folder / "offset")  # whoever reads it sees one or the other

    @property
    def environment(self) -> dict[str, str]:
        """What a process must find in its environment."""
        path = clean_environment(self._folder)["PYTHONPATH"]
        return {"PYTHONPATH": os.pathsep.join([str(self._folder), path])}
