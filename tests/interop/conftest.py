"""Machines with the real hcom, a replica and a bridge, on a private broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hcom_replica.testing.real.brokers import PrivateBroker, any_broker
from tests.harness.hcom import Machine, hcom_path

pytestmark = pytest.mark.hcom

Make = Callable[..., Machine]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[PrivateBroker]:
    """A running broker of the test's own."""
    with any_broker(tmp_path / "broker") as own:
        yield own


@pytest.fixture
def machine(tmp_path: Path, broker: PrivateBroker) -> Iterator[Make]:
    """Make a machine that has not joined yet: `machine(name, version=None)`."""
    made: list[Machine] = []

    def make(name: str, version: str | None = None, env: dict[str, str] | None = None) -> Machine:
        program = hcom_path(version)
        if program is None:
            pytest.skip(f"hcom {version or ''} is not installed")
        made.append(Machine(tmp_path, name, broker.port, program, env))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def pair(machine: Make) -> tuple[Machine, Machine]:
    """Two machines with an agent each, in one group, bridged, who know each other."""
    boxe, tuka = machine("BOXE"), machine("TUKA")
    boxe.hcom.start("luna")
    tuka.hcom.start("rose")
    token = boxe.found()
    boxe.bridge()
    tuka.join(token)
    tuka.bridge()
    boxe.hcom.wait(lambda: boxe.hcom.knows("rose:TUKA"), "rose is known at BOXE")
    tuka.hcom.wait(lambda: tuka.hcom.knows("luna:BOXE"), "luna is known at TUKA")
    return boxe, tuka
