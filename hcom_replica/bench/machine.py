"""The machine that figures are of, and the folder they may be measured in."""

from __future__ import annotations

import os
import platform
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import lmdb

import hcom_replica
from hcom_replica.errors import UsageError
from hcom_replica.folder.state import state_kept_in
from hcom_replica.store.filesystem import filesystem_type

_MEMORY_DISKS: Final = frozenset({"tmpfs", "ramfs", "devtmpfs", "zram"})
_MOUNTS: Final = Path("/proc/self/mountinfo")
_PACKAGES: Final = ("lmdb", "msgspec", "paho-mqtt", "PyNaCl", "zstandard")


def facts(folder: Path) -> dict[str, Any]:
    """What a reader has to know to judge a figure."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "program": hcom_replica.__version__,
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "disk": disk(folder),
        "system": platform.platform(),
        "python": platform.python_version(),
        "lmdb_engine": ".".join(map(str, lmdb.version(lib_version=0))),
        **{name: version(name) for name in _PACKAGES},
        "load_1min": round(os.getloadavg()[0], 2),
    }


def disk(folder: Path) -> str:
    """The type of filesystem that a folder is on, or "unknown" where the system does not tell."""
    if not _MOUNTS.exists():
        return "unknown"
    return filesystem_type(str(folder.resolve()), _MOUNTS.read_text(errors="surrogateescape")) or "unknown"


@contextmanager
def scratch(parent: Path, *, memory: bool = False) -> Iterator[Path]:
    """Make a folder on a disk, and remove it afterwards.

    Args:
        parent: where.
        memory: take a filesystem in memory too, because nothing will be judged.

    Raises:
        UsageError: `parent` is in memory, where a durable commit costs nothing and every ratio would mislead.
    """
    if not memory and disk(parent) in _MEMORY_DISKS:
        raise UsageError(f"{parent} is in memory ({disk(parent)})", hint="name a folder on a disk with --dir")
    with TemporaryDirectory(prefix="hcom-replica-bench-", dir=parent) as name, state_kept_in(Path(name, "state")):
        yield Path(name)


def rss_anon_mib(pid: int | str = "self") -> float:
    """Memory of a process that belongs to it alone: the map of the log, which the system may drop, is not counted."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        found = re.search(r"^RssAnon:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if found is not None:
            return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if platform.system() == "Linux" else 1 << 20)


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found is not None else platform.processor()
