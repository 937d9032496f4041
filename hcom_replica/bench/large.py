"""A large log: its size on disk, what opening it takes, reading all of it, and checking all of it.

Owns the log, without a daemon, and its floors: the rows of its main table in a bare LMDB environment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from hcom_replica.api.appending import append_drafts
from hcom_replica.api.replica import Replica
from hcom_replica.bench.commands import BARE_NAME, bare_s
from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.device import Device, Receiver, device
from hcom_replica.bench.figures import Figure, Target
from hcom_replica.bench.floors import BATCH_EVENTS, Clock, RawLmdb, raw_lmdb, seconds
from hcom_replica.bench.parts import Scale, best, fresh
from hcom_replica.store.log import Log
from hcom_replica.testing.real.processes import Cli

_DATA_FILE: Final = "log/data.mdb"
_ORIGINS: Final = 10
_TURN_EVENTS: Final = 100
_LONG_S: Final = 600.0


class _Filled(NamedTuple):
    """A folder with a log: its command line, events that people see, all records, and bytes of these."""

    cli: Cli
    events: int
    records: int
    encoded_bytes: int

    @property
    def data_file(self) -> Path:
        """LMDB's file: its size is that of the log."""
        return self.cli.folder / _DATA_FILE


def large(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """A log of a million events: its size, and what opening it, reading all of it and checking all of it take."""
    with raw_lmdb(fresh(folder, "raw")) as raw, _filled(corpus, fresh(folder, "large"), scale.large_events, raw) as it:
        return [
            _size("size on disk for each byte of encoded events", it.data_file, raw, it.encoded_bytes, 1.7),
            _status(it, scale),
            _replay(it, raw, scale.clock),
            _audit(it, raw, scale.clock),
        ]


@contextmanager
def _filled(corpus: Corpus, folder: Path, events: int, raw: RawLmdb) -> Iterator[_Filled]:
    """A folder without a daemon that has so many events; the rows of its main table are put into `raw`, too."""
    with Cli(folder / "replica") as cli:
        with Replica.open(cli.folder) as replica:
            drafts = corpus.take(min(events, 100 * BATCH_EVENTS))
            for at in range(0, events, BATCH_EVENTS):
                first = at % len(drafts)
                append_drafts(replica.parts, drafts[first : first + BATCH_EVENTS])
            records, encoded = _copy(replica.log, raw)
            count = replica.log.event_count()
        yield _Filled(cli, count, records, encoded)


def _copy(log: Log, raw: RawLmdb) -> tuple[int, int]:
    """Put the rows of a log's main table into a bare one; gives their number, and the bytes of encoded events."""
    events, records, encoded = log.events(), 0, 0
    while some := list(islice(events, BATCH_EVENTS)):
        raw.put_batch([(event.key, event.seq.to_bytes(8, "big") + event.record) for event in some])
        records += len(some)
        encoded += sum(len(event.record) for event in some)
    return records, encoded


def _size(name: str, data_file: Path, raw: RawLmdb, encoded_bytes: int, most: float) -> Figure:
    size, floor = (path.stat().st_blocks * 512 / encoded_bytes for path in (data_file, raw.data_file))
    return Figure(name, size, "bytes", "less", floor, "raw LMDB, main table in order", (Target(most),))


def _status(it: _Filled, scale: Scale) -> Figure:
    """The log's file is not in memory, as after a boot; the program's own files are."""
    ours, floor = list[float](), list[float]()
    for _ in range(scale.commands):
        _out_of_memory(it.data_file)
        begin = scale.clock()
        said = it.cli.json("status")
        ours.append(scale.clock() - begin)
        assert said["events"] == it.events, "status counts otherwise"
        floor.append(bare_s(it.cli, scale.clock))
    return Figure(
        f"`status --json` of {it.events:,} events, cold, median", median(ours) * 1_000, "ms", "less",
        floor=median(floor) * 1_000, floor_name=BARE_NAME, targets=(Target(150),),
    )  # fmt: skip


def _out_of_memory(path: Path) -> None:
    """Let the system drop what it keeps of a file, where it can be told to."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _replay(it: _Filled, raw: RawLmdb, clock: Clock) -> Figure:
    lines, bare = it.cli.folder.parent / "replayed.jsonl", it.cli.folder.parent / "bare"
    taken = seconds(partial(it.cli.ok, "replay", "--format", "jsonl", "-o", str(lines), timeout_s=_LONG_S), clock)
    with lines.open("rb") as file:
        assert sum(1 for line in file if json.loads(line)["id"]) == it.events, "replay left something out"
    with bare.open("wb") as file:
        floor = best(lambda: raw.pour(file.write), clock)
    assert bare.stat().st_size > it.encoded_bytes
    return Figure(
        f"`replay --format jsonl` of {it.events:,} events", it.events / taken, "events/s", "more",
        floor=it.records / floor, floor_name="raw cursor into a file", targets=(Target(300_000),),
    )  # fmt: skip


def _audit(it: _Filled, raw: RawLmdb, clock: Clock) -> Figure:
    begin = clock()
    said = it.cli.json("audit", timeout_s=_LONG_S)
    taken = clock() - begin
    assert said["sound"], "a finding"
    assert said["events"] == it.records, "audit left something out"
    floor = best(lambda: raw.pour(lambda row: blake2b(row, digest_size=32).digest()), clock)
    return Figure(
        f"`audit` of {it.events:,} events", it.records / taken, "events/s", "more",
        floor=it.records / floor, floor_name="raw cursor and one hash",
    )  # fmt: skip


# --- ten origins -----------------------------------------------------------------------------------------------


def interleaved(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """The size on disk of the events of ten devices that wrote in turns, as another one took them in."""
    drafts = corpus.take(scale.events)
    with ExitStack() as stack:
        names = [f"BEN{number}" for number in range(_ORIGINS)]
        writers = [stack.enter_context(device(fresh(folder, name), name)) for name in names]
        for turn, at in enumerate(range(0, len(drafts), _TURN_EVENTS)):
            writers[turn % _ORIGINS].append(drafts[at : at + _TURN_EVENTS], _TURN_EVENTS)
        home = fresh(folder, "copy")
        copy = stack.enter_context(device(home, "BENC"))
        _take_in(copy, writers)
        raw = stack.enter_context(raw_lmdb(fresh(folder, "raw")))
        _, encoded = _copy(copy.log, raw)
        name = f"size on disk for each byte of encoded events, {_ORIGINS} origins interleaved"
        return [_size(name, home / _DATA_FILE, raw, encoded, 2)]


def _take_in(copy: Device, writers: list[Device]) -> None:
    """Let a device take in what others wrote, a message of each in turn, and prove that it has all of it."""
    queues = [iter(writer.messages()) for writer in writers]
    receiver = Receiver(copy.log)
    while messages := [message for queue in queues if (message := next(queue, None)) is not None]:
        receiver.take(messages)
    held = {state.id: (state.seq, state.tip) for state in copy.log.origins()}
    for writer in writers:
        own = writer.log.own_origin()
        assert own is not None
        assert held[own.id] == (own.seq, own.tip), "the copy differs"
