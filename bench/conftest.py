"""Fixtures of the pytest-benchmark parts: a corpus, and folders on a disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

import pytest

from hcom_replica.bench.corpus import Corpus, load
from hcom_replica.bench.machine import scratch


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """Recorded histories, else generated ones."""
    return load()


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder that is not in memory, removed afterwards."""
    with scratch(Path(gettempdir())) as folder:
        yield folder
