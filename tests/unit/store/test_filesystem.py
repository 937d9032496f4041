from __future__ import annotations

import pytest

from hcom_replica.store.filesystem import filesystem_type, is_network

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 22 0:26 / /home rw shared:1 - nfs4 server:/home rw
31 22 0:27 / /mnt/my\\040share rw - cifs //nas/x rw
32 30 0:28 / /home/me rw - ext4 /dev/sdb rw
33 22 0:29 / /srv rw - ext4 /dev/sdc rw
34 33 0:30 / /srv rw - fuse.sshfs me@host: rw
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/var/x", "ext4"),
        ("/home/you/.hcom-replica", "nfs4"),
        ("/home/me/.hcom-replica", "ext4"),
        ("/homes", "ext4"),
        ("/mnt/my share/log", "cifs"),
        ("/srv", "fuse.sshfs"),
    ],
)
def test_filesystem_type_takes_the_deepest_and_newest_mount(path: str, expected: str) -> None:
    assert filesystem_type(path, MOUNTS) == expected


@pytest.mark.parametrize("name", ["nfs", "nfs4", "cifs", "9p", "fuse.sshfs", "ceph"])
def test_is_network_served_by_another_machine_says_yes(name: str) -> None:
    """T1.2"""
    assert is_network(name)


@pytest.mark.parametrize("name", ["ext4", "btrfs", "apfs", "tmpfs", "overlay", "fuse.gocryptfs", "fuse", ""])
def test_is_network_local_says_no(name: str) -> None:
    assert not is_network(name)
