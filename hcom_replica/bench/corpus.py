"""What is written in the benchmarks: recorded histories of hcom when they are at hand, else generated ones.

Owns no data: recorded histories lie in the folder that $HCOM_REPLICA_CORPUS names. The generator makes events of the
same shape, sizes and repetitiveness from a fixed seed.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, cycle, islice
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from hcom_replica.wire.event import Draft

PATTERN: Final = "history-*.jsonl.gz"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SEED: Final = 20_260_101
_GENERATED_EVENTS: Final = 27_000


class Line(msgspec.Struct):
    """One line of a history: what `hcom-replica import` takes."""

    kind: str
    agent: str
    time: str
    data: msgspec.Raw


@dataclass(frozen=True)
class Corpus:
    """Events to write.

    Attributes:
        name: where they are from.
        lines: JSON lines, as a person would import them.
        drafts: the same, ready to be appended.
    """

    name: str
    lines: list[bytes]
    drafts: list[Draft]

    @property
    def json_bytes(self) -> int:
        """Size of the JSON lines."""
        return sum(map(len, self.lines))

    def take(self, count: int) -> list[Draft]:
        """So many drafts, begun again from the start when there are fewer."""
        return list(islice(cycle(self.drafts), count))

    def take_lines(self, count: int) -> list[bytes]:
        """The JSON lines of `take`."""
        return list(islice(cycle(self.lines), count))


def load() -> Corpus:
    """The recorded histories, else generated ones."""
    folder = os.environ.get("HCOM_REPLICA_CORPUS")
    files = sorted(Path(folder).glob(PATTERN)) if folder else []
    if not files:
        return generated()
    return _corpus(f"{len(files)} recorded histories", chain.from_iterable(map(_read, files)))


def generated(count: int = _GENERATED_EVENTS, seed: int = _SEED) -> Corpus:
    """Events like those of a recorded history: the same seed gives the same bytes."""
    return _corpus(f"generated, seed {seed}", islice(Generator(Random(seed)), count))


def _read(path: Path) -> list[bytes]:
    with gzip.open(path) as file:
        return file.readlines()


def _corpus(name: str, lines: Iterator[bytes]) -> Corpus:
    kept = list(lines)
    return Corpus(name, kept, [_draft(line) for line in kept])


def _draft(text: bytes) -> Draft:
    line = msgspec.json.decode(text, type=Line)
    moment = (datetime.fromisoformat(line.time) - _EPOCH) // timedelta(microseconds=1)
    return Draft(line.kind, line.agent, moment, msgspec.json.format(bytes(line.data), indent=-1))


class Generator:
    """A history that never happened: agents come, edit files, rest, and write to each other.

    Of 100 events about 83 are statuses of some 80 bytes, 15 messages with a median of 230 bytes and a long tail, and 2
    tell of an agent's beginning; few agents do most of the work, on few of the files.

    Args:
        random: seeded.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._now = datetime(2025, 1, 6, 9, tzinfo=UTC)
        self._words = [self._word() for _ in range(3_000)]
        self._weights = [1 / (rank + 3) for rank in range(len(self._words))]
        self._paths = [self._path() for _ in range(240)]
        self._agents: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        while True:
            if not self._agents or self._random.random() < 0.02:
                yield self._life()
            elif self._random.random() < 0.15:
                yield self._message()
            else:
                yield self._status()

    def _life(self) -> bytes:
        name = "".join(self._random.choice(letters) for letters in ("bdfglmnrstvz", "aeiou") * 2)
        self._agents.append(name)
        snapshot = {"name": name, "status": "active"}
        return self._line("life", name, {"action": "created", "by": "cli", "tool": "claude", "snapshot": snapshot})

    def _status(self) -> bytes:
        if self._random.random() < 0.3:
            return self._line("status", self._agent(), {"status": "listening", "context": "", "detail": ""})
        tool = self._random.choices(("Edit", "Write", "Bash"), (6, 2, 1))[0]
        detail = self._paths[min(int(self._random.expovariate(1 / 40)), len(self._paths) - 1)]
        return self._line("status", self._agent(), {"status": "active", "context": f"tool:{tool}", "detail": detail})

    def _message(self) -> bytes:
        sender = self._agent()
        text = self._text(min(int(self._random.lognormvariate(4.8, 1.45)), 24_000))
        others = [name for name in self._agents[-4:] if name != sender]
        return self._line(
            "message",
            sender,
            {
                "from": sender,
                "sender_kind": "instance",
                "scope": "broadcast",
                "text": text,
                "delivered_to": others,
                "mentions": [],
            },
        )

    def _line(self, kind: str, agent: str, data: dict[str, Any]) -> bytes:
        self._now += timedelta(milliseconds=250 * int(1 + self._random.expovariate(1 / 80)))
        time = self._now.isoformat().replace("+00:00", "Z")
        return json.dumps({"kind": kind, "agent": agent, "time": time, "data": data}).encode() + b"\n"

    def _agent(self) -> str:
        """Few do most: the present ones, the older the less often."""
        return self._agents[-1 - min(int(self._random.expovariate(0.4)), len(self._agents) - 1)]

    def _text(self, chars: int) -> str:
        words = self._random.choices(self._words, self._weights, k=chars // 6 + 1)
        return " ".join(words)[: max(chars, 12)].capitalize()

    def _word(self) -> str:
        pairs = self._random.choices(("a", "e", "i", "o", "u", "st", "r", "n", "t", "s", "l", "en", "er", "co"), k=4)
        return "".join(pairs)[: self._random.randint(2, 8)]

    def _path(self) -> str:
        folder = "/".join(self._random.choice(self._words[:60]) for _ in range(self._random.randint(1, 4)))
        return f"{folder}/{self._random.choice(self._words[:400])}.{self._random.choice(('py', 'rs', 'md', 'toml'))}"
