"""Events to import: the two recorded histories of hcom when they are at hand, else generated ones of the same shape.

Recorded ones are looked for in the folder that $HCOM_REPLICA_CORPUS names, or in `../shared/data`. Files of JSON lines
are written where a test wants them.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final

from hcom_replica.bench import corpus

_BESIDE: Final = Path(__file__).resolve().parents[3] / "shared" / "data"
ATUIN: Final = "atuin"
AUTOMERGE: Final = "automerge"
COUNTS: Final = {ATUIN: 14_376, AUTOMERGE: 12_454}
"""How many events each history has, recorded or generated."""


def history_lines(name: str) -> list[bytes]:
    """All lines of a history, oldest first."""
    folder = Path(os.environ.get("HCOM_REPLICA_CORPUS", _BESIDE))
    path = folder / f"history-{name}.jsonl.gz"
    if not path.exists():
        return corpus.generated(COUNTS[name], seed=COUNTS[name]).lines
    with gzip.open(path) as file:
        return file.readlines()


def write_history(folder: Path, name: str, count: int | None = None) -> Path:
    """Write a history, or its first `count` events, to a file in `folder`."""
    path = folder / f"{name}.jsonl"
    path.write_bytes(b"".join(islice(history_lines(name), count)))
    return path


def write_lines(path: Path, bodies: Iterable[object], *, kind: str = "k", agent: str = "luna") -> Path:
    """Write one event for each body."""
    with path.open("w") as file:
        for body in bodies:
            file.write(json.dumps({"kind": kind, "agent": agent, "data": body}) + "\n")
    return path


def noise(count: int, size_bytes: int, seed: int = 1) -> list[str]:
    """Texts that no compression makes much smaller than `size_bytes` each: the same for the same seed."""
    random = Random(seed)
    return [base64.b64encode(random.randbytes(size_bytes)).decode() for _ in range(count)]
