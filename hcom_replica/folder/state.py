"""What the system keeps outside of the data folder: where its state folder is, and which machine and boot this is.

Owns the variables that name them. The ids of machine and boot are for people only: a container has new ones at each
start, or none (storage-v1 T7.1).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from hcom_replica.wire.hashing import blake2b

STATE_VARIABLE: Final = "HCOM_REPLICA_STATE"
MACHINE_VARIABLE: Final = "HCOM_REPLICA_MACHINE_ID"
BOOT_VARIABLE: Final = "HCOM_REPLICA_BOOT_ID"

_NAME: Final = "hcom-replica"
_MACHINE_FILES: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_BOOT_FILE: Final = Path("/proc/sys/kernel/random/boot_id")
_ID_BYTES: Final = 16


def state_folder(environ: Mapping[str, str]) -> Path | None:
    """Where continuity markers are kept; None where the system knows no home of this user (T7.2).

    Args:
        environ: for HCOM_REPLICA_STATE, then XDG_STATE_HOME, then HOME.
    """
    if environ.get(STATE_VARIABLE):
        return Path(environ[STATE_VARIABLE]).absolute()
    if sys.platform != "darwin" and Path(environ.get("XDG_STATE_HOME", "")).is_absolute():
        return Path(environ["XDG_STATE_HOME"]) / _NAME
    home = environ.get("HOME", "")
    if not Path(home).is_absolute():
        return None
    return Path(home, *(("Library", "Application Support") if sys.platform == "darwin" else (".local", "state")), _NAME)


@contextmanager
def state_kept_in(folder: Path) -> Iterator[None]:
    """Keep markers of this process, and of those it starts, in a folder of the caller's: for what is thrown away."""
    before = os.environ.get(STATE_VARIABLE)
    os.environ[STATE_VARIABLE] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(STATE_VARIABLE)
        if before is not None:
            os.environ[STATE_VARIABLE] = before


def machine_id(environ: Mapping[str, str]) -> bytes:
    """16 bytes that stand for this machine, and give its id away to nobody; zero bytes when it has none."""
    text = environ[MACHINE_VARIABLE] if MACHINE_VARIABLE in environ else _machine()
    text = text.strip()
    return blake2b(text.encode(), key=b"hcr1 machine", digest_size=_ID_BYTES).digest() if text else bytes(_ID_BYTES)


def boot_id(environ: Mapping[str, str]) -> bytes:
    """16 bytes that differ from boot to boot; zero bytes when the system does not tell."""
    text = environ[BOOT_VARIABLE] if BOOT_VARIABLE in environ else _boot()
    with suppress(ValueError):
        found = bytes.fromhex(text.strip().replace("-", ""))
        return found if len(found) == _ID_BYTES else bytes(_ID_BYTES)
    return bytes(_ID_BYTES)


def _machine() -> str:
    for path in _MACHINE_FILES:
        with suppress(OSError):
            return path.read_text(encoding="ascii", errors="replace")
    with suppress(AttributeError, OSError):  # macOS
        made, wait = ctypes.create_string_buffer(_ID_BYTES), (ctypes.c_long * 2)(1, 0)
        if not ctypes.CDLL(None).gethostuuid(made, wait):
            return made.raw.hex()
    return ""


def _boot() -> str:
    with suppress(OSError):
        return _BOOT_FILE.read_text(encoding="ascii", errors="replace")
    with suppress(AttributeError, OSError):  # macOS
        made, size = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
        if not ctypes.CDLL(None).sysctlbyname(b"kern.bootsessionuuid", made, ctypes.byref(size), None, 0):
            return made.value.decode("ascii", "replace")
    return ""
