"""Which filesystem a folder lies on, and whether a log may live there (storage-v1 T1.2).

Owns the list of network filesystems. Never writes. Where the system does not tell, the folder is accepted.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Final

from hcom_replica.errors import StoreError

_NETWORK: Final = frozenset(
    {
        "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "gfs2", "gpfs", "lustre", "ncpfs",
        "nfs", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb3", "smbfs", "vboxsf", "vmhgfs", "afpfs", "webdav",
    }
)  # fmt: skip
_NETWORK_FUSE: Final = frozenset(
    {"sshfs", "s3fs", "rclone", "glusterfs", "ceph", "davfs2", "gcsfuse", "goofys", "juicefs", "moosefs", "vmhgfs-fuse"}
)
_DARWIN_FLAGS_AT: Final = 64
_DARWIN_NAME_AT: Final = 72
_DARWIN_LOCAL: Final = 0x1000


def refuse_network_filesystem(folder: str) -> None:
    """Check that the folder is on a filesystem of this machine.

    Raises:
        StoreError: it is on a network filesystem; nothing was made.
    """
    name = network_filesystem(os.path.realpath(folder))
    if name:
        raise StoreError(
            f"{folder} is on a network filesystem ({name}), where locks and memory maps do not hold",
            hint="choose a folder on a disk of this machine with --dir or HCOM_REPLICA_DIR",
        )


def network_filesystem(path: str) -> str:
    """Return the name of the network filesystem that `path` is on, or "" when it is local or unknown."""
    if sys.platform == "darwin":
        return _darwin(path)
    try:
        table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    name = filesystem_type(path, table)
    return name if is_network(name) else ""


def is_network(name: str) -> bool:
    """Tell whether a filesystem type, as the mount table names it, is served by another machine."""
    kind, _, helper = name.partition(".")
    return kind in _NETWORK or (kind == "fuse" and helper in _NETWORK_FUSE)


def filesystem_type(path: str, mountinfo: str) -> str:
    """Find the type of the filesystem that a path is on.

    Args:
        path: absolute, without symbolic links.
        mountinfo: the text of /proc/self/mountinfo; of mounts on one place the last counts.
    """
    best, found = -1, ""
    for line in mountinfo.splitlines():
        fields, separator, rest = line.partition(" - ")
        if not separator:
            continue
        point = _unescape(fields.split(" ")[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, found = len(point), rest.split(" ")[0]
    return found


def _unescape(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def _darwin(path: str) -> str:
    buffer = ctypes.create_string_buffer(4096)
    try:
        failed = ctypes.CDLL(None).statfs(os.fsencode(path), buffer)
    except (AttributeError, OSError):
        return ""
    flags = int.from_bytes(buffer.raw[_DARWIN_FLAGS_AT : _DARWIN_FLAGS_AT + 4], sys.byteorder)
    if failed or flags & _DARWIN_LOCAL:
        return ""
    return buffer.raw[_DARWIN_NAME_AT : _DARWIN_NAME_AT + 16].split(b"\0")[0].decode("ascii", "replace")
