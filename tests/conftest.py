"""Settings for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from hcom_replica.folder.state import state_kept_in

# Hypothesis's per-example deadline is an assertion about time, and so about the machine: pytest-timeout bounds a
# hanging test instead. All else stays as hypothesis chose it, including its derandomized profile when CI is set.
settings.register_profile("house", settings.default, deadline=None)
settings.load_profile("house")


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where this worker's continuity markers go: never to the state folder of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("state")
    with state_kept_in(folder):
        yield folder
