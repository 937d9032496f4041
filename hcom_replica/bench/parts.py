"""Ratios of the parts: what the log does beside raw LMDB with the same bytes, in turns, in one process on one core.

Owns how each part is measured. Rounds of ours and of the floor take turns, so that what else the machine does falls on
both; of each the best round counts, of single commits the median. Every result is checked before its speed is told.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Final

import msgspec
import zstandard

from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.device import (
    KEYS,
    STEP_MESSAGES,
    TOPIC,
    Device,
    Receiver,
    assert_holds,
    device,
    digest,
    unwritten,
)
from hcom_replica.bench.figures import Figure, Target
from hcom_replica.bench.floors import (
    BATCH_EVENTS,
    Clock,
    RawLmdb,
    all_rows,
    in_batches,
    processor,
    raw_lmdb,
    rows,
    seconds,
)
from hcom_replica.bench.least import TABLES, Least
from hcom_replica.bench.machine import rss_anon_mib
from hcom_replica.store.kv import Item
from hcom_replica.wire.batch import decode_batch
from hcom_replica.wire.event import Draft, decode_event
from hcom_replica.wire.frame import open_frame
from hcom_replica.wire.seal import NONCE_BYTES, seal, unseal

ROUNDS: Final = 5
LEAST: Final = "bare LMDB, but encoded, chained and signed"
_FOLDERS: Final = count()
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured; the quick one only shows that everything works.

    Attributes:
        events: of a bulk measurement.
        catch_ups: events of each catch-up.
        singles: durable commits of one event.
        trickle_s: virtual seconds of the trickle.
        live_events: live events whose latency is taken.
        peer_events: events that peers carry.
        relay_events: events that the slowest of them, hcom's own relay, catches up with.
        relay_burst: events that it carries at once.
        sends: messages of its, whose latency is taken.
        large_events: of a large log.
        commands: runs of a whole command.
        reconnects: gaps that are closed.
        line_bytes_s: what a slow line carries.
        line_s: how long a long line takes each way.
        idle_s: how long nothing is done.
        clock: of what one process does, or a command; not of what passes between daemons.
    """

    events: int = 100_000
    catch_ups: tuple[int, ...] = (100_000, 1_000_000)
    singles: int = 1_000
    trickle_s: int = 3_600
    live_events: int = 1_000
    peer_events: int = 100_000
    relay_events: int = 1_000
    relay_burst: int = 10_000
    sends: int = 100
    large_events: int = 1_000_000
    commands: int = 25
    reconnects: int = 9
    line_bytes_s: int = 125_000
    line_s: float = 0.05
    idle_s: int = 150
    clock: Clock = time.perf_counter


FULL: Final = Scale()
QUICK: Final = Scale(
    events=3_000,
    catch_ups=(3_000,),
    singles=50,
    trickle_s=60,
    live_events=30,
    peer_events=2_000,
    relay_events=60,
    relay_burst=200,
    sends=10,
    large_events=3_000,
    commands=2,
    reconnects=2,
    line_bytes_s=1_000_000,
    line_s=0.01,
    idle_s=1,
    clock=processor,  # its ratios can be compared on a busy machine, too
)


def fresh(folder: Path, name: str) -> Path:
    """A folder that does not exist yet."""
    return folder / f"{name}-{next(_FOLDERS)}"


# --- appending -------------------------------------------------------------------------------------------------


def append_many(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """Durable batches of 1,000 events, beside durable raw commits of the very rows they became."""
    drafts = corpus.take(scale.events)
    ours, floor, least = list[float](), list[float](), list[float]()
    for _ in range(ROUNDS):
        with device(fresh(folder, "append"), "BENA") as writer:
            ours.append(seconds(partial(writer.append, drafts, BATCH_EVENTS), scale.clock))
            assert_holds(writer.log, drafts)
            stored = all_rows(writer.log)
            begin = unwritten(writer)
        with raw_lmdb(fresh(folder, "least"), TABLES) as raw:
            least.append(seconds(partial(Least(raw, writer.key, begin).append, drafts, BATCH_EVENTS), scale.clock))
            assert raw.scan() == len(drafts)
        floor.append(raw_batches(fresh(folder, "raw"), *stored, clock=scale.clock))
    name, speed = "append_many, batches of 1,000", len(drafts) / min(ours)
    return [
        Figure(
            name,
            speed,
            "events/s",
            floor=len(drafts) / min(floor),
            floor_name="raw putmulti, same rows in two tables",
            targets=(Target(0.6, "ratio"),),
            same="durable writes",
        ),
        Figure(name, speed, "events/s", floor=len(drafts) / min(least), floor_name=LEAST),
    ]


def raw_batches(folder: Path, *tables: list[Item], clock: Clock = time.perf_counter) -> float:
    """Seconds that raw commits of 1,000 rows a table take."""
    with raw_lmdb(folder, len(tables)) as raw:
        batches = list(zip(*map(in_batches, tables), strict=True))
        taken = seconds(partial(put_batches, raw, batches), clock)
        assert raw.scan() == len(tables[0])
    return taken


def put_batches(raw: RawLmdb, batches: Sequence[Sequence[Sequence[Item]]]) -> None:
    """Commit batches, each the rows of one table or of several."""
    for batch in batches:
        raw.put_batch(*batch)


def raw_fill(raw: RawLmdb, stored: list[Item]) -> None:
    """Put rows into a raw environment of one table."""
    put_batches(raw, [[batch] for batch in in_batches(stored)])


# --- single appends --------------------------------------------------------------------------------------------


def append_one(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """One durable append, beside one durable raw commit of the same row behind the same rows."""
    before, single = corpus.take(scale.events), corpus.take(scale.singles)
    with (
        device(fresh(folder, "one"), "BENA") as writer,
        raw_lmdb(fresh(folder, "raw")) as raw,
        raw_lmdb(fresh(folder, "least"), TABLES) as chained,
    ):
        writer.append(before, BATCH_EVENTS)
        raw_fill(raw, rows(writer.log))
        least = Least(chained, writer.key, unwritten(writer))
        least.append(before, BATCH_EVENTS)
        turns = _take_turns(writer, raw, least, single, scale.clock)
        assert_holds(writer.log, [*before, *single])
        assert raw.scan() == chained.scan() + 1 == len(rows(writer.log)), "one that tells of the origin is ours alone"
    ours_us, floor_us, least_us = (median(times) * 1e6 for times in turns)
    name, target = "one durable append", Target(0.65, "ratio")
    return [
        Figure(name, ours_us, "us", "less", floor=floor_us, floor_name="raw commit", targets=(target,)),
        Figure(name, ours_us, "us", "less", floor=least_us, floor_name=LEAST),
    ]


def _take_turns(
    writer: Device, raw: RawLmdb, least: Least, single: list[Draft], clock: Clock
) -> tuple[list[float], list[float], list[float]]:
    ours, floor, chained = list[float](), list[float](), list[float]()
    for one in single:
        ours.append(seconds(partial(writer.append, [one], 1), clock))
        stored = next(writer.log.events(reverse=True, page=1))
        value = stored.seq.to_bytes(8, "big") + stored.record
        floor.append(seconds(partial(raw.put, stored.key, value), clock))
        chained.append(seconds(partial(least.append, [one], 1), clock))
    return ours, floor, chained


# --- ingest and reading ----------------------------------------------------------------------------------------


def ingest(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """Remote batches from sealed messages to the tables on disk, on one core, and the memory that it takes."""
    drafts = corpus.take(scale.events)
    with device(fresh(folder, "source"), "BENA") as source:
        source.append(drafts, BATCH_EVENTS)
        messages, wanted, stored = source.messages(), digest(source.log), all_rows(source.log)
        begin = unwritten(source)
    ours, floor, least, grown, quarter = list[float](), list[float](), list[float](), 0.0, len(messages) // 4
    for _ in range(ROUNDS):
        gc.collect()
        with device(fresh(folder, "copy"), "BENB") as copy:
            receiver = Receiver(copy.log)
            first = seconds(partial(receiver.take, messages[:quarter]), scale.clock)
            early_mib = rss_anon_mib()
            rest = seconds(partial(receiver.take, messages[quarter:]), scale.clock)
            grown = max(grown, rss_anon_mib() - early_mib)
            assert digest(copy.log) == wanted, "the copy differs"
        ours.append(first + rest)
        floor.append(raw_batches(fresh(folder, "raw"), *stored, clock=scale.clock))
        with raw_lmdb(fresh(folder, "least"), TABLES) as raw:
            least.append(seconds(partial(Least(raw, source.key, begin).take, messages, STEP_MESSAGES), scale.clock))
            assert raw.scan() == len(stored[0])
    name, speed = "ingest of sealed remote batches", len(stored[0]) / min(ours)
    return [
        Figure(
            name,
            speed,
            "events/s",
            floor=len(stored[0]) / min(floor),
            floor_name="raw putmulti, same rows in two tables",
            targets=(Target(250_000), Target(0.35, "ratio")),
        ),
        Figure(name, speed, "events/s", floor=len(stored[0]) / min(least), floor_name=LEAST),
        Figure("memory grown in the last 3/4 of it", max(grown, 0.0), "MiB", "less", targets=(Target(8),)),
    ]


def scan(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """Reading the whole log in canonical order, beside a raw cursor over the same table."""
    drafts = corpus.take(scale.events)
    with device(fresh(folder, "scan"), "BENA") as reader, raw_lmdb(fresh(folder, "raw")) as raw:
        reader.append(drafts, BATCH_EVENTS)
        assert_holds(reader.log, drafts)
        raw_fill(raw, rows(reader.log))
        total = raw.scan()
        ours, floor = [], []
        for _ in range(ROUNDS):
            ours.append(seconds(lambda: _count_events(reader, total), scale.clock))
            floor.append(seconds(raw.scan, scale.clock))
    return [
        Figure(
            "scan in canonical order",
            total / min(ours),
            "events/s",
            floor=total / min(floor),
            floor_name="raw cursor",
        )
    ]


def _count_events(reader: Device, total: int) -> None:
    assert sum(1 for _ in reader.log.events()) == total


# --- wire ------------------------------------------------------------------------------------------------------


def codec(corpus: Corpus, folder: Path, scale: Scale) -> list[Figure]:
    """What decoding, sealing and packing cost, each beside the bare library."""
    drafts, least = corpus.take(scale.events), partial(best, clock=scale.clock)
    with device(fresh(folder, "codec"), "BENA") as source:
        source.append(drafts, BATCH_EVENTS)
        records = [event.record for event in source.log.events()]
        serving = least(source.messages)
        messages = source.messages()
    batches = [open_frame(KEYS, TOPIC, message).payload for message in messages]
    assert [record for batch in batches for record in decode_batch(batch).records] == records
    bare = msgspec.msgpack.Decoder().decode
    raw_bytes = sum(map(len, batches))
    zstd = zstandard.ZstdCompressor(level=3)
    return [
        Figure(
            "decode of records",
            len(records) / least(lambda: [decode_event(record) for record in records]),
            "events/s",
            floor=len(records) / least(lambda: [bare(record) for record in records]),
            floor_name="bare msgspec",
        ),
        Figure(
            "read, pack, sign and seal batches",
            raw_bytes / _MIB / serving,
            "MiB/s",
            floor=raw_bytes / _MIB / least(lambda: [zstd.compress(batch) for batch in batches]),
            floor_name="bare zstd",
        ),
        _opening(messages, batches, scale.clock),
        _sealing(batches, scale.clock),
    ]


def _opening(messages: list[bytes], batches: list[bytes], clock: Clock) -> Figure:
    bare = zstandard.ZstdDecompressor()
    packed = [zstandard.ZstdCompressor(level=3).compress(batch) for batch in batches]
    size = sum(map(len, batches)) / _MIB
    return Figure(
        "unseal, check the sender, inflate",
        size / best(lambda: [open_frame(KEYS, TOPIC, message) for message in messages], clock),
        "MiB/s",
        floor=size / best(lambda: [bare.decompress(data) for data in packed], clock),
        floor_name="bare zstd",
    )


def _sealing(batches: list[bytes], clock: Clock) -> Figure:
    nonce = bytes(NONCE_BYTES)
    size = sum(map(len, batches)) / _MIB
    sealed = [seal(KEYS, TOPIC, batch, nonce) for batch in batches]
    assert [unseal(KEYS, TOPIC, payload) for payload in sealed] == batches
    return Figure(
        "seal alone", size / best(lambda: [seal(KEYS, TOPIC, batch, nonce) for batch in batches], clock), "MiB/s"
    )


def best(action: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    """Seconds of the best of some rounds."""
    return min(seconds(action, clock) for _ in range(ROUNDS))
