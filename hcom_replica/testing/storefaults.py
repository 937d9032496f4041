"""What goes wrong between a simulated device and its disk: dying around a commit, and a full disk.

Owns `Crash`, which stands for kill -9 wherever it is raised: nothing in the package catches it but the cluster, which
then drops the process and keeps the disk. The faults go into `Disk.fault` and are counted, so that a run can show
that they struck.
"""

from __future__ import annotations

from collections import Counter

from hcom_replica.errors import StoreFull
from hcom_replica.store.memory_kv import Moment
from hcom_replica.testing.disk import Disk


class Crash(BaseException):
    """The process is dead from here on. Not an Exception, so that no handler of the package swallows it."""


class StoreFaults:
    """The faults of one disk.

    Args:
        kv: the disk; the hook is set on it at once.

    Attributes:
        full: True makes every commit fail for want of room.
        hits: how often each fault struck: `before-commit`, `after-commit`, `full`.
    """

    def __init__(self, kv: Disk) -> None:
        self.full = False
        self.hits: Counter[str] = Counter()
        self._moment: Moment | None = None
        self._commits_left = 0
        kv.fault = self._strike

    def crash(self, moment: Moment, *, commits: int = 1) -> None:
        """Die once, at `moment` of the `commits`-th commit from now (1: the next one)."""
        self._moment, self._commits_left = moment, commits

    def disarm(self) -> None:
        """Nothing goes wrong any more."""
        self.full, self._moment = False, None

    def _strike(self, moment: Moment) -> None:
        if self.full and moment is Moment.BEFORE_COMMIT:
            self.hits["full"] += 1
            raise StoreFull("the simulated disk is full")
        if self._moment is None:
            return
        self._commits_left -= moment is Moment.BEFORE_COMMIT
        if moment is self._moment and self._commits_left <= 0:
            self._moment = None
            self.hits[moment.value] += 1
            raise Crash
