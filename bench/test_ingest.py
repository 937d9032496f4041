"""Taking in remote batches, reading the log, sealing and opening messages."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.rounds import measure
from hcom_replica.bench.corpus import Corpus
from hcom_replica.bench.device import KEYS, TOPIC, Receiver, device, digest
from hcom_replica.bench.floors import BATCH_EVENTS
from hcom_replica.wire.batch import decode_batch
from hcom_replica.wire.frame import open_frame

EVENTS = 10_000


@pytest.mark.benchmark(group="10,000 events from messages to disk")
def test_ingest(benchmark: BenchmarkFixture, disk: Path, corpus: Corpus) -> None:
    with device(disk / "source", "BENA") as source:
        source.append(corpus.take(EVENTS), BATCH_EVENTS)
        messages, wanted = source.messages(), digest(source.log)
    folders = count()

    def take() -> None:
        with device(disk / f"copy-{next(folders)}", "BENB") as copy:
            Receiver(copy.log).take(messages)
            assert digest(copy.log) == wanted

    measure(benchmark, take, rounds=5)


@pytest.mark.benchmark(group="10,000 events, scan")
def test_scan(benchmark: BenchmarkFixture, disk: Path, corpus: Corpus) -> None:
    with device(disk / "source", "BENA") as source:
        source.append(corpus.take(EVENTS), BATCH_EVENTS)
        found = benchmark(lambda: sum(1 for _ in source.log.events()))
        assert found == EVENTS + 1  # its hello


@pytest.mark.benchmark(group="10,000 events, wire")
def test_read_pack_and_seal(benchmark: BenchmarkFixture, disk: Path, corpus: Corpus) -> None:
    with device(disk / "source", "BENA") as source:
        source.append(corpus.take(EVENTS), BATCH_EVENTS)
        messages = benchmark(source.messages)
        batches = [decode_batch(open_frame(KEYS, TOPIC, message).payload) for message in messages]
        assert sum(len(batch.records) for batch in batches) == EVENTS + 1


@pytest.mark.benchmark(group="10,000 events, wire")
def test_open_and_decode(benchmark: BenchmarkFixture, disk: Path, corpus: Corpus) -> None:
    with device(disk / "source", "BENA") as source:
        source.append(corpus.take(EVENTS), BATCH_EVENTS)
        messages = source.messages()
        records = [event.record for event in source.log.events()]
    batches = benchmark(lambda: [decode_batch(open_frame(KEYS, TOPIC, message).payload) for message in messages])
    assert [record for batch in batches for record in batch.records] == records
