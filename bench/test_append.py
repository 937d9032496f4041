"""Appending, beside raw LMDB."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.rounds import measure
from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.device import Device, assert_holds, device
from hcom_replica.bench.floors import BATCH_EVENTS, RawLmdb, raw_lmdb, rows
from hcom_replica.bench.parts import raw_fill

EVENTS = 10_000


@pytest.fixture
def writer(disk: Path) -> Iterator[Device]:
    with device(disk / "writer", "BENA") as made:
        yield made


@pytest.fixture
def raw(disk: Path) -> Iterator[RawLmdb]:
    with raw_lmdb(disk / "raw") as made:
        yield made


@pytest.mark.benchmark(group="batches of 1,000, 10,000 events")
def test_append_many(benchmark: BenchmarkFixture, writer: Device, corpus: Corpus) -> None:
    drafts = corpus.take(EVENTS)
    runs = measure(benchmark, partial(writer.append, drafts, BATCH_EVENTS), rounds=5)
    assert_holds(writer.log, drafts * runs)


@pytest.mark.benchmark(group="batches of 1,000, 10,000 events")
def test_append_many_raw(benchmark: BenchmarkFixture, writer: Device, disk: Path, corpus: Corpus) -> None:
    writer.append(corpus.take(EVENTS), BATCH_EVENTS)
    stored = rows(writer.log)
    folders = count()

    def put() -> None:
        with raw_lmdb(disk / f"raw-{next(folders)}") as raw:
            raw_fill(raw, stored)
            assert raw.scan() == len(stored)

    measure(benchmark, put, rounds=5)


@pytest.mark.benchmark(group="one durable append")
def test_append_one(benchmark: BenchmarkFixture, writer: Device, corpus: Corpus) -> None:
    drafts = corpus.take(1)
    runs = measure(benchmark, partial(writer.append, drafts, 1), rounds=300)
    assert_holds(writer.log, drafts * runs)


@pytest.mark.benchmark(group="one durable append")
def test_append_one_raw(benchmark: BenchmarkFixture, writer: Device, raw: RawLmdb, corpus: Corpus) -> None:
    writer.append(corpus.take(1), 1)
    _, value = rows(writer.log)[-1]
    keys = count()
    runs = measure(benchmark, lambda: raw.put(next(keys).to_bytes(16, "big"), value), rounds=300)
    assert raw.scan() == runs
