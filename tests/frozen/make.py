"""Makes what is kept of a version: `python -m tests.frozen.make v2`, once, when its formats are final; never again.

A small group is simulated on a real disk: two branches of a fork, a revoked device, a redaction, a large event. Kept
are one device's folder and what lay on the broker while nobody else was there.
"""

from __future__ import annotations

import json
import lzma
import sys
import tempfile
from pathlib import Path

import msgspec

from hcom_replica.testing.cluster import MINUTE_MS, Cluster
from hcom_replica.testing.disk import RealDisks
from hcom_replica.wire.event import Draft
from hcom_replica.wire.token import JoinToken

HERE = Path(__file__).parent
_SEED = bytes(range(32))


def make(folder: Path) -> None:
    """Write everything into a folder that does not exist."""
    with tempfile.TemporaryDirectory() as disks, RealDisks(Path(disks)) as made:
        cluster = Cluster(1, (), founded=True, disks=made)
        for name, seed in (("A", _SEED), ("B", None), ("C", None)):
            cluster.join(name, seed=seed).start()
        _live(cluster)
        device = cluster["A"]
        token = JoinToken(cluster.token("A"), ("mqtt://127.0.0.1:1",), cluster.world.founder)
        device.crash()
        folder.mkdir()
        data = next(Path(disks).glob("disk-0/data.mdb"))
        (folder / "data.mdb.xz").write_bytes(lzma.compress(data.read_bytes(), preset=9))
        retained = {topic: payload.hex() for topic, payload in cluster.broker.retained()}
        (folder / "broker.json.xz").write_bytes(lzma.compress(json.dumps(retained).encode(), preset=9))
        first = JoinToken(cluster.world.keys, ("mqtt://127.0.0.1:1",), cluster.world.founder)
        about = {
            "device": _SEED.hex(),
            "tokens": [token.encode(), first.encode()],
            "digest": cluster.digest("A"),
            "events": device.log.event_count(),
            "origins": len(device.log.origins()),
        }
        (folder / "about.json").write_text(json.dumps(about, indent=2) + "\n")


def _live(cluster: Cluster) -> None:
    """What happens."""
    for name in cluster.devices:
        cluster.append(name, 3)
    assert cluster.run_until_quiet()
    cluster.run(MINUTE_MS)
    ids = cluster.append("A", [Draft("note", "luna", 1_700_000_000_000_000, b'{"secret":"s3cret"}')])
    cluster["A"].redact(ids[0])
    cluster.append("B", [Draft("large", None, None, bytes(range(256)) * 800)])
    assert cluster.run_until_quiet()
    twin = cluster.clone("B", "X")
    cluster.offline("X")
    twin.start()
    cluster.append("X", 2)
    cluster.append("B", 4)
    cluster.run(10_000)
    cluster.online("X")
    assert cluster.run_until_converged()
    cluster.revoke("A", "C")
    cluster.run(3 * MINUTE_MS)
    for name in ("B", "X"):
        cluster[name].crash()
    cluster.append("A", 50)
    cluster.run(5 * MINUTE_MS)


if __name__ == "__main__":
    target = HERE / sys.argv[1]
    if target.exists():
        sys.exit(f"{target} is kept for ever")
    make(target)
    sys.stdout.write(msgspec.json.encode(sorted(path.name for path in target.iterdir())).decode() + "\n")
