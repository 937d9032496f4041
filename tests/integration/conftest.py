"""Fixtures of the integration tests: private brokers and a bad network."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from hcom_replica.testing.real.brokers import MosquittoBroker, PrivateBroker, any_broker, mosquitto_path
from hcom_replica.testing.real.proxy import ChaosProxy


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateBroker]:
    """One running broker for all tests of this worker: use topics of your own and leave it running."""
    with any_broker(tmp_path_factory.mktemp("broker")) as shared:
        yield shared


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[PrivateBroker]:
    """A running broker of the test's own, to stop, kill, freeze and restart."""
    with any_broker(tmp_path / "own-broker") as own:
        yield own


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[MosquittoBroker]:
    """A running Mosquitto of the test's own; the test is skipped where none is installed."""
    if mosquitto_path() is None:
        pytest.skip("mosquitto is not installed")
    with MosquittoBroker(tmp_path / "mosquitto") as own:
        yield own


@pytest.fixture
def proxy(own_broker: PrivateBroker) -> Iterator[ChaosProxy]:
    """A bad network in front of `own_broker`."""
    with ChaosProxy(own_broker.port) as bad_network:
        yield bad_network


@pytest.fixture
def prefix() -> str:
    """A topic prefix that no other test uses."""
    return f"t{secrets.token_hex(6)}"
