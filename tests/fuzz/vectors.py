"""The valid bytes that mutations begin with: those of specs/vectors, valid and invalid."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parents[2] / "specs" / "vectors"


@cache
def vectors(name: str) -> Any:
    """One file of specs/vectors."""
    return json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def payloads(kind: str) -> list[bytes]:
    """Payloads of the messages of one kind, like HEAD."""
    return [bytes.fromhex(one["payload"]) for one in vectors("messages")["valid"] if one["name"] == kind]


def data(name: str, field: str = "data", group: str = "invalid") -> list[bytes]:
    """One field of each entry of a group of vectors."""
    return [bytes.fromhex(one[field]) for one in vectors(name)[group]]
