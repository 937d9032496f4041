"""Every version reads what the ones before it have left: folders on disk, and messages on brokers.

If one of these fails, do not make the files anew: somebody's folder, or somebody's mail, is as they are.
"""

from __future__ import annotations

import json
import lzma
import mmap
from pathlib import Path
from typing import Any

import pytest

from hcom_replica import Replica
from hcom_replica.testing.cluster import Cluster
from hcom_replica.wire.token import decode_token

VERSIONS = sorted(path for path in Path(__file__).parent.iterdir() if (path / "about.json").exists())
versions = pytest.mark.parametrize("kept", VERSIONS, ids=lambda path: path.name)


def about(kept: Path) -> Any:
    return json.loads((kept / "about.json").read_text())


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    """The folder as it was, in a fresh place."""
    if mmap.PAGESIZE != 4096:
        pytest.skip("LMDB's files depend on the size of a page")
    made = tmp_path / "replica"
    (made / "log").mkdir(parents=True, mode=0o700)
    made.chmod(0o700)
    for name, data in (
        ("device.key", bytes.fromhex(about(kept)["device"])),
        ("group.key", "".join(f"{token}\n" for token in about(kept)["tokens"]).encode()),
        ("log/data.mdb", lzma.decompress((kept / "data.mdb.xz").read_bytes())),
    ):
        (made / name).write_bytes(data)
        (made / name).chmod(0o600)
    return made


@versions
def test_folder_of_an_earlier_version_is_read_and_written_on(kept: Path, folder: Path) -> None:
    """T4.1"""
    with Replica.open(folder) as replica:
        events = list(replica.events(limit=None))
        assert len(events) == about(kept)["events"]
        assert len(replica.log.origins()) == about(kept)["origins"]
        assert [event.redacted for event in events].count(True) == 1
        assert max(len(event.body) for event in events if not event.redacted) == 204_800
        status = replica.status()
        assert status.key_epoch == 2
        replica.append("after", {"version": "later"})
    with Replica.open(folder) as replica:
        assert len(list(replica.events(limit=None))) == about(kept)["events"] + 1


@versions
def test_mail_of_an_earlier_version_is_read_from_the_broker(kept: Path) -> None:
    """11: what a device of that version has left on the broker brings a new one all that it wrote."""
    retained = json.loads(lzma.decompress((kept / "broker.json.xz").read_bytes()))
    token = decode_token(about(kept)["tokens"][0])
    cluster = Cluster(2, ())
    cluster.broker.roll_back({topic: bytes.fromhex(payload) for topic, payload in retained.items()})
    cluster.world.keys, cluster.world.founder = token.keys, token.founder
    reader = cluster.join("R")
    reader.start()
    assert cluster.run_until(lambda: len(cluster.held("R")) >= 50, 10 * 60_000)
