"""The one call of pytest-benchmark that is untyped, typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture


def measure(benchmark: BenchmarkFixture, action: Callable[[], object], rounds: int) -> int:
    """Run an action so many times, each one measured; once, when benchmarks are off. Returns how often it ran."""
    runs = 0

    def counted() -> None:
        nonlocal runs
        action()
        runs += 1

    untyped: Any = benchmark
    untyped.pedantic(counted, rounds=rounds)
    return runs
