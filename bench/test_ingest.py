"""Taking in remote batches, reading the log, sealing and opening messages; each beside its floor, `_raw`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import zstandard
from pytest_benchmark.fixture import BenchmarkFixture

from bench.rounds import measure
from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.device import KEYS, TOPIC, Device, Receiver, device, digest
from hcom_replica.bench.floors import BATCH_EVENTS, all_rows, raw_lmdb, rows
from hcom_replica.bench.parts import raw_batches, raw_fill
from hcom_replica.wire.batch import decode_batch
from hcom_replica.wire.frame import open_frame

EVENTS = 10_000


@pytest.fixture
def source(disk: Path, corpus: Corpus) -> Iterator[Device]:
    with device(disk / "source", "BENA") as made:
        made.append(corpus.take(EVENTS), BATCH_EVENTS)
        yield made


@pytest.fixture
def batches(source: Device) -> list[bytes]:
    return [open_frame(KEYS, TOPIC, message).payload for message in source.messages()]


@pytest.mark.benchmark(group="10,000 events from messages to disk")
def test_ingest(benchmark: BenchmarkFixture, disk: Path, source: Device) -> None:
    messages, wanted, folders = source.messages(), digest(source.log), count()

    def take() -> None:
        with device(disk / f"copy-{next(folders)}", "BENB") as copy:
            Receiver(copy.log).take(messages)
            assert digest(copy.log) == wanted

    measure(benchmark, take, rounds=5)


@pytest.mark.benchmark(group="10,000 events from messages to disk")
def test_ingest_raw(benchmark: BenchmarkFixture, disk: Path, source: Device) -> None:
    tables, folders = all_rows(source.log), count()
    measure(benchmark, lambda: raw_batches(disk / f"raw-{next(folders)}", *tables), rounds=5)


@pytest.mark.benchmark(group="10,000 events, scan")
def test_scan(benchmark: BenchmarkFixture, source: Device) -> None:
    found = benchmark(lambda: sum(1 for _ in source.log.events()))
    assert found == EVENTS + 1  # its hello


@pytest.mark.benchmark(group="10,000 events, scan")
def test_scan_raw(benchmark: BenchmarkFixture, disk: Path, source: Device) -> None:
    with raw_lmdb(disk / "raw") as raw:
        raw_fill(raw, rows(source.log))
        assert benchmark(raw.scan) == EVENTS + 1


@pytest.mark.benchmark(group="10,000 events, to the wire")
def test_read_pack_and_seal(benchmark: BenchmarkFixture, source: Device) -> None:
    messages = benchmark(source.messages)
    batches = [decode_batch(open_frame(KEYS, TOPIC, message).payload) for message in messages]
    assert sum(len(batch.records) for batch in batches) == EVENTS + 1


@pytest.mark.benchmark(group="10,000 events, to the wire")
def test_compress_raw(benchmark: BenchmarkFixture, batches: list[bytes]) -> None:
    zstd = zstandard.ZstdCompressor(level=3)
    packed = benchmark(lambda: [zstd.compress(batch) for batch in batches])
    assert [zstandard.ZstdDecompressor().decompress(one) for one in packed] == batches


@pytest.mark.benchmark(group="10,000 events, from the wire")
def test_open_and_decode(benchmark: BenchmarkFixture, source: Device) -> None:
    messages = source.messages()
    records = [event.record for event in source.log.events()]
    batches = benchmark(lambda: [decode_batch(open_frame(KEYS, TOPIC, message).payload) for message in messages])
    assert [record for batch in batches for record in batch.records] == records


@pytest.mark.benchmark(group="10,000 events, from the wire")
def test_inflate_raw(benchmark: BenchmarkFixture, batches: list[bytes]) -> None:
    packed = [zstandard.ZstdCompressor(level=3).compress(batch) for batch in batches]
    bare = zstandard.ZstdDecompressor()
    assert benchmark(lambda: [bare.decompress(one) for one in packed]) == batches
